"""Upstreams behind TLS of a company's own making, and behind its proxy."""

import base64
import re
import time
import uuid

import pytest
from live_cases import asking, error_of, one_by_one, reply_bytes, stream_events
from live_papers import make_papers, server_context, sha256
from live_proxy import ForwardProxy
from live_servers import CLIENT_KEY, OTHER_KEY, UPSTREAM_KEY, Gateway, end
from live_upstream import Upstream

pytestmark = pytest.mark.live

YAML = """
plugins: [{call_log: {format: text}}]
keys: [{name: alice, key: "${CLIENT_KEY}"}]
routing: {retries: 0}
providers: {scripted: {dialects: [chat]}}
channels:
  - &up {name: good, provider: scripted, key: "${UPSTREAM_KEY}", base_url: "${SECURE}", models: [good],
         tls: {ca: "${CA}", cert: "${CERT}", key: "${KEY}"}}
  - {<<: *up, name: pinned, models: [pinned],
     tls: {ca: "${CA}", cert: "${CERT}", key: "${KEY}", fingerprint: "${PIN}"}}
  - {<<: *up, name: mispinned, models: [mispinned],
     tls: {ca: "${CA}", cert: "${CERT}", key: "${KEY}", fingerprint: "${OTHER_PIN}"}}
  - {<<: *up, name: pinned-stranger, models: [pinned-stranger], tls: {ca: "${CERT}", fingerprint: "${PIN}"}}
  - {<<: *up, name: stranger, models: [stranger], tls: {ca: "${CERT}"}}
  - {<<: *up, name: usual, models: [usual], tls: null}
  - {<<: *up, name: nameless, models: [nameless], tls: {ca: "${CA}"}}
  - {<<: *up, name: misnamed, models: [misnamed], base_url: "${MISNAMED}"}
  - {<<: *up, name: deaf, models: [deaf], base_url: "${DEAF}", timeout: {connect: 1}}
  - {<<: *up, name: plain, models: [plain], base_url: "${PLAIN}", timeout: {connect: 1}}
  - {<<: *up, name: via-proxy, models: [via-proxy], proxy: "${PROXY}"}
  - {<<: *up, name: known-to-proxy, models: [known-to-proxy], proxy: "${KNOWN}"}
  - &open {<<: *up, name: plain-via-proxy, models: [plain-via-proxy], base_url: "${OPEN}", proxy: "${PROXY}", tls: null}
  - {<<: *open, name: plain-known-to-proxy, models: [plain-known-to-proxy], proxy: "${KNOWN}"}
  - {<<: *up, name: no-proxy, models: [no-proxy], proxy: "http://127.0.0.1:9"}
"""


@pytest.fixture(scope="module", name="papers")
def _papers(tmp_path_factory):
    """A certificate authority with two certificates, `server` (for 127.0.0.1) and `client`."""
    wanted = {"server": (2, "subjectAltName=IP:127.0.0.1"), "client": (2, "basicConstraints=CA:FALSE")}
    return make_papers(tmp_path_factory.mktemp("papers"), "/CN=authority", wanted)


@pytest.fixture(scope="module", name="secure_")
def _secure_(papers):
    upstream = Upstream(server_context(papers, "server", asks=True))
    yield upstream
    upstream.stop()


@pytest.fixture(name="secure")
def _secure(secure_):
    """An upstream that speaks TLS, with known clients only."""
    yield secure_
    secure_.forget()


@pytest.fixture(scope="module", name="proxy_")
def _proxy_():
    proxy = ForwardProxy()
    yield proxy
    proxy.stop()


@pytest.fixture(name="proxy")
def _proxy(proxy_):
    yield proxy_
    proxy_.seen.clear()
    proxy_.refuse = False


@pytest.fixture(scope="module", name="gateway")
def _gateway(folder, papers, secure_, upstreams, full, proxy_):
    environment = {
        "CLIENT_KEY": CLIENT_KEY, "UPSTREAM_KEY": UPSTREAM_KEY, "SECURE": secure_.url, "OPEN": upstreams[0].url,
        "CA": str(papers / "ca.pem"), "CERT": str(papers / "client.pem"), "KEY": str(papers / "client.key"),
        "MISNAMED": secure_.url.replace("127.0.0.1", "localhost"), "DEAF": full.replace("http:", "https:"),
        "PLAIN": upstreams[1].url.replace("http:", "https:"), "PROXY": proxy_.url,
        "KNOWN": proxy_.url.replace("//", f"//me:{OTHER_KEY}@"),
        "PIN": sha256(papers, "server"), "OTHER_PIN": sha256(papers, "client"),
    }  # fmt: skip
    gateway = Gateway(folder, YAML, name="tls", environment=environment)
    yield gateway
    end(gateway)


@pytest.fixture(name="door")
def _door(gateway):
    return gateway


@pytest.mark.parametrize("model", ["good", "via-proxy", "pinned"])
def test_a_stream_arrives_event_by_event(model, secure, proxy, connect):
    client = connect().post("/v1/chat/completions", asking("chat", model))
    with secure.take() as exchange:
        exchange.start()
        one_by_one(stream_events("chat"), exchange.chunk, client)
        exchange.last_chunk()
    assert client.rest() == (b"", True)


@pytest.mark.parametrize("model", ["good", "via-proxy"])
def test_a_large_reply_and_request(model, secure, proxy, connect):
    body = b'{"model":"%b","x":"%b"}' % (model.encode(), b"x" * 5_000_000)
    secure.answer(lambda exchange: exchange.reply(exchange.body))
    assert connect().post("/v1/chat/completions", body).head().rest() == (body, True)


