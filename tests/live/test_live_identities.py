"""Channels without a key: what the cloud says a machine is, over real sockets, from fake metadata services
in the places where the clouds' own tools look for them."""

import json
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from live_client import Client
from live_servers import CLIENT_KEY, Gateway, end, free_port, until

pytestmark = pytest.mark.live

YAML = """
keys: [{name: gateway, key: "${CLIENT_KEY}"}]
plugins: [{call_log: {format: text}}]
health: {enabled: false}
routing: {retries: 0}
channels:
  - {name: aws, provider: bedrock, base_url: "${UP}", options: {region: eu-west-1}, models: ["anthropic.*"]}
  - {name: azure, provider: azure, base_url: "${UP}", options: {authority: "${META}"}, models: [gpt]}
  - {name: google, provider: vertex, base_url: "${UP}", options: {project: p}, models: [gemini]}
  - {name: proxied, provider: bedrock, base_url: "http://bedrock.test", proxy: "${NOBODY}",
     options: {region: eu-west-1}, models: [anthropic-proxied]}
"""
SECRETS = ("SECRET-CANARY", "TOKEN-CANARY", "SESSION-CANARY", "POD-CANARY")
ASKED = {
    "anthropic.m": ("/v1/messages", {"model": "anthropic.m", "max_tokens": 9, "messages": []}),
    "anthropic-proxied": ("/v1/messages", {"model": "anthropic-proxied", "max_tokens": 9, "messages": []}),
    "gpt": ("/v1/chat/completions", {"model": "gpt", "messages": []}),
    "gemini": ("/v1beta/models/gemini:generateContent", {"contents": []}),
}


