"""Tokens of an issuer: a real one on a socket of its own, with keys that change."""

import base64
import hmac
import ipaddress
import json
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.web_server import WebServer

jwt = pytest.importorskip("jwt")

BODY = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}


def make_key(kind, kid):
    """A private key and its public half as a JSON Web Key."""
    private = rsa.generate_private_key(65537, 2048) if kind == "RS256" else ec.generate_private_key(ec.SECP256R1())
    algorithm = jwt.algorithms.get_default_algorithms()[kind]
    public = algorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}
    return private, public


RSA, EC, OTHER = make_key("RS256", "rsa"), make_key("ES256", "ec"), make_key("RS256", "other")


class Issuer(WebServer):
    """Serves its discovery document and keys; ``asked`` are the paths it was asked for."""

    def __init__(self, context=None):
        super().__init__(context)
        self.url += "/realm"
        self.asked = []
        self.pages = {"/realm/.well-known/openid-configuration": (200, {}, self.discovery())}
        self.serve(RSA, EC)

    def answer(self, request):
        self.asked.append(request.path)
        status, headers, document = self.pages.get(request.path, (404, {}, {}))
        return status, headers, document if isinstance(document, bytes) else json.dumps(document).encode()

    def discovery(self, **more):
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | more

    def serve(self, *keys):
        self.pages["/realm/keys"] = (200, {}, {"keys": [public for _, public in keys]})

    def token(self, key=RSA, algorithm=None, headers=None, **claims):
        """A token that is good, but for what is said otherwise; None takes a claim away."""
        claims = {"iss": self.url, "aud": "gateway", "sub": "alice", "exp": int(time.time()) + 600} | claims
        claims = {name: value for name, value in claims.items() if value is not None}
        algorithm = algorithm or ("ES256" if key is EC else "RS256")
        headers = {"kid": key[1]["kid"]} | (headers or {})
        return jwt.encode(claims, key[0], algorithm, headers={n: v for n, v in headers.items() if v is not None})


@pytest.fixture(name="issuer")
def _issuer():
    issuer = Issuer()
    yield issuer
    issuer.stop()


@pytest.fixture(name="client")
def _client(serving_client_of, issuer):
    """client(options, rest of the file) -> Flask's client of a gateway that serves."""

    def begin(options="", more="", issuer=issuer):
        options = f"issuer: {issuer.url}, audience: [gateway], {options}"
        return serving_client_of(
            f"plugins: [{{jwt: {{{options}}}}}]\nchannels: [{{name: echo, provider: echo}}]\n{more}"
        )

    return begin


def ask(client, token):
    """(status, code) of a call with the token."""
    answer = client.post("/v1/chat/completions", json=BODY, headers={"Authorization": f"Bearer {token}"})
    assert token not in answer.text
    return answer.status_code, (answer.json.get("error") or {}).get("code")


def principal(plugin_of, client, token):
    """Who the gateway takes the bearer for."""
    request = type("Request", (), {"credentials": [type("Secret", (), {"reveal": lambda _: token})()]})
    return plugin_of(client, "jwt").authenticate(request)


# --- good and bad tokens -------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
def test_a_good_token_opens_and_the_issuer_is_asked_once(key, client, issuer):
    gateway = client()
    for name in ("alice", "bob", "alice"):
        assert ask(gateway, issuer.token(key, sub=name)) == (200, None)
    assert issuer.asked == ["/realm/.well-known/openid-configuration", "/realm/keys"]


def unsigned(issuer):
    parts = issuer.token().split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "rsa"}).encode()).decode().rstrip("=")
    return f"{head}.{parts[1]}."


def signed_with_the_public_key(issuer):
    """The classic: the public key, which everybody has, taken for a shared secret."""
    pem = RSA[0].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "rsa"}).encode()).decode().rstrip("=")
    body = f"{head}.{issuer.token().split('.')[1]}"
    signature = base64.urlsafe_b64encode(hmac.digest(pem, body.encode(), "sha256")).decode().rstrip("=")
    return f"{body}.{signature}"