def test_a_cut_stream_is_seen(secure, connect):
    first = stream_events("chat")[0]
    secure.answer(lambda exchange: exchange.start(framing="").send(first).close())
    data, complete = connect().post("/v1/chat/completions", asking("chat", "good")).head().rest()
    assert not complete
    assert error_of("chat", data[len(first) :]) == "upstream_stream_cut"


@pytest.mark.parametrize("model", ["good", "via-proxy"])
@pytest.mark.parametrize("begun", [True, False])
def test_a_client_that_leaves(begun, model, secure, proxy, connect, gateway):
    name = f"gone-{uuid.uuid4()}"
    client = connect().post("/v1/chat/completions", asking("chat", model), x_request_id=name)
    with secure.take() as exchange:
        if begun:
            exchange.start().chunk(stream_events("chat")[0])
            client.head().expect(stream_events("chat")[0])
        client.leave()
        assert exchange.left_within(1)
    assert gateway.outcome(name)[:2] == ("client_closed", 1)


@pytest.mark.parametrize(
    "model, reason",
    [("mispinned", "TLS: it is not the one that is pinned"), ("pinned-stranger", "TLS: "),
     ("stranger", "TLS: "), ("usual", "TLS: "), ("nameless", ""), ("misnamed", "TLS: Hostname mismatch"),
     ("plain", ""), ("no-proxy", "connection refused")],
)  # fmt: skip
def test_wrong_certificates_are_refused(model, reason, secure, spare, connect):
    spare.answer(lambda exchange: exchange.close())
    client = connect().post("/v1/chat/completions", asking("chat", model)).head()
    assert client.status in ((502, 504) if model == "plain" else (502,))
    message = client.json()["error"]["message"]
    assert reason in message
    assert "127.0.0.1" not in message
    assert secure.exchanges == []


def test_other_calls_go_on_meanwhile(secure, connect):
    """Neither a handshake that nobody answers nor a silent upstream holds the worker up."""
    deaf = connect().post("/v1/chat/completions", asking("chat", "deaf"))
    silent = connect().post("/v1/chat/completions", asking("chat", "good"))
    with secure.take() as waiting:
        secure.answer(lambda exchange: exchange.stream(reply_bytes("chat")))
        began = time.monotonic()
        for _ in range(5):
            client = connect().post("/v1/chat/completions", asking("chat", "good")).head()
            assert client.rest() == (reply_bytes("chat"), True)
        assert time.monotonic() - began < 0.9, "less than the deaf one's connect timeout"
        waiting.stream(reply_bytes("chat"))
    assert silent.head().rest() == (reply_bytes("chat"), True)
    assert deaf.head().status == 504


def test_connections_are_kept(secure, connect):
    secure.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    before = secure.connections
    for _ in range(5):
        assert connect().post("/v1/chat/completions", asking("chat", "good", stream=False)).head().rest()[1]
    assert secure.connections - before <= 1


def test_the_proxy_is_asked_for_a_tunnel(secure, proxy, connect):
    secure.answer(lambda exchange: exchange.reply(b'{"a":1}', "Connection: close"))
    assert connect().post("/v1/chat/completions", asking("chat", "via-proxy", stream=False)).head().status == 200
    assert proxy.seen[0].startswith(f"CONNECT 127.0.0.1:{secure.port} HTTP/1.")
    assert UPSTREAM_KEY not in proxy.seen[0]


def test_without_tls_the_proxy_gets_the_whole_address(upstream, proxy, connect):
    client = connect().post("/v1/chat/completions", asking("chat", "plain-via-proxy"))
    first, *others = stream_events("chat")
    with upstream.take() as exchange:
        assert exchange.target == f"{upstream.url}/v1/chat/completions"
        exchange.start().chunk(first)
        client.head().expect(first)
        exchange.chunk(b"".join(others)).last_chunk()
    assert client.rest() == (b"".join(others), True)


@pytest.mark.parametrize("model", ["known-to-proxy", "plain-known-to-proxy"])
def test_a_proxy_with_a_password(model, secure, upstream, proxy, connect):
    for each in (secure, upstream):
        each.answer(lambda exchange: exchange.reply(b'{"a":1}', "Connection: close"))
    assert connect().post("/v1/chat/completions", asking("chat", model, stream=False)).head().status == 200
    (given,) = re.findall(r"(?i)\r\nproxy-authorization: basic (\S+)", proxy.seen[0])
    assert base64.b64decode(given).decode() == f"me:{OTHER_KEY}"
    for exchange in [*secure.exchanges, *upstream.exchanges]:  # a real proxy takes it away; a tunnel never sees it
        assert ("proxy-authorization" in exchange.headers) == (model == "plain-known-to-proxy")


@pytest.mark.parametrize("model", ["via-proxy", "plain-via-proxy"])
def test_a_proxy_that_refuses(model, secure, upstream, proxy, connect, gateway):
    proxy.refuse = True
    gateway.signal(1)  # a reload drops the tunnels that are kept
    gateway.logged("configuration reloaded", times=1 if model == "via-proxy" else 2)
    client = connect().post("/v1/chat/completions", asking("chat", model, stream=False)).head()
    assert client.status in (403, 502)
    assert secure.exchanges == upstream.exchanges == []
