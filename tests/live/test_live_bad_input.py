"""Bad input gets the dialect's own error with a request id; nothing is forwarded, and nothing hangs."""

import gzip
import json
import re
import socket
import zlib

import brotli
import pytest
import zstandard
from live_cases import all_ways, asking, both_doors, each_dialect, path_of
from live_servers import CLIENT_KEY

pytestmark = pytest.mark.live


def refused(client, dialect, status):
    """The message of the refusal that the client got."""
    client.head()
    document = client.json()
    assert client.status == status
    request_id = client.headers["x-request-id"]
    assert re.fullmatch(r"[\w.-]+", request_id)
    error = document["error"]
    if dialect == "gemini":
        assert error["code"] == status
        assert error["details"][0]["metadata"]["request_id"] == request_id
    else:
        assert document["request_id"] == request_id
        assert error["type"]
    assert document.get("type") == ("error" if dialect == "messages" else None)
    return error["message"]


BODIES = {
    "no JSON": (b"{", 400), "no object": (b"[]", 400), "nothing": (b"", 400), "half a string": (b'{"model":"up', 400),
    "no UTF-8": (b'{"model":"up","x":"\xff"}', 400), "two models": (b'{"model":"up","model":"echo"}', 400),
    "no model": (b'{"messages":[]}', 400), "a model that is no name": (b'{"model":{"a":1}}', 400),
    "deep": (b'{"model":"up","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400),
    "unknown model": (b'{"model":"nothing-of-the-kind"}', 404),
}  # fmt: skip


@both_doors
@pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])
@pytest.mark.parametrize("case", BODIES)
def test_bodies_that_cannot_be(case, dialect, upstream, connect):
    body, status = BODIES[case]
    assert refused(connect().post(path_of(dialect, "up"), body), dialect, status)
    assert upstream.exchanges == []


@each_dialect
def test_other_types_are_refused(dialect, upstream, connect):
    client = connect().post(path_of(dialect, "up"), b"a=b", content_type="application/x-www-form-urlencoded")
    assert "application/json" in refused(client, dialect, 415)
    assert upstream.exchanges == []


@pytest.mark.parametrize(
    "method, path, dialect, status",
    [
        ("GET", "/v1/chat/completions", "chat", 405), ("DELETE", "/v1/messages", "messages", 405),
        ("GET", "/v1beta/models/up:generateContent", "gemini", 405), ("POST", "/v1/nothing", "chat", 404),
        ("GET", "/v1beta/nothing", "gemini", 404), ("POST", "/v1/messages/nothing", "messages", 404),
        ("GET", "/v1/chat/../models", "chat", 404), ("GET", "//v1//models", "chat", 404), ("PUT", "/", "chat", 405),
        ("GET", "/v1/models/nothing-of-the-kind", "chat", 404), ("POST", "/v1/%0d%0aX:%20y", "chat", 404),
    ],
)  # fmt: skip
def test_unknown_paths_and_methods(method, path, dialect, status, connect):
    client = connect().ask(method, path, b"{}" if method == "POST" else None)
    assert refused(client, dialect, status)
    assert "x" not in client.headers


@both_doors
@each_dialect
def test_a_body_over_the_limit(dialect, upstream, door, clients):
    """Told by its length, before any of it was sent."""
    path = path_of(dialect, "up")
    client = clients(door.port).send(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: 41000000\r\n\r\n".encode()
    )
    assert refused(client, dialect, 413)
    assert upstream.exchanges == []