def tampered(issuer):
    head, _, signature = issuer.token().split(".")
    return ".".join([head, issuer.token(sub="root").split(".")[1], signature])


def now():  # when a test runs, which may be minutes after it was read
    return int(time.time())


BAD = {
    "expired": (lambda issuer: issuer.token(exp=now() - 60), "expired_token"),
    "without an end": (lambda issuer: issuer.token(exp=None), "invalid_token"),
    "not yet": (lambda issuer: issuer.token(nbf=now() + 300), "token_not_yet_valid"),
    "from the future": (lambda issuer: issuer.token(iat=now() + 300), "token_not_yet_valid"),
    "for others": (lambda issuer: issuer.token(aud=["other", "another"]), "wrong_audience"),
    "for nobody": (lambda issuer: issuer.token(aud=None), "invalid_token"),
    "of others": (lambda issuer: issuer.token(iss="https://elsewhere.example"), "wrong_issuer"),
    "of nobody": (lambda issuer: issuer.token(iss=None), "invalid_token"),
    "tampered with": (tampered, "invalid_token"),
    "unsigned": (unsigned, "invalid_token"),
    "signed with what everybody has": (signed_with_the_public_key, "invalid_token"),
    "signed by somebody": (lambda issuer: issuer.token(OTHER, headers={"kid": "rsa"}), "invalid_token"),
    "of an unknown key": (lambda issuer: issuer.token(OTHER), "unknown_signing_key"),
    "of no key": (lambda issuer: issuer.token(headers={"kid": None}), "unknown_signing_key"),
    "of another algorithm": (lambda issuer: issuer.token(algorithm="RS512"), "invalid_token"),
    "of another key's kind": (lambda issuer: issuer.token(EC, headers={"kid": "rsa"}), "invalid_token"),
    "garbled": (lambda issuer: "eyJhbGciOi.eyJ.x", "invalid_token"),
}


@pytest.mark.parametrize("make, code", BAD.values(), ids=BAD)
def test_a_bad_token_is_401(make, code, client, issuer):
    assert ask(client(), make(issuer)) == (401, code)


def test_clocks_may_differ_a_little(client, issuer):
    gateway = client("leeway: 100")
    assert ask(gateway, issuer.token(exp=now() - 60)) == (200, None)
    assert ask(gateway, issuer.token(nbf=now() + 60)) == (200, None)


def test_a_token_that_was_good_once_still_ends(client, issuer):
    end = int(time.time()) + 5
    gateway, token = client("leeway: 0"), issuer.token(exp=end)
    assert ask(gateway, token) == (200, None)
    while time.time() < end:
        time.sleep(0.05)
    assert ask(gateway, token) == (401, "expired_token")


def test_keys_are_valid_beside_tokens(client, issuer):
    gateway = client(more="keys: [{name: bob, key: bobs-secret}]")
    assert ask(gateway, "bobs-secret") == (200, None)
    assert ask(gateway, issuer.token()) == (200, None)
    assert ask(gateway, "neither") == (401, "invalid_api_key")


# --- the issuer's keys ---------------------------------------------------------------------------------


def test_new_keys_are_fetched_when_a_token_names_one_but_not_for_every_guess(client, issuer, plugin_of):
    gateway = client()
    assert ask(gateway, issuer.token()) == (200, None)
    issuer.serve(EC, OTHER)
    asked = len(issuer.asked)
    for _ in range(5):
        assert ask(gateway, issuer.token(OTHER)) == (401, "unknown_signing_key")
    assert len(issuer.asked) == asked
    plugin_of(gateway, "jwt")._issuer._tried -= 11  # ten seconds later
    assert ask(gateway, issuer.token(OTHER)) == (200, None)
    assert ask(gateway, issuer.token()) == (401, "unknown_signing_key")  # withdrawn, also what was checked before


