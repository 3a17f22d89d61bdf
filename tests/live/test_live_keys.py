"""Who may come in: keys in every place, addresses behind nginx, and secrets that nobody ever sees."""

import subprocess
import sys

import pytest
from live_cases import asking, both_doors, each_dialect, path_of, reply_bytes
from live_client import Client
from live_servers import CLIENT_KEY, OTHER_KEY, ROOT, SECRETS, UPSTREAM_KEY, Nginx, end, free_port

pytestmark = pytest.mark.live

BODY = asking("chat", "echo", "Hello", stream=False)
KEYED = """
plugins: [{{call_log: {{format: text}}}}]
trusted_proxies: [{trusted}]
keys:
  - {{name: office, key: "${{CLIENT_KEY}}", allow_ips: [10.0.0.0/8, 127.0.0.2]}}
  - {{name: old, key: "${{OTHER_KEY}}", expires: 2020-01-01}}
  - {{name: narrow, key: narrow-key, models: [echo-small]}}
channels:
  - {{name: echo, provider: echo}}
"""


@both_doors
@each_dialect
@pytest.mark.parametrize("place", ["authorization", "x_api_key", "api_key", "x_goog_api_key", "query"])
def test_a_key_in_every_place(place, dialect, connect):
    path, given = path_of(dialect, "echo"), {"x_api_key": None}
    if place == "query":
        path += ("&" if "?" in path else "?") + f"key={CLIENT_KEY}"
    else:
        given[place] = f"Bearer {CLIENT_KEY}" if place == "authorization" else CLIENT_KEY
    assert connect().post(path, asking(dialect, "echo"), **given).head().status == 200


@each_dialect
@pytest.mark.parametrize(
    "given",
    [{"x_api_key": None}, {"x_api_key": "wrong"}, {"x_api_key": CLIENT_KEY + "x"}, {"authorization": "Bearer other"},
     {"x_api_key": None, "authorization": f"Basic {CLIENT_KEY}"}, {"x_api_key": None, "cookie": f"key={CLIENT_KEY}"}],
)  # fmt: skip
def test_no_key_or_a_wrong_one_or_two(given, dialect, upstream, connect):
    client = connect().post(path_of(dialect, "up"), asking(dialect, "up"), **given).head()
    assert client.status == 401
    document = client.json()
    assert document["error"]["message"]
    assert ("type" in document) == (dialect == "messages")
    assert upstream.exchanges == []


def test_the_query_key_does_not_travel(upstream, connect):
    client = connect().post(f"/v1/messages?beta=true&key={CLIENT_KEY}&x=1", {"model": "up"}, x_api_key=None)
    with upstream.take() as exchange:
        exchange.reply(b'{"a":1}')
    assert exchange.target == "/v1/messages?beta=true&x=1"
    assert client.head().status == 200


def test_addresses_behind_nginx(start, clients, folder):
    gateway = start(KEYED.format(trusted='127.0.0.1, "::1"'), environment={"OTHER_KEY": OTHER_KEY})
    nginx = Nginx(folder, gateway.port, "nginx-addresses")
    try:

        def status(port, source="127.0.0.1", **headers):
            client = clients(port, source=(source, 0)).post("/v1/chat/completions", BODY, **headers)
            return client.head().status

        assert status(nginx.port) == 403
        assert status(nginx.port, "127.0.0.2") == 200
        assert status(nginx.port, "127.0.0.3") == 403
        for forged in ("10.1.2.3", "10.1.2.3, 10.1.2.4", "127.0.0.2", "::ffff:10.1.2.3"):
            assert status(nginx.port, x_forwarded_for=forged) == 403
        # Without nginx, but from where it could stand: the header is believed from the right.
        assert status(gateway.port, x_forwarded_for="10.1.2.3") == 200
        assert status(gateway.port, x_forwarded_for="10.1.2.3, 192.0.2.7") == 403
        assert status(gateway.port, x_forwarded_for="192.0.2.7, 10.1.2.3") == 200
        assert status(gateway.port, x_forwarded_for="no address") == 403
        # From elsewhere it is not believed at all.
        assert status(gateway.port, "127.0.0.2") == 200
        assert status(gateway.port, "127.0.0.3", x_forwarded_for="10.1.2.3") == 403
        assert status(gateway.port, x_forwarded_for="10.1.2.3", x_api_key=OTHER_KEY) == 401
        assert status(gateway.port, x_api_key="narrow-key") == 403
    finally:
        end(nginx)


