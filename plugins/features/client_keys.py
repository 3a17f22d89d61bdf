"""Client keys from the configuration's ``keys:``, and the client certificates that stand for them. In use whenever
there are any."""

import hashlib
import hmac

from gateway import Forbidden, Principal, check_rights, hookimpl


class Plugin:
    """Keys are found by their SHA-256, so that no comparison ever touches a key itself; what is
    left to decide is decided in constant time. Certificates are no secrets."""

    def __init__(self):
        # ("key", digest) or ("certificate", name) -> (settings, Principal; None if the key's team is the store's)
        self._keys = {}
        self._of_stored_teams = {}  # name of a key -> (edition of the store's teams, its Principal)
        self._directory = None

    @hookimpl
    def check_config(self, config):
        complaints, teams = [], {team.name: team for team in config.teams if team}
        for key in config.keys:
            if key is None:
                continue  # the configuration has complained of it already
            if key.team and key.team not in teams and not config.store:
                complaints.append((key.line, f"{key.name!r} is of a team {key.team!r} that `teams:` does not name"))
            elsewhere = key.team and key.team not in teams
            principal = None if elsewhere else Principal.of(key, teams.get(key.team))
            for shown in _shown(key):
                if shown in self._keys:
                    other = self._keys[shown][0]
                    complaints.append((key.line, f"{other.name!r} and {key.name!r} have the same {shown[0]}"))
                self._keys[shown] = key, principal
        return complaints

    @hookimpl
    def begin(self, services):
        if all(principal is not None for _, principal in self._keys.values()):
            return
        self._directory = services.store.directory({})
        self._directory.follow(services, "client_keys")

    @hookimpl
    def end(self):
        if self._directory is not None:
            self._directory.leave()

    @hookimpl
    def authenticate(self, request):
        found = self._certificate(request.certificate) or self._key(request.credentials)
        if found is None:
            return None  # another plugin may know who it is
        key, principal = found
        check_rights(key, request.address)
        return principal or self._of_stored_team(key)

    def _certificate(self, certificate):
        """Whose it is. It counts before any key: SDKs want to send one even where none is needed."""
        names = (certificate.fingerprint, certificate.subject) if certificate is not None else ()
        return next((self._keys[shown] for name in names if (shown := ("certificate", name)) in self._keys), None)

    def _key(self, credentials):
        digest = _digest(credentials[0]) if credentials else ""
        found = digest if ("key", digest) in self._keys else ""
        return self._keys["key", found] if found and hmac.compare_digest(found, digest) else None

    def _of_stored_team(self, key):
        """Its Principal, with the team's limits as they are now. While the store is away it is the last known."""
        edition = self._directory and self._directory.edition
        known = self._of_stored_teams.get(key.name)
        if known is None or known[0] != edition:
            team = self._directory.team(key.team) if self._directory else None
            if team is None:  # its calls would have no limits
                raise Forbidden("the team of this API key is not known here", code="access_denied")
            known = self._of_stored_teams[key.name] = edition, Principal.of(key, team)
        return known[1]


def _shown(key):
    """(what it is, by what it is found) of all that stands for a key."""
    if key.key or key.sha256:
        yield "key", key.sha256 or _digest(key.key)
    yield from (("certificate", name) for name in key.certificates or () if name)


def _digest(secret):
    return hashlib.sha256(secret.reveal().encode()).hexdigest()