def test_an_issuer_that_is_away_is_503_until_it_is_back_and_outlived_once_known(client, issuer, plugin_of):
    pages, issuer.pages = issuer.pages, {}
    gateway = client()
    keys = plugin_of(gateway, "jwt")._issuer
    assert ask(gateway, issuer.token()) == (503, "issuer_unavailable")
    issuer.pages = pages
    keys._tried -= 11
    assert ask(gateway, issuer.token()) == (200, None)
    issuer.pages = {}
    keys._tried -= 11
    keys._fetched -= 7200
    keys.refresh()
    assert ask(gateway, issuer.token(sub="bob")) == (200, None)
    keys._fetched -= 86400
    assert ask(gateway, issuer.token(sub="carol")) == (503, "issuer_unavailable")


@pytest.mark.parametrize("discovery", [
    {"issuer": "https://elsewhere.example"}, {"jwks_uri": "http://127.0.0.1:9/keys"}, {"jwks_uri": None},
    {"jwks_uri": "file:///etc/passwd"},
])  # fmt: skip
def test_keys_come_from_the_issuers_own_host_only(discovery, client, issuer, caplog):
    issuer.pages["/realm/.well-known/openid-configuration"] = (200, {}, issuer.discovery(**discovery))
    assert ask(client(), issuer.token()) == (503, "issuer_unavailable")
    assert issuer.asked == ["/realm/.well-known/openid-configuration"]
    assert "cannot be fetched" in caplog.text


@pytest.mark.parametrize("answer", [
    (302, {"Location": "/realm/elsewhere"}, {}), (200, {}, b"no json"), (200, {}, []), (200, {}, {"keys": 3}),
    (500, {}, {}), (200, {}, b'{"keys": [' + b" " * (1 << 20) + b"]}"),
])  # fmt: skip
def test_what_is_no_set_of_keys_is_none(answer, client, issuer):
    issuer.pages["/realm/elsewhere"] = issuer.pages["/realm/keys"]
    issuer.pages["/realm/keys"] = answer
    assert ask(client(), issuer.token()) == (503, "issuer_unavailable")
    assert "/realm/elsewhere" not in issuer.asked


def test_a_shared_secret_among_the_keys_is_no_key(client, issuer):
    secret = base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")
    document = {"keys": [{"kty": "oct", "kid": "rsa", "k": secret}, EC[1], RSA[1] | {"use": "enc", "kid": "enc"}]}
    issuer.pages["/realm/keys"] = (200, {}, document)
    gateway = client()
    assert ask(gateway, issuer.token()) == (401, "unknown_signing_key")
    assert ask(gateway, issuer.token(headers={"kid": "enc"})) == (401, "unknown_signing_key")
    assert ask(gateway, issuer.token(EC)) == (200, None)


def test_one_key_needs_no_name(client, issuer):
    issuer.serve(RSA)
    assert ask(client(), issuer.token(headers={"kid": None})) == (200, None)


def test_keys_may_stand_in_a_file_or_at_an_address_of_their_own(client, issuer, tmp_path):
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [RSA[1]]}))
    assert ask(client("jwks: keys.json"), issuer.token()) == (200, None)
    assert issuer.asked == []
    assert ask(client(f"jwks_url: {issuer.url}/keys"), issuer.token()) == (200, None)
    assert issuer.asked == ["/realm/keys"]


