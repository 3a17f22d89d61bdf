"""What users of other gateways complain about and no other test here shows, each as they met it."""

import json
import os
import subprocess
import sys

import pytest
from live_cases import DIALECTS, asking, path_of, reply_bytes
from live_servers import CLIENT_KEY, UPSTREAM_KEY, Gateway, end, free_port

pytestmark = pytest.mark.live

YAML = """
store: sqlite:///keys.db
state: sqlite:///state.db
health: {enabled: false}
plugins: [{call_log: {format: text}}, stored_keys, limits, ledger, metrics]
routing: {retries: 0}
keys:
  - {name: alice, key: "${CLIENT_KEY}"}
  - {name: nothing, key: nothing-key, models: [nobody-has-this]}
  - &once {name: once-0, key: once-0, limits: {rpm: 1}}
  - {<<: *once, name: once-1, key: once-1}
  - {<<: *once, name: once-2, key: once-2}
  - {<<: *once, name: once-3, key: once-3}
  - {<<: *once, name: once-4, key: once-4}
  - {<<: *once, name: once-5, key: once-5}
  - {<<: *once, name: once-6, key: once-6}
  - {<<: *once, name: once-7, key: once-7}
providers:
  scripted:
    dialects: [chat, responses, messages, gemini]
    operations: [completions, embeddings, images, audio, moderations, rerank, files, batches, stored_responses]
channels:
  - {name: echo, provider: echo, models: [echo]}
  - &up {name: up, provider: scripted, key: "${UPSTREAM_KEY}", base_url: "${UP}", models: [up]}
  - {<<: *up, name: late, timeout: {first_event: 0.5}, models: [late]}
  - {<<: *up, name: query, auth: "query:key", models: [query]}
  - {<<: *up, name: edited, body: {set: {/user: corp}, unset: [/store, /service_tier]}, models: [edited]}
  - {<<: *up, name: hosted, headers: {set: {Host: vendor.corp}, unset: [anthropic-beta]}, models: [hosted]}
  - {<<: *up, name: nobody, auth: "query:key", base_url: "${NOBODY}", models: [nobody]}
"""
# Loaded by each Python of the gateway: what leads off this machine is written down and fails.
GUARD = """
import os, sys

def watch(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in (None, "", "localhost", "::1") and not str(host).startswith("127."):
        with open(os.environ["OFF_MACHINE"], "a") as file:
            print(event, host, file=file)
        raise OSError("there is no network")

sys.addaudithook(watch)
"""


@pytest.fixture(scope="module", name="place")
def _place(folder):
    """A folder of its own, whose ``off`` names what the gateway wanted of other machines."""
    place = folder / "peers"
    place.mkdir()
    (place / "sitecustomize.py").write_text(GUARD)
    return place


@pytest.fixture(scope="module", name="gateway")
def _gateway(place, upstreams):
    environment = {
        "CLIENT_KEY": CLIENT_KEY, "UPSTREAM_KEY": UPSTREAM_KEY, "UP": upstreams[0].url, "PYTHONPATH": str(place),
        "NOBODY": f"http://127.0.0.1:{free_port()}", "OFF_MACHINE": str(place / "off"),
    }  # fmt: skip
    gateway = Gateway(place, YAML, environment=environment)
    yield gateway
    end(gateway)


@pytest.fixture(name="connect")
def _connect(gateway, clients):
    return lambda: clients(gateway.port)


def test_it_starts_and_serves_without_a_network(gateway, place, connect):
    """LiteLLM fetched prices when imported, and database engines when started (litellm#33167)."""
    assert connect().post("/v1/chat/completions", asking("chat", "echo")).head().status == 200
    assert connect().ask("GET", "/v1/models").head().status == 200
    assert not (place / "off").exists(), (place / "off").read_text()


