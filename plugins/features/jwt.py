"""Clients that sign in elsewhere: JSON Web Tokens of one OpenID Connect issuer, beside client keys."""

import hashlib
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass

from gateway import (
    Budget,
    Forbidden,
    KeySettings,
    Limits,
    Principal,
    Unauthorized,
    direct_opener,
    hookimpl,
    issuer,
    option,
)

try:
    import jwt
except ImportError:
    raise ImportError("it needs an extra: pip install 'llm-gateway[jwt]'") from None

# Public-key algorithms only: a shared secret would let the gateway, and whoever reads its file, make tokens.
_ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
_CACHED = 10_000  # tokens that a worker keeps in mind


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Where a token says what; `a.b` is a member of a member."""

    name: str = option("who it is", "sub")
    owner: str = option("whose calls they are, for reports", "")
    team: str = option("the team: one of `teams:` or of the store", "")
    tags: str = option("tags of channels: a list, or words", "")
    models: str = option("models it may use, names or globs: a list, or words", "")


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What the tokens may do of which a claim has a certain value."""

    claim: str = option("the claim, such as groups")
    has: str = option("its value, or one of its values")
    models: list[str] = option("models, names or globs; none given: all", [])
    tags: list[str] = option("only channels that have all of these", [])
    team: str = option("whose limits and budget it shares", "")
    limits: Limits | None = option("most each name may use", None)
    budget: Budget | None = option("most each name may spend", None)
    show_route: bool = option("name the attempts in each reply", False)
    may_choose: bool = option("whether it may choose channels", True)


@dataclass(frozen=True, kw_only=True)
class Options:
    issuer: str = option("address of the issuer, exactly as its tokens spell it")
    audience: list[str] = option("tokens for one of these are taken")
    algorithms: list[str] = option("signatures that are taken", ["RS256", "ES256"])
    leeway: int = option("seconds by which clocks may differ", 30, least=0)
    claims: Claims = option("where a token says what", Claims())
    grants: list[Grant] = option("what tokens may do, the first that fits; none fits: nothing. None given: all", [])
    prefix: str = option("put before names, so that they are no key's", "jwt:")
    jwks: str = option("file of the issuer's public keys, instead of fetching them", "")
    jwks_url: str = option("where they are, if not where the issuer's discovery says, on its own host", "")
    ca: str = option("file of CA certificates to trust instead of the usual ones", "")
    proxy: str = option("http proxy on the way to the issuer", "")