def credentials(number, seconds=3600):
    """As every service of AWS's gives them, but STS."""
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    return {
        "Code": "Success", "AccessKeyId": f"AKID{number}", "SecretAccessKey": "SECRET-CANARY",
        "Token": "SESSION-CANARY", "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }  # fmt: skip


@pytest.fixture(scope="module", name="machine")
def _machine(folder, upstreams):
    """machine(name, environment) -> a gateway that finds itself there."""
    up, meta = upstreams
    started = {}

    def machine(name, **environment):
        if name not in started:
            usual = {
                "CLIENT_KEY": CLIENT_KEY, "UP": up.url, "META": meta.url, "NOBODY": f"http://127.0.0.1:{free_port()}",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": meta.url, "AZURE_POD_IDENTITY_AUTHORITY_HOST": meta.url,
                "GCE_METADATA_HOST": urlsplit(meta.url).netloc,
            }  # fmt: skip
            started[name] = Gateway(folder, YAML, name=name, environment=usual | environment)
        return started[name]

    yield machine
    end(*started.values())
    leaked = [(name, secret) for name in started for secret in SECRETS if secret in started[name].log()]
    assert not leaked


@pytest.fixture(name="vendor")
def _vendor(upstream):
    """Answers all that are signed; ``refuses`` are the signers whose credentials are no longer good."""
    upstream.refuses = {}

    def answer(exchange):
        signer = exchange.headers["authorization"].replace("AWS4-HMAC-SHA256 Credential=", "").partition("/")[0]
        status = next((said for name, said in upstream.refuses.items() if name in signer), "200 OK")
        exchange.reply(b'{"type":"message","content":[],"choices":[],"candidates":[]}', status=status)

    upstream.answer(answer)
    return upstream


@pytest.fixture(name="meta")
def _meta(spare):
    """The metadata service: ``gives`` says what at which path, or a function of the exchange says it."""
    spare.gives = {}

    def answer(exchange):
        found = spare.gives.get(exchange.target.partition("?")[0], ("404 Not Found", b"no"))
        found = found(exchange) if callable(found) else found
        status, said = found if isinstance(found, tuple) else ("200 OK", found)
        exchange.reply(said if isinstance(said, bytes) else json.dumps(said).encode(), status=status)

    spare.answer(answer)
    return spare


def ask(gateway, model):
    """(status, document) of a call"""
    path, body = ASKED[model]
    with Client(gateway.port) as client:
        return client.post(path, body).head().status, client.json()


def signed(vendor):
    return [exchange.headers["authorization"] for exchange in vendor.exchanges]


ROLES = "/latest/meta-data/iam/security-credentials/"


def instance(meta, seconds=3600):
    """EC2's service, the second version alone; it counts its credentials."""
    given = []

    def tell(said):
        def answer(exchange):
            if exchange.headers.get("x-aws-ec2-metadata-token") != "TOKEN-CANARY":
                return "401 Unauthorized", b""
            return said()

        return answer

    def give():
        given.append(len(given))
        return credentials(len(given), seconds)

    def token(exchange):
        asked = exchange.method == "PUT" and exchange.headers.get("x-aws-ec2-metadata-token-ttl-seconds")
        return b"TOKEN-CANARY" if asked else ("405 Method Not Allowed", b"")

    meta.gives = {"/latest/api/token": token, ROLES: tell(lambda: b"web-role"), f"{ROLES}web-role": tell(give)}
    return given


def test_an_instances_role_signs_until_it_expires(machine, vendor, meta):
    gateway, given = machine("vm"), instance(meta, seconds=3)
    assert ask(gateway, "anthropic.m")[0] == 200
    assert given == [0]
    exchange = vendor.exchanges[0]
    assert exchange.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID1/")
    assert exchange.headers["x-amz-security-token"] == "SESSION-CANARY"
    # Some calls go by what is there; then one asks anew, before the old credentials are over.
    until(lambda: ask(gateway, "anthropic.m")[0] == 200 and len(given) > 1, "new credentials")
    assert "Credential=AKID2/" in signed(vendor)[-1]
    assert {exchange.headers["x-amz-security-token"] for exchange in vendor.exchanges} == {"SESSION-CANARY"}
    given = instance(meta)
    until(lambda: ask(gateway, "anthropic.m")[0] == 200 and given, "credentials for an hour")


def test_many_calls_at_once_ask_once(machine, vendor, meta):
    gateway, given, statuses = machine("fresh"), instance(meta), []
    threads = [threading.Thread(target=lambda: statuses.append(ask(gateway, "anthropic.m")[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert statuses == [200] * 8
    assert given == [0]


def test_what_was_taken_back_is_asked_for_once_more(machine, vendor, meta):
    """AWS says 403 then, and the attempt goes on with what is new."""
    gateway, given = machine("vm"), instance(meta)
    ask(gateway, "anthropic.m")
    vendor.refuses = {"AKID": "403 Forbidden"}
    before, had = len(vendor.exchanges), len(given)
    status, document = ask(gateway, "anthropic.m")
    assert (status, len(vendor.exchanges) - before, len(given) - had) == (502, 2, 1)
    assert document["type"] == "error"
    vendor.refuses = {}
    assert ask(gateway, "anthropic.m")[0] == 200


@pytest.mark.parametrize("path, answer, said", [
    ("/latest/api/token", ("403 Forbidden", b"SESSION-CANARY"), "gave no token: 403"),
    (ROLES, ("404 Not Found", b"SESSION-CANARY"), "the instance has no role: 404"),
    (f"{ROLES}web-role", ("500 Oops", b"SESSION-CANARY"), "metadata service answered 500"),
    (f"{ROLES}web-role", b"SESSION-CANARY", "gave no credentials"),
    (f"{ROLES}web-role", b"[]", "metadata service answered 200"),
    (f"{ROLES}web-role", {"Code": "AssumeRoleUnauthorizedAccess"}, "gave no credentials"),
    (f"{ROLES}web-role", credentials(1, seconds=-60), "that have expired"),
    (f"{ROLES}web-role", credentials(1) | {"Expiration": "soon"}, "until when"),
])  # fmt: skip
def test_a_refusal_is_told_without_what_was_sent(path, answer, said, machine, vendor, meta):
    gateway, _ = machine("vm"), instance(meta)
    meta.gives[path] = answer
    vendor.refuses = {"AKID": "403 Forbidden"}  # whatever was kept is no longer good
    status, document = ask(gateway, "anthropic.m")
    assert (status, said in document["error"]["message"]) == (502, True), document
    assert "CANARY" not in json.dumps(document)


def test_the_machines_own_service_is_not_asked_through_the_proxy(machine, meta):
    """Where the proxy is, nobody is: the metadata service was reached, the vendor was not."""
    gateway, given = machine("vm"), instance(meta)
    status, document = ask(gateway, "anthropic-proxied")
    assert (status, len(given)) == (502, 1)
    assert "no connection" in document["error"]["message"]


def test_a_virtual_machine_of_azures(machine, vendor, meta):
    gateway = machine("vm")
    meta.gives["/metadata/identity/oauth2/token"] = {"access_token": "TOKEN-CANARY", "expires_in": "86399"}
    assert [ask(gateway, "gpt")[0] for _ in range(2)] == [200, 200]
    assert signed(vendor) == ["Bearer TOKEN-CANARY"] * 2
    (exchange,) = meta.exchanges
    asked = dict(parse_qsl(urlsplit(exchange.target).query))
    assert asked == {"resource": "https://cognitiveservices.azure.com", "api-version": "2018-02-01"}
    assert exchange.headers["metadata"] == "true"


def test_a_virtual_machine_of_googles(machine, vendor, meta):
    gateway = machine("vm")
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    meta.gives[path] = {"access_token": "TOKEN-CANARY", "expires_in": 3599, "token_type": "Bearer"}
    assert [ask(gateway, "gemini")[0] for _ in range(2)] == [200, 200]
    assert signed(vendor) == ["Bearer TOKEN-CANARY"] * 2
    (exchange,) = meta.exchanges
    assert exchange.headers["metadata-flavor"] == "Google"


@pytest.fixture(name="pod")
def _pod(machine, folder, upstreams):
    """As EKS, AKS and a mounted Google credentials file set a pod up."""
    (folder / "token").write_text("POD-CANARY\n")
    federated = {
        "type": "external_account", "audience": "pools/x", "token_url": upstreams[0].url,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "credential_source": {"file": "absent"},
    }  # fmt: skip
    (folder / "google.json").write_text(json.dumps(federated))
    meta = upstreams[1].url
    return machine(
        "pod", AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{meta}/v1/credentials",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(folder / "token"), AZURE_CLIENT_ID="c", AZURE_TENANT_ID="t",
        AZURE_FEDERATED_TOKEN_FILE=str(folder / "token"), GOOGLE_APPLICATION_CREDENTIALS=str(folder / "google.json"),
    )  # fmt: skip


def test_a_pod_of_eks_or_a_task_of_ecs(pod, vendor, meta):
    meta.gives["/v1/credentials"] = lambda exchange: (
        credentials(7) if exchange.headers.get("authorization") == "POD-CANARY" else ("400 Bad Request", b"")
    )
    assert ask(pod, "anthropic.m")[0] == 200
    assert "Credential=AKID7/" in signed(vendor)[0]


def test_a_workload_of_azures(pod, vendor, meta):
    meta.gives["/t/oauth2/v2.0/token"] = {"access_token": "TOKEN-CANARY", "expires_in": 3600}
    assert ask(pod, "gpt")[0] == 200
    assert signed(vendor) == ["Bearer TOKEN-CANARY"]
    form = {name: values[0] for name, values in parse_qs(meta.exchanges[0].body.decode()).items()}
    assert form == {
        "grant_type": "client_credentials", "client_id": "c", "client_assertion": "POD-CANARY",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "scope": "https://cognitiveservices.azure.com/.default",
    }  # fmt: skip


def test_googles_file_is_named_by_the_environment(pod):
    status, document = ask(pod, "gemini")
    assert status == 502
    assert "the file 'absent' cannot be read" in document["error"]["message"]


@pytest.fixture(name="service")
def _service(machine, folder, upstreams):
    """AWS by a web identity, as IRSA has it; Azure as App Service and Container Apps have it."""
    (folder / "web-identity").write_text("POD-CANARY")
    meta = upstreams[1].url
    return machine(
        "service", AWS_WEB_IDENTITY_TOKEN_FILE=str(folder / "web-identity"), AWS_ROLE_ARN="arn:aws:iam::1:role/llm",
        AWS_ENDPOINT_URL_STS=meta, IDENTITY_ENDPOINT=f"{meta}/msi/token", IDENTITY_HEADER="SECRET-CANARY",
    )  # fmt: skip


STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials>
    <SessionToken>SESSION-CANARY</SessionToken><SecretAccessKey>SECRET-CANARY</SecretAccessKey>
    <Expiration>%s</Expiration><AccessKeyId>AKID9</AccessKeyId>
  </Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
STS_ERROR = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>InvalidIdentityToken</Code><Message>POD-CANARY is no token</Message></Error></ErrorResponse>"""


def test_a_role_by_a_web_identity(service, vendor, meta):
    meta.gives["/"] = ("400 Bad Request", STS_ERROR)
    status, document = ask(service, "anthropic.m")
    assert (status, document["error"]["message"]) == (502, "no AWS credentials: STS answered 400 InvalidIdentityToken")
    meta.gives["/"] = (STS % credentials(9)["Expiration"]).encode()
    assert ask(service, "anthropic.m")[0] == 200
    assert "Credential=AKID9/" in signed(vendor)[0]
    assert vendor.exchanges[0].headers["x-amz-security-token"] == "SESSION-CANARY"
    form = {name: values[0] for name, values in parse_qs(meta.exchanges[-1].body.decode()).items()}
    assert form == {
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::1:role/llm",
        "RoleSessionName": "gateway", "WebIdentityToken": "POD-CANARY",
    }  # fmt: skip


def test_an_app_of_azures(service, vendor, meta):
    ends = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    meta.gives["/msi/token"] = {"access_token": "TOKEN-CANARY", "expires_on": str(ends)}
    assert [ask(service, "gpt")[0] for _ in range(2)] == [200, 200]
    (exchange,) = meta.exchanges
    assert exchange.headers["x-identity-header"] == "SECRET-CANARY"
    assert "api-version=2019-08-01" in exchange.target


@pytest.mark.parametrize("status, answer, said", [
    ("400 Bad Request", {"error": "invalid_request", "error_description": "TOKEN-CANARY"}, "400 invalid_request"),
    ("403 Forbidden", {"error": {"message": "TOKEN-CANARY"}}, "403 "),
    ("200 OK", {"expires_in": 1}, "200 no token in the answer"),
    ("200 OK", {"access_token": "TOKEN-CANARY", "expires_in": "soon"}, "200 no token in the answer"),
])  # fmt: skip
def test_azures_refusal_is_told_without_what_was_sent(status, answer, said, machine, vendor, meta):
    gateway = machine("vm-of-azure")
    meta.gives["/metadata/identity/oauth2/token"] = (status, answer)
    found, document = ask(gateway, "gpt")
    assert found == 502
    assert f"the machine's identity service gave no token: {said}" in document["error"]["message"]
    assert "CANARY" not in json.dumps(document)