def test_the_guard_sees_what_leaves_the_machine(place, tmp_path):
    """Else the test above could not fail."""
    off = tmp_path / "off"
    program = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
    environment = os.environ | {"PYTHONPATH": str(place), "OFF_MACHINE": str(off)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=30)
    assert b"there is no network" in done.stderr
    assert "192.0.2.1" in off.read_text()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_request_says_where_it_goes(dialect, upstream, spare, connect):
    """LiteLLM took `api_base` of a client, and sent the vendor's key there (litellm#24952)."""
    there = {"api_base": spare.url, "base_url": spare.url, "api_key": "k", "custom_llm_provider": "openai"}
    more = {**there, "litellm_params": there, "endpoint": spare.url, "extra_body": there}
    upstream.answer(lambda exchange: exchange.reply(reply_bytes(dialect, stream=False)))
    client = connect().post(
        path_of(dialect, "up", stream=False), asking(dialect, "up", stream=False) | more,
        x_api_base=spare.url, x_portkey_custom_host=spare.url, x_forwarded_host="evil.test", x_forwarded_server="evil",
    )  # fmt: skip
    assert client.head().status == 200
    (exchange,) = upstream.exchanges
    assert UPSTREAM_KEY in exchange.head.decode()
    assert not spare.exchanges


ODD_KEYS = [
    "' OR '1'='1", "x'; DROP TABLE keys; --", '") OR 1=1 --', "%", "_" * 40, "\\", "k" * 4000, "gw-\xe4\xff",
    "gw-\\x00", "${CLIENT_KEY}", "null", "undefined",
]  # fmt: skip


@pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
@pytest.mark.parametrize("name", ["Authorization: Bearer", "x-api-key:"])
def test_no_key_is_read_as_anything_else(name, key, connect):
    """LiteLLM's database was read out through the key itself (CVE-2026-42208)."""
    body = json.dumps(asking("chat", "echo", stream=False)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{name} {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    client = connect().send(head.encode("latin-1") + body).head()
    assert client.status == 401
    assert connect().post("/v1/chat/completions", asking("chat", "echo", stream=False)).head().status == 200


FORM = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nA\r\n--x--\r\n'
OPERATIONS = {
    "embeddings": ("POST", "/v1/embeddings", {"input": "x"}),
    "completions": ("POST", "/v1/completions", {"prompt": "x"}),
    "images": ("POST", "/v1/images/generations", {"prompt": "x"}),
    "speech": ("POST", "/v1/audio/speech", {"input": "x", "voice": "v"}),
    "moderations": ("POST", "/v1/moderations", {"input": "x"}),
    "rerank": ("POST", "/v1/rerank", {"query": "x", "documents": ["y"]}),
    "batches": ("POST", "/v1/batches", {"input_file_id": "f"}),
    "files": ("POST", "/v1/files", FORM),
}


def ask(client, operation, model, **headers):
    method, path, body = OPERATIONS[operation]
    if isinstance(body, bytes):
        headers["content_type"] = "multipart/form-data; boundary=x"
    else:
        body = body | {"model": model}
    return client.ask(method, path, body, x_gateway_channel=model, **headers).head()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_its_timeout(operation, upstream, connect):
    """Portkey's `request_timeout` never fired for files and batches (PR 1778)."""
    client = connect()
    ask(client, operation, "late")
    assert client.status == 504
    assert client.json()["error"]["code"] == "upstream_first_event_timeout"


@pytest.mark.parametrize("number, operation", list(enumerate(OPERATIONS)))
def test_every_operation_counts(number, operation, upstream, connect):
    """Bifrost's passthrough routes went by all budgets (bifrost#2873)."""
    upstream.answer(lambda exchange: exchange.reply(b'{"data":[]}'))
    statuses = [ask(connect(), operation, "up", x_api_key=f"once-{number}").status for _ in range(2)]
    assert statuses == [200, 429]
    assert len(upstream.exchanges) == 1


@pytest.mark.parametrize("headers, empty", [
    ({}, {"object": "list", "data": []}),
    ({"anthropic_version": "2023-06-01"}, {"data": [], "has_more": False, "first_id": None, "last_id": None}),
    ({"x_goog_api_client": "x"}, {"models": []}),
], ids=DIALECTS[::2] + ("gemini",))  # fmt: skip
def test_a_list_of_no_models_is_a_list(headers, empty, connect):
    """new-api's Anthropic list fell over its own first entry when there was none."""
    client = connect().ask("GET", "/v1/models", x_api_key="nothing-key", **headers).head()
    assert (client.status, client.json()) == (200, empty)


def test_a_key_in_a_query_is_in_no_error_and_no_log(gateway, upstream, connect):
    """LiteLLM's exceptions showed Gemini's `?key=` to clients and logs (litellm#6963, #24902)."""

    def echo_it(exchange):
        assert UPSTREAM_KEY in exchange.target
        exchange.reply(json.dumps({"error": {"message": f"no {exchange.target}", "code": 400}}).encode(),
                       status="400 Bad Request")  # fmt: skip

    upstream.answer(echo_it)
    for model, status in (("query", 400), ("nobody", 502)):
        client = connect().post(path_of("gemini", model, stream=False), asking("gemini", model, stream=False)).head()
        data, _ = client.rest()
        assert client.status == status
        assert UPSTREAM_KEY.encode() not in data
        gateway.logged(client.headers["x-request-id"])
    upstream.answer(lambda exchange: exchange.start().chunk(b'data: {"candidates":[]}\n\n').reset())
    data, complete = connect().post(path_of("gemini", "query"), asking("gemini", "query")).head().rest()
    assert (complete, UPSTREAM_KEY.encode() in data) == (False, False)
    assert UPSTREAM_KEY not in gateway.log()


def test_zeros_and_falsehoods_are_carried_into_other_dialects(serve, upstream, clients):
    """one-api's Go structures dropped a temperature of 0 (one-api#904)."""
    gateway, _ = serve("gevent")
    body = asking("chat", "x", stream=False) | {"temperature": 0, "top_p": 0, "max_tokens": 1, "seed": 0}
    for model, dialect in (("to-gemini", "gemini"), ("to-responses", "responses"), ("to-messages", "messages")):
        upstream.answer(lambda exchange, dialect=dialect: exchange.reply(reply_bytes(dialect, stream=False)))
        assert clients(gateway.port).post("/v1/chat/completions", body | {"model": model}).head().status == 200
        sent = json.loads(upstream.exchanges[-1].body)
        assert sent.get("generationConfig", sent)["temperature"] == 0


def test_a_channel_names_the_host_and_takes_betas_out(upstream, connect):
    """new-api could set no Host (#2795), and not take Anthropic-Beta out (#3513)."""
    upstream.answer(lambda exchange: exchange.reply(reply_bytes("messages", stream=False)))
    body = asking("messages", "hosted", stream=False)
    assert connect().post("/v1/messages", body, anthropic_beta="x", anthropic_version="2023-06-01").head().status == 200
    (exchange,) = upstream.exchanges
    assert exchange.head.lower().count(b"\r\nhost:") == 1
    assert (exchange.headers["host"], exchange.headers.get("anthropic-beta")) == ("vendor.corp", None)
    assert exchange.headers["anthropic-version"] == "2023-06-01"


def test_edits_hold_where_bytes_pass(upstream, connect):
    """new-api left overrides and the field filter out, silently, where bodies passed through (#7347)."""
    upstream.answer(lambda exchange: exchange.reply(reply_bytes("chat", stream=False)))
    body = asking("chat", "edited", stream=False) | {"store": True, "service_tier": "flex", "zero": 0, "none": None}
    assert connect().post("/v1/chat/completions", body).head().status == 200
    sent = json.loads(upstream.exchanges[0].body)
    assert sent == {**{k: v for k, v in body.items() if k not in ("store", "service_tier")}, "user": "corp"}