@pytest.fixture(name="certificate")
def _certificate(tmp_path):
    """A file with a certificate for 127.0.0.1 that nobody else signed, and its key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now, private = datetime.now(UTC), EC[0]
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    unprotected = serialization.NoEncryption()
    key = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unprotected)
    file = tmp_path / "issuer.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key)
    return file


def test_an_issuer_of_the_house_is_trusted_by_its_own_authority_only(certificate, client, caplog):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    issuer = Issuer(context)
    for more, expected in (("", (503, "issuer_unavailable")), (f"ca: {certificate.name}", (200, None))):
        gateway = client(more, issuer=issuer)
        assert ask(gateway, issuer.token()) == expected
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    issuer.stop()


# --- what a token may do ---------------------------------------------------------------------------------


def test_claims_become_a_keys_members(client, issuer, plugin_of):
    where = "name: preferred_username, owner: email, team: department, tags: 'https://corp/tags', models: a.b"
    gateway = client(f"claims: {{{where}}}", "teams: [{name: search, limits: {rpm: 5}}]")
    full = {
        "preferred_username": "alice", "email": "a@corp", "department": "search", "https://corp/tags": ["eu", "fast"],
        "a": {"b": "gpt-* claude-*"},
    }  # fmt: skip
    found = principal(plugin_of, gateway, issuer.token(**full))
    assert (found.name, found.owner, found.team) == ("jwt:alice", "a@corp", "search")
    assert (found.tags, found.models) == (("eu", "fast"), ("gpt-*", "claude-*"))
    assert [(a.scope, a.limits.rpm) for a in found.allowances] == [("team:search", 5)]
    assert principal(plugin_of, gateway, issuer.token(**full, jti="another")) is found
    for missing in ("preferred_username", "department", "https://corp/tags", "a"):
        assert ask(gateway, issuer.token(**(full | {missing: None}))) == (403, "access_denied")
    assert ask(gateway, issuer.token(**(full | {"department": "elsewhere"}))) == (403, "access_denied")
    assert ask(gateway, issuer.token(**(full | {"preferred_username": "a b"}))) == (403, "access_denied")
    assert ask(gateway, issuer.token(**(full | {"preferred_username": "a\nb"}))) == (403, "access_denied")


def test_the_first_grant_that_fits_counts(client, issuer, plugin_of):
    gateway = client(
        "prefix: '', grants: [{claim: groups, has: admins, models: [echo], show_route: true, limits: {rpm: 9}},"
        " {claim: groups, has: staff, models: ['gpt-*'], may_choose: false, budget: {usd: 5}}]"
    )
    admin = principal(plugin_of, gateway, issuer.token(groups=["staff", "admins"]))
    assert (admin.name, admin.models, admin.show_route, admin.may_choose) == ("alice", ("echo",), True, True)
    assert admin.allowances[0].limits.rpm == 9
    staff = principal(plugin_of, gateway, issuer.token(groups="staff"))
    assert (staff.models, staff.may_choose, staff.allowances[0].budget.usd) == (("gpt-*",), False, 5)
    assert ask(gateway, issuer.token(groups=["staff"])) == (403, "model_not_allowed")
    for groups in (["guests"], [], None, 3, {"admins": True}):
        assert ask(gateway, issuer.token(groups=groups)) == (403, "access_denied")


def test_a_team_of_the_store_has_its_limits(client, issuer, plugin_of):
    gateway = client("claims: {team: department}", "store: sqlite:///gateway.db\nstate: memory://")
    store = gateway.application.extensions["gateway"].gateway.services.store
    token = issuer.token(department="search")
    assert ask(gateway, token) == (403, "access_denied")
    store.teams.create("search", {"limits": {"rpm": 5}}, "")
    end = time.monotonic() + 20
    while ask(gateway, token) != (200, None):
        assert time.monotonic() < end
        time.sleep(0.02)
    store.teams.change("search", {"limits": {"rpm": 7}})
    while principal(plugin_of, gateway, token).allowances[0].limits.rpm != 7:
        assert time.monotonic() < end
        time.sleep(0.02)


# --- options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, complaint", [
    ("issuer: http://issuer.example, audience: [a]", "issuer: expected an https address"),
    ("issuer: issuer.example, audience: [a]", "issuer: expected an https address"),
    ("issuer: https://issuer.example, audience: []", "audience: without one"),
    ("issuer: https://issuer.example, audience: [a], algorithms: [HS256]", "'HS256' is none of RS256"),
    ("issuer: https://issuer.example, audience: [a], algorithms: [none]", "'none' is none of RS256"),
    ("issuer: https://issuer.example, audience: [a], jwks_url: http://elsewhere/keys", "jwks_url: expected an https"),
    ("issuer: https://issuer.example", "key 'audience' is missing"),
    ("issuer: https://issuer.example, audience: [a], claims: {nmae: sub}", "unknown key 'nmae', did you mean 'name'"),
])  # fmt: skip
def test_options_that_are_not_safe_are_refused(options, complaint, client_of):
    with pytest.raises(Exception, match=complaint):
        client_of(f"plugins: [{{jwt: {{{options}}}}}]\nchannels: [{{name: echo, provider: echo}}]")