class Plugin:
    def __init__(self, options):
        self._options = options
        self._teams = {}
        self._directory = None
        self._issuer = None
        self._refreshing = None
        self._keys = OrderedDict()  # (edition, id, algorithm) -> what PyJWT takes
        self._tokens = OrderedDict()  # digest of a token -> (its end, edition of what it was checked with, Principal)
        self._principals = OrderedDict()

    @hookimpl
    def check_config(self, config):
        options = self._options
        self._teams.update({team.name: team for team in config.teams if team})
        complaints = [f"algorithms: {name!r} is none of {', '.join(_ALGORITHMS)}"
                      for name in options.algorithms if name not in _ALGORITHMS]  # fmt: skip
        for name in ("issuer", "jwks_url"):
            address = getattr(options, name)
            if address and not issuer.is_trustworthy(address):
                complaints.append(f"{name}: expected an https address (http on this machine only), found {address!r}")
        if not options.audience:
            complaints.append("audience: without one, tokens for anybody would be taken")
        return complaints

    @hookimpl
    def begin(self, services):
        options = self._options
        context = ssl.create_default_context(cafile=str(services.path(options.ca)) if options.ca else None)
        opener = direct_opener(context, options.proxy)
        file = services.path(options.jwks) if options.jwks else None
        self._issuer = issuer.Issuer(options.issuer, opener, options.jwks_url, file)
        self._refreshing = services.every(60, self._issuer.refresh, "jwt")
        if services.store is not None:
            self._directory = services.store.directory(self._teams)
            self._directory.follow(services, "jwt")

    @hookimpl
    def end(self):
        if self._refreshing is not None:
            self._refreshing.set()
        if self._directory is not None:
            self._directory.leave()

    @hookimpl
    def authenticate(self, request):
        if not request.credentials or self._issuer is None:
            return None
        token = request.credentials[0].reveal()
        if not issuer.is_token(token):
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known, edition = self._tokens.get(digest), self._edition()
        if known and known[0] > time.time() and known[1] == edition:
            return known[2]
        claims = self._checked(token)
        principal = self._principal(claims)
        _keep(self._tokens, digest, (int(claims["exp"]) + self._options.leeway, edition, principal))
        return principal

    def _edition(self):
        return self._issuer.edition, self._directory and self._directory.edition

    def _checked(self, token):
        """The claims of a token that is good. Raises Unauthorized, IssuerAway."""
        options = self._options
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in options.algorithms:
                raise Unauthorized("this token is signed in a way that is not taken", code="invalid_token")
            return jwt.decode(
                token, self._key(header.get("kid"), header["alg"]), algorithms=[header["alg"]],
                audience=options.audience, issuer=options.issuer, leeway=options.leeway,
                options={"require": ["exp", "iss", "aud"]},
            )  # fmt: skip
        except jwt.ExpiredSignatureError:
            raise Unauthorized("this token has expired", code="expired_token") from None
        except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError):
            raise Unauthorized("this token is not valid yet", code="token_not_yet_valid") from None
        except jwt.InvalidAudienceError:
            raise Unauthorized("this token is for somebody else", code="wrong_audience") from None
        except jwt.InvalidIssuerError:
            raise Unauthorized("this token is somebody else's", code="wrong_issuer") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthorized("this token is not valid", code="invalid_token") from None

    def _key(self, kid, algorithm):
        """The key that a token names. Raises Unauthorized, IssuerAway."""
        jwk = self._issuer.key(kid)
        name = self._issuer.edition, kid, algorithm
        made = self._keys.get(name)
        if made is None:
            if jwk.get("alg", algorithm) != algorithm:
                raise Unauthorized("this token is signed in a way that is not its key's", code="invalid_token")
            made = jwt.PyJWK(jwk, algorithm=algorithm)
            _keep(self._keys, name, made)
        return made

    def _principal(self, claims):
        """Raises Forbidden when a claim that is needed is missing, or no grant fits."""
        where, grant = self._options.claims, self._grant(claims)
        names = _words(_claim(claims, where.name))
        if len(names) != 1 or not names[0].isprintable() or len(names[0]) > 100:
            raise Forbidden(f"the claim {where.name!r} of this token names nobody", code="access_denied")
        owner = str(_claim(claims, where.owner) or "") if where.owner else ""
        team, tags, models = self._rights(claims, grant)
        essence = (names[0], owner, team, tags, models, grant and self._options.grants.index(grant))
        known = self._principals.get(essence)
        settings = self._team(team) if team else None
        if known and known[0] == settings:
            return known[1]
        key = KeySettings(
            name=self._options.prefix + names[0], owner=owner, team=team, tags=list(tags), models=list(models),
            limits=grant and grant.limits, budget=grant and grant.budget,
            show_route=bool(grant and grant.show_route), may_choose=grant is None or grant.may_choose,
        )  # fmt: skip
        principal = Principal.of(key, settings)
        _keep(self._principals, essence, (settings, principal))
        return principal

    def _grant(self, claims):
        grants = self._options.grants
        fits = (grant for grant in grants if grant.has in _words(_claim(claims, grant.claim)))
        found = next(fits, None)
        if grants and found is None:
            raise Forbidden("nothing is granted to this token", code="access_denied")
        return found

    def _rights(self, claims, grant):
        """(team, tags, models). What the grant says counts first. A claim that should say it and is
        missing must not mean more rights."""
        found = []
        for name in ("team", "tags", "models"):
            claim = getattr(self._options.claims, name)
            words = _words(getattr(grant, name)) if grant else ()
            if not words and claim:
                words = _words(_claim(claims, claim))
                if not words:
                    raise Forbidden(f"the claim {claim!r} is missing in this token", code="access_denied")
            found.append(words)
        return " ".join(found[0]), found[1], found[2]

    def _team(self, name):
        team = self._directory.team(name) if self._directory else self._teams.get(name)
        if team is None:  # its calls would have no limits
            raise Forbidden("the team of this token is not known here", code="access_denied")
        return team


def _claim(claims, path):
    if path in claims:  # names such as https://corp.example/groups hold dots
        return claims[path]
    found = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _words(value):
    """A claim's values: a list, or words parted by spaces, as in `scope`."""
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, int) and not isinstance(value, bool):
        return (str(value),)
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def _keep(memory, key, value):
    memory[key] = value
    while len(memory) > _CACHED:
        memory.popitem(last=False)