def test_a_chunked_body_over_the_limit(upstream, connect):
    client = connect().send(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    for _ in range(45):
        client.send(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
    assert refused(client, "chat", 413)  # though the end never came
    assert upstream.exchanges == []


PACKERS = {
    "gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}  # fmt: skip


@both_doors
@pytest.mark.parametrize("encoding", PACKERS)
def test_packed_bodies_are_unpacked(encoding, upstream, connect):
    body = json.dumps(asking("chat", "up", "Hello " * 5000)).encode()
    client = connect().post("/v1/chat/completions", PACKERS[encoding](body), content_encoding=encoding)
    with upstream.take() as exchange:
        exchange.reply(b'{"a":1}')
    assert exchange.body == body
    assert "content-encoding" not in exchange.headers
    assert client.head().status == 200


@pytest.mark.parametrize("encoding", PACKERS)
def test_bombs_are_refused(encoding, upstream, connect, gateway):
    """60 MB that are a few KB; the limit is 40."""
    bomb = PACKERS[encoding](b" " * 60_000_000)
    assert len(bomb) < 100_000
    client = connect().post("/v1/chat/completions", bomb, content_encoding=encoding)
    assert "larger" in refused(client, "chat", 413)
    assert upstream.exchanges == []


@pytest.mark.parametrize("encoding, status", [("gzip", 400), ("br", 400), ("zstd", 400), ("compress", 415)])
def test_what_cannot_be_unpacked_is_refused(encoding, status, upstream, connect):
    client = connect().post("/v1/messages", b'{"model":"up"}', content_encoding=encoding)
    assert refused(client, "messages", status)
    assert upstream.exchanges == []


UNREADABLE = {
    "a header too large": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    "too many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: y\r\n" * 200 + b"\r\n", 431),
    "a line too long": (b"GET /?" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "no request": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "a wrong version": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    "a header without a name": (b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "two lengths": (b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "two framings": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0", 400),
    "a negative length": (b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "an unknown framing": (b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: magic\r\n\r\n", 501),
}  # fmt: skip


@pytest.mark.parametrize("served, door", [("gevent", "direct"), ("gthread", "direct")], indirect=True)
@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_request_is_refused_at_once(case, upstream, connect):
    data, status = UNREADABLE[case]
    client = connect(timeout=3)
    message = refused(client.send(data), "messages", status)
    assert message
    assert client.ended()
    assert upstream.exchanges == []


@pytest.mark.parametrize("case", UNREADABLE)
def test_nothing_of_it_hangs_behind_nginx(case, upstream, nginx, clients):
    client = clients(nginx.port, timeout=3).send(UNREADABLE[case][0])
    assert client.sock.recv(4096) or case == "no request"
    assert upstream.exchanges == []


BROKEN = [b"zz\r\n", b"-1\r\n\r\n", b"2\r\n{}XX0\r\n\r\n", b"2\r\n{}\r\n0\r\nno trailer\r\n\r\n"]


@pytest.mark.parametrize("served, door", [("gevent", "direct"), ("gthread", "direct")], indirect=True)
@pytest.mark.parametrize("chunks", BROKEN)
def test_a_broken_chunked_body_ends_its_connection(chunks, upstream, connect):
    """What follows could be taken for a request."""
    client = connect(timeout=3).send(
        f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n".encode() + chunks
    )
    assert refused(client, "messages", 400)
    assert client.ended()
    assert upstream.exchanges == []


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/files"])
@pytest.mark.parametrize("framing", ["Content-Length: 99\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n63\r\n"])
def test_a_body_shorter_than_it_says(framing, path, upstream, connect):
    kind = "application/json" if path == "/v1/messages" else "application/octet-stream"
    client = connect(timeout=3).send(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\nContent-Type: {kind}\r\n"
        f'{framing}{{"model":"up"}}'.encode()
    )
    client.sock.shutdown(socket.SHUT_WR)
    assert client.head().status == 400
    assert upstream.exchanges == []


@all_ways
def test_a_small_chunked_body_is_a_body_like_others(upstream, connect):
    client = connect().send(
        f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\nContent-Type: application/json\r\n"
        'Transfer-Encoding: chunked\r\n\r\n7;a=b\r\n{"model\r\n7\r\n":"up"}\r\n0\r\nX-Trailer: x\r\n\r\n'.encode()
    )
    with upstream.take() as exchange:
        exchange.reply(b'{"a":1}')
    assert exchange.body == b'{"model":"up"}'
    assert exchange.headers["content-length"] == "14"
    assert client.head().status == 200


def test_a_request_id_is_taken_over_if_it_is_sane(upstream, connect):
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    for given, taken in (("abc-1.2:3", True), ("a" * 129, False), ("a b", False), ("ü", False), ("<x>", False)):
        client = connect().post("/v1/chat/completions", asking("chat", "up"), x_request_id=given).head()
        assert (client.headers["x-request-id"] == given) == taken
        assert upstream.exchanges[-1].headers["x-request-id"] == client.headers["x-request-id"]
