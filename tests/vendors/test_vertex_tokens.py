"""How Vertex's tokens are got: every kind of credentials file, and what goes wrong with them."""

import json
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

URL = (
    "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/gemini:generateContent"
)
CHANNEL = {"name": "main", "provider": "vertex", "options": {"project": "p"}}


@pytest.fixture(scope="module", name="private_key")
def _private_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(name="account")
def _account(private_key):
    """The JSON of a service account."""
    pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account", "client_email": "robot@p.iam.gserviceaccount.com", "private_key_id": "k1",
        "private_key": pem.decode(), "token_uri": "https://oauth2.googleapis.com/token",
    }  # fmt: skip


@pytest.fixture(name="ask")
def _ask(client_of, network):
    """ask(credentials file, options) -> the client's answer of a gateway with that key."""

    def ask(account, **options):
        channel = CHANNEL | {"key": json.dumps(account), "options": CHANNEL["options"] | options}
        client = client_of(json.dumps({"channels": [channel]}))
        network.post(URL, body=b"{}")
        return client.post("/v1beta/models/gemini:generateContent", json={"contents": []})

    return ask


def form_of(request):
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def test_a_service_account_signs_for_itself(ask, network, account, private_key):
    network.post("https://oauth2.googleapis.com/token", json={"access_token": "ya29.a", "expires_in": 3599})
    assert ask(account).status_code == 200
    form = form_of(network.calls[0].request)
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        form["assertion"], private_key.public_key(), ["RS256"], audience="https://oauth2.googleapis.com/token"
    )
    assert (claims["iss"], claims["exp"] - claims["iat"]) == ("robot@p.iam.gserviceaccount.com", 3600)
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "k1"
    assert network.calls[1].request.headers["authorization"] == "Bearer ya29.a"


FEDERATED = {
    "type": "external_account", "audience": "//iam.googleapis.com/pools/x",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
}  # fmt: skip


def test_a_workloads_own_token_is_exchanged(ask, network, tmp_path):
    (tmp_path / "token").write_text('{"id_token": "eyJ"}')
    source = {"file": str(tmp_path / "token"), "format": {"type": "json", "subject_token_field_name": "id_token"}}
    network.post("https://sts.googleapis.com/v1/token", json={"access_token": "ya29.sts", "expires_in": 3599})
    impersonate = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/r:generateAccessToken"
    network.post(impersonate, json={"accessToken": "ya29.robot", "expireTime": "2030-01-01T00:00:00Z"})
    assert ask(FEDERATED | {"credential_source": source, "service_account_impersonation_url": impersonate})
    exchange, impersonation, call = (found.request for found in network.calls)
    assert form_of(exchange)["subject_token"] == "eyJ"
    assert form_of(exchange)["audience"] == "//iam.googleapis.com/pools/x"
    assert impersonation.headers["authorization"] == "Bearer ya29.sts"
    assert call.headers["authorization"] == "Bearer ya29.robot"


def test_the_workloads_token_may_come_from_an_address_that_the_channel_names(ask, network):
    source = {"url": "http://169.254.169.254/token", "headers": {"Metadata": "True"}}
    network.get("http://169.254.169.254/token", body=b"eyJ.url")
    network.post("https://sts.googleapis.com/v1/token", json={"access_token": "ya29.sts", "expires_in": 3599})
    answer = ask(FEDERATED | {"credential_source": source})
    assert (answer.status_code, answer.json["error"]["details"][0]["reason"]) == (502, "EGRESS_REFUSED")
    assert ask(FEDERATED | {"credential_source": source}, subject="http://169.254.169.254").status_code == 200
    assert form_of(network.calls[1].request)["subject_token"] == "eyJ.url"


@pytest.mark.parametrize("change, said", [
    ({"private_key": "no key canary"}, "private key cannot be read"),
    ({"type": "unknown"}, "lacks 'unknown'"),
    ({"client_email": None, "type": None}, "lacks None"),
    ({"token_uri": "https://evil.test/token"}, "may not reach https://evil.test"),
])  # fmt: skip
def test_a_file_that_is_no_use(change, said, ask, account, network):
    answer = ask(account | change)
    assert answer.status_code == 502
    assert said in answer.json["error"]["message"]
    assert b"canary" not in answer.data
    assert b"PRIVATE" not in answer.data


def test_a_refusal_is_told_without_what_was_sent(ask, network, account):
    network.post("https://oauth2.googleapis.com/token", status=400, json={"error": "invalid_grant"})
    answer = ask(account)
    assert "Google gave no token: 400 invalid_grant" in answer.json["error"]["message"]
    assert b"assertion" not in answer.data