def test_without_keys_only_this_machine_is_served(start, clients):
    gateway = start("channels: [{name: echo, provider: echo}]")
    assert clients(gateway.port).post("/v1/chat/completions", BODY, x_api_key=None).head().status == 200
    for elsewhere in ("192.0.2.7", "8.8.8.8, 127.0.0.1", "::ffff:8.8.8.8"):
        client = clients(gateway.port).post("/v1/chat/completions", BODY, x_forwarded_for=elsewhere).head()
        assert client.status == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", ""])
def test_without_keys_no_public_address_is_bound(host, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text("channels: [{name: echo, provider: echo}]")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--config", file, "--bind", f"{host}:{free_port()}"],
        cwd=ROOT, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 2
    assert "keys" in done.stderr


def test_no_secret_is_ever_written_down(upstream, gateway, nginx):
    """Every road on which one might get into a log or a reply; the logs are looked at again at the end of all."""
    query = f"?key={CLIENT_KEY}"
    asked = [
        ("GET", f"/v1/models{query}", None), ("GET", f"/v1/nothing{query}", None), ("PUT", f"/{query}", None),
        ("POST", f"/v1/messages{query}", b"{"), ("POST", f"/v1beta/models/up:generateContent{query}", b"{}"),
        ("POST", f"/v1beta/models/nobody:generateContent{query}", b"{}"),
        ("POST", f"/v1beta/models/late:streamGenerateContent{query}&alt=sse", b"{}"),
        ("POST", f"/v1/chat/completions{query}", b'{"model":"up"}'),
        ("GET", f"/v1/models{query}" + "x" * 9000, None), ("GET", f"/v1/models{query} {CLIENT_KEY}", None),
    ]  # fmt: skip

    def refuse(exchange):
        if b"late" in exchange.head:
            exchange.left_within(2)
        exchange.reply(b'{"error":{"message":"no such key"}}', status="401 Unauthorized")

    upstream.answer(refuse)
    for door in (gateway, nginx):
        for method, path, body in asked:
            with Client(door.port) as client:
                client.ask(method, path, body, x_api_key=None, referer=f"http://x/?key={CLIENT_KEY}")
                reply = b""
                while piece := client.sock.recv(65536):
                    reply += piece
                    if reply.count(b"\r\n\r\n") and b"}" in reply or b"</html>" in reply:
                        break
            assert not [secret for secret in SECRETS if secret.encode() in reply], path
    with Client(gateway.port) as client:  # the channel's key was refused: that is not the client's fault
        client.post("/v1/chat/completions", b'{"model":"up"}', authorization=f"Bearer {CLIENT_KEY}").head()
        assert client.status == 502
        assert UPSTREAM_KEY not in client.rest()[0].decode()
    for door in (gateway, nginx):
        for secret in SECRETS:
            assert secret not in door.log()


def test_what_cannot_be_read_is_not_quoted(gateway, clients):
    for line in (f"GET /?key={CLIENT_KEY} x HTTP/1.1", f"X-Api-Key {CLIENT_KEY}", f"X-Api-Key\x01: {CLIENT_KEY}",
                 f" X-Api-Key: {CLIENT_KEY}"):  # fmt: skip
        start = b"" if line.startswith("GET") else b"GET / HTTP/1.1\r\n"
        client = clients(gateway.port, timeout=3).send(start + line.encode() + b"\r\n\r\n")
        assert client.head().status == 400
        assert CLIENT_KEY not in client.rest()[0].decode()
    assert CLIENT_KEY not in gateway.log()


def test_the_access_log_cannot_be_forged(gateway, nginx, clients):
    for door in (gateway, nginx):
        path = "/v1/%0d%0a127.0.0.1%20%22GET%20/forged%22%20200%e2%80%a8%1b[31m"
        assert clients(door.port).ask("GET", path).head().status == 404
    assert not [line for line in gateway.log().splitlines() if line.startswith("127.0.0.1 \"GET /forged")]
    assert "\x1b" not in gateway.log()


def test_the_upstreams_answer_cannot_make_it_tell(upstream, connect):
    """An upstream that quotes the credentials it got, in an error and in headers that do not pass."""
    upstream.answer(
        lambda exchange: exchange.reply(
            reply_bytes("chat", stream=False), f"Set-Cookie: key={exchange.headers['authorization']}"
        )
    )
    client = connect().post("/v1/chat/completions", asking("chat", "up", stream=False)).head()
    assert not [value for value in client.headers.values() if UPSTREAM_KEY in value]
