"""Clients that mean harm: requests hidden in requests, forged hosts, and slowness as a weapon."""

import contextlib
import json
import re
import socket
import textwrap
import threading
import time

import pytest
from live_cases import asking, reply_bytes, stream_events
from live_client import Client
from live_gunicorn import Gunicorn
from live_servers import CLIENT_KEY, descriptors, end, resident_mb, until

pytestmark = pytest.mark.live

directly = pytest.mark.parametrize("served, door", [("gevent", "direct"), ("gthread", "direct")], indirect=True)
both_workers = pytest.mark.parametrize("served", ["gevent", "gthread"], indirect=True)

# What an attacker wants to have taken for a request of somebody else's.
HIDDEN_BODY = json.dumps(asking("chat", "up", "hidden")).encode()
HIDDEN = (
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\nContent-Type: application/json\r\n"
    f"X-Request-Id: hidden\r\nContent-Length: {len(HIDDEN_BODY)}\r\n\r\n"
).encode() + HIDDEN_BODY

# Header lines of a POST, and the body up to where the hidden request begins.
FRAMINGS = {
    "both framings": (b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    "both, the other way round": (b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"0\r\n\r\n"),
    "both, a blank before the colon": (b"Content-Length: 5\r\nTransfer-Encoding : chunked", b"0\r\n\r\n"),
    "both, a vertical tab": (b"Content-Length: 5\r\nTransfer-Encoding:\x0bchunked", b"0\r\n\r\n"),
    "both, no blank": (b"Content-Length: 5\r\nTransfer-Encoding:chunked", b"0\r\n\r\n"),
    "both, in capitals": (b"CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED", b"0\r\n\r\n"),
    "both, one folded": (b"Content-Length: 5\r\nTransfer-Encoding:\r\n chunked", b"0\r\n\r\n"),
    "both, one behind a bare LF": (b"Content-Length: 5\r\nX: y\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    "both, one behind a bare CR": (b"Content-Length: 5\r\nX: y\rTransfer-Encoding: chunked", b"0\r\n\r\n"),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    "chunked, then not": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n"),
    "chunked in a list": (b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
    "nearly chunked": (b"Transfer-Encoding: xchunked", b"0\r\n\r\n"),
    "quoted chunked": (b'Transfer-Encoding: "chunked"', b"0\r\n\r\n"),
    "two lengths": (b"Content-Length: 0\r\nContent-Length: 5", b""),
    "two lengths in one": (b"Content-Length: 0, 5", b""),
    "a length with a sign": (b"Content-Length: +2", b"{}"),
    "a negative length": (b"Content-Length: -2", b"{}"),
    "a length in hex": (b"Content-Length: 0x2", b"{}"),
    "a length with an underscore": (b"Content-Length: 0_2", b"{}"),
    "a length with a blank": (b"Content-Length: 2 2", b"{}"),
    "a length that is no ASCII digit": (b"Content-Length: \xb2", b"{}"),
    "an empty length": (b"Content-Length:", b""),
    "a length that is not one": (b"Content-Length: two", b"{}"),
}  # fmt: skip
CHUNKS = {
    "a size in front of which is 0x": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size with a sign": b"+2\r\n{}\r\n0\r\n\r\n",
    "a negative size": b"-2\r\n{}\r\n0\r\n\r\n",
    "a size with an underscore": b"0_2\r\n{}\r\n0\r\n\r\n",
    "a size with a blank before it": b" 2\r\n{}\r\n0\r\n\r\n",
    "no size": b"\r\n{}\r\n0\r\n\r\n",
    "only an extension": b";a=b\r\n{}\r\n0\r\n\r\n",
    "a size behind a bare LF": b"2\n{}\r\n0\r\n\r\n",
    "an extension with a bare LF": b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "more than its size": b"2\r\n{}  \r\n0\r\n\r\n",
    "less than its size": b"8\r\n{}\r\n0\r\n\r\n",
    "no line end": b"2\r\n{}0\r\n\r\n",
    "a folded trailer": b"2\r\n{}\r\n0\r\nA: b\r\n c\r\n\r\n",
    "a trailer that is none": b"2\r\n{}\r\n0\r\nabc\r\n\r\n",
}  # fmt: skip
ATTACKS = {name: (lines, body) for name, (lines, body) in FRAMINGS.items()} | {
    f"a chunk with {name}": (b"Transfer-Encoding: chunked", body) for name, body in CHUNKS.items()
}


# nginx overlooks these: it has read a whole body, and what follows is a second request in the open.
TWO_FOR_NGINX = {
    f"a chunk with a {what}" for what in ("size behind a bare LF", "folded trailer", "trailer that is none")
}


def attack(lines, body, version=b"1.1"):
    return (
        b"POST /v1/chat/completions HTTP/%b\r\nHost: x\r\nX-Api-Key: %b\r\nContent-Type: application/json\r\n"
        b"%b\r\n\r\n%b" % (version, CLIENT_KEY.encode(), lines, body)
    ) + HIDDEN


def everything(client, seconds=4):
    """All that comes until the other side closes the connection; fails when it stays open."""
    client.sock.settimeout(seconds)
    came = b""
    try:
        while piece := client.sock.recv(65536):
            came += piece
    except ConnectionResetError:
        pass  # it was closed over what it did not want to read
    except TimeoutError:
        raise AssertionError(f"the connection stays open behind {came!r}") from None
    return came


def hidden_came_through(upstream):
    return [each for each in upstream.exchanges if each.headers.get("x-request-id") == "hidden"]


@directly
@pytest.mark.parametrize("case", ATTACKS)
def test_no_request_hides_in_another(case, upstream, connect):
    """One answer, which says no, and the end of the connection."""
    came = everything(connect().send(attack(*ATTACKS[case])))
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", came)
    assert len(statuses) == 1
    assert statuses[0] in (b"400", b"501")
    assert upstream.exchanges == []


@pytest.mark.parametrize("case", ATTACKS)
def test_nor_does_it_behind_nginx(case, upstream, nginx, clients):
    """What nginx lets pass it frames anew, so that the two agree on what is one request."""
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    listen(clients(nginx.port).send(attack(*ATTACKS[case])))
    assert bool(hidden_came_through(upstream)) == (case in TWO_FOR_NGINX)


def test_the_second_of_two_sound_requests_does_come_through(upstream, nginx, clients):
    """Else the one above would prove nothing."""
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    listen(clients(nginx.port).send(attack(b"Content-Length: 2", b"{}")))
    assert hidden_came_through(upstream)


def listen(client):
    """Until the connection is closed, or nothing more comes."""
    client.sock.settimeout(1)
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while client.sock.recv(65536):
            pass


@directly
@pytest.mark.parametrize("more", [b"", b"\r\nConnection: keep-alive"])
def test_http_1_0_knows_no_chunks(more, upstream, connect):
    came = everything(connect().send(attack(b"Transfer-Encoding: chunked" + more, b"0\r\n\r\n", b"1.0")))
    assert len(re.findall(rb"HTTP/1\.[01] \d+", came)) == 1
    assert upstream.exchanges == []


HEADERS = {
    "a NUL in a value": b"X-A: b\x00c", "a NUL in a name": b"X-\x00A: b", "a bare CR": b"X-A: b\rX-B: c",
    "a bare LF": b"X-A: b\nX-B: c", "a folded value": b"X-A: b\r\n\tc", "a blank before the colon": b"X-A : b",
    "a name with a blank": b"X A: b", "a name beyond ASCII": b"X-\xc3\xa4: b", "no colon": b"X-A",
    "a folded first line": b" X-A: b", "a bell": b"X-A: b\x07c", "a name in brackets": b"X(A): b",
}  # fmt: skip


@directly
@pytest.mark.parametrize("case", HEADERS)
def test_header_lines_that_cannot_be(case, upstream, connect):
    came = everything(connect().send(attack(HEADERS[case] + b"\r\nContent-Length: 2", b"{}")))
    assert re.findall(rb"HTTP/1\.1 (\d+)", came) == [b"400"]
    assert upstream.exchanges == []


FORGED = {
    "absolute form": (b"http://evil.test/v1/chat/completions", b"Host: x"),
    "absolute form, https": (b"https://evil.test:444/v1/chat/completions", b"Host: x"),
    "another host": (b"/v1/chat/completions", b"Host: evil.test"),
    "a host with a user": (b"/v1/chat/completions", b"Host: user:password@evil.test"),
    "a host that is a path": (b"/v1/chat/completions", b"Host: evil.test/../x"),
    "forwarded": (b"/v1/chat/completions", b"Host: x\r\nForwarded: for=evil.test;host=evil.test;proto=ftp"),
    "forwarded host": (b"/v1/chat/completions", b"Host: x\r\nX-Forwarded-Host: evil.test\r\nX-Host: evil.test"),
    "another path": (b"/v1/chat/completions", b"Host: x\r\nX-Original-URL: /evil.test\r\nX-Rewrite-URL: /evil.test"),
    "another method": (b"/v1/chat/completions", b"Host: x\r\nX-HTTP-Method-Override: DELETE\r\nX-Evil: evil.test"),
    "the environment's names": (b"/v1/chat/completions", b"Host: x\r\nSCRIPT_NAME: /v1\r\nSERVER_NAME: evil.test"),
    "the environment's path": (b"/v1/chat/completions", b"Host: x\r\nPATH_INFO: /evil.test"),
    "the environment's address": (b"/v1/chat/completions", b"Host: x\r\nREMOTE_ADDR: evil.test"),
}  # fmt: skip


@directly
@pytest.mark.parametrize("case", FORGED)
def test_no_host_is_trusted(case, upstream, connect):
    """Neither where a call goes nor what the reply says depends on it, and the upstream hears nothing of it."""
    target, lines = FORGED[case]
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    body = json.dumps(asking("chat", "up", stream=False)).encode()
    client = connect().send(
        b"POST %b HTTP/1.1\r\n%b\r\nX-Api-Key: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (target, lines, CLIENT_KEY.encode(), len(body), body)
    )
    client.head()
    assert client.status in (200, 400)  # a host that is none may be refused, no other may
    assert client.status == 200 or b"@" in lines or b"/../" in lines
    assert "evil" not in repr(client.headers) + repr(client.rest())
    for exchange in upstream.exchanges:
        assert exchange.target == "/v1/chat/completions"
        assert exchange.headers["host"] == f"127.0.0.1:{upstream.port}"
        assert b"evil" not in exchange.head


@directly
def test_two_hosts_are_refused(upstream, connect):
    """RFC 9112 3.2."""
    lines = f"Host: a\r\nHost: b\r\nX-Api-Key: {CLIENT_KEY}\r\n\r\n".encode()
    client = connect().send(b"GET /v1/models HTTP/1.1\r\n" + lines)
    assert client.head().status == 400


@pytest.mark.parametrize("target", [b"CONNECT evil.test:443", b"GET http://evil.test/", b"GET evil.test", b"TRACE /"])
def test_it_is_no_open_proxy(target, upstream, connect):
    lines = f"Host: evil.test\r\nX-Api-Key: {CLIENT_KEY}\r\n\r\n".encode()
    client = connect(timeout=3).send(target + b" HTTP/1.1\r\n" + lines)
    client.head()
    data, _ = client.rest()
    assert client.status in (200, 400, 404, 405)
    assert client.status != 200 or data == b'{"service":"gateway"}\n'
    assert CLIENT_KEY.encode() not in data  # TRACE would say it back
    assert upstream.exchanges == []


# --- slowness -----------------------------------------------------------------------------------


def ordinary(port, number=5):
    """The longest of *number* ordinary calls, in seconds; each must succeed."""
    longest = 0.0
    for _ in range(number):
        began = time.monotonic()
        with Client(port, timeout=4) as client:
            client.post("/v1/chat/completions", asking("chat", "echo", stream=False))
            assert client.head().status == 200
            assert client.rest()[1]
        longest = max(longest, time.monotonic() - began)
    return longest


BEGUN = (
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\nContent-Type: application/json\r\n"
)
SLOW = {
    "nothing": b"", "half a line": b"POST /v1/chat", "half a head": BEGUN.encode(),
    "no body": BEGUN.encode() + b"Content-Length: 1000\r\n\r\n",
    "half a body": BEGUN.encode() + b'Content-Length: 1000\r\n\r\n{"model":"up',
    "half a chunk": BEGUN.encode() + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"model":',
    "nothing of a file": BEGUN.replace("chat/completions", "files").encode() + b"Content-Length: 9999999\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", SLOW)
def test_those_who_do_not_go_on_are_in_nobodys_way(kind, served, clients):
    gateway, _ = served
    for _ in range(200):
        clients(gateway.port).send(SLOW[kind])
    ordinary(gateway.port)


def dripping(client, over):
    """A byte now and then, for as long as the other side takes them."""
    with pytest.raises(OSError):
        while not over.is_set():
            client.sock.sendall(b"x")
            over.wait(0.1)
        raise OSError


@pytest.mark.parametrize("kind", ["half a line", "half a head", "half a body"])
def test_dripping_is_in_nobodys_way(kind, served, clients):
    gateway, _ = served
    over = threading.Event()
    threads = [
        threading.Thread(target=dripping, args=(clients(gateway.port).send(SLOW[kind]), over)) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    try:
        ordinary(gateway.port)
    finally:
        over.set()
        for thread in threads:
            thread.join()


HASTY = "client_timeout: {body: 1, unread: 1}\n"


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_slow_bodies_are_ended(kind, start, clients):
    """Else a hundred who send a byte now and then would hold every thread there is."""
    gateway = start(HASTY + "channels: [{name: echo, provider: echo}]", worker_class=kind)
    over, threads = threading.Event(), []
    try:
        slow = [clients(gateway.port).send(SLOW["half a body"]) for _ in range(100)]
        threads = [threading.Thread(target=dripping, args=(client, over)) for client in slow[:50]]
        for thread in threads:
            thread.start()
        until(lambda: succeeds(gateway.port), "an ordinary call")
        for client in slow[50:53]:
            assert client.head().status == 400
            assert client.json()["error"]["code"] == "body_incomplete"
            assert client.ended()
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_slow_heads_are_ended(kind, tmp_path, clients):
    yaml = "channels: [{name: echo, provider: echo}]"
    gateway = Gunicorn(tmp_path, yaml, kind, "--workers", "1", "--keep-alive", "1")
    over, threads = threading.Event(), []
    try:
        slow = [clients(gateway.port).send(SLOW["half a head"] + b"X-A: ") for _ in range(100)]
        threads = [threading.Thread(target=dripping, args=(client, over)) for client in slow[:50]]
        for thread in threads:
            thread.start()
        until(lambda: succeeds(gateway.port), "an ordinary call")
        for client in slow[50:]:
            assert client.ended()
    finally:
        over.set()
        for thread in threads:
            thread.join()
        end(gateway)


def succeeds(port):
    try:
        return ordinary(port, 1) > 0
    except OSError:
        return False


@both_workers
def test_slow_readers_cost_no_memory(gateway, upstream, clients):
    """Forty who read nothing of 40 MB each: what is held for them is what fits into the sockets' buffers."""
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)
    poured = []

    def pour(exchange):
        exchange.start()
        sent = 0
        try:
            for _ in range(700):
                exchange.chunk(event)
                sent += len(event)
        except OSError:
            pass  # the client has gone, at the end
        poured.append(sent)

    ordinary(gateway.port)
    upstream.answer(pour)
    (worker,) = gateway.workers()
    before = resident_mb(worker)
    readers = [clients(gateway.port).post("/v1/chat/completions", asking("chat", "up")) for _ in range(40)]
    until(lambda: len(upstream.exchanges) == len(readers), "all have begun")
    ordinary(gateway.port, 30)
    assert resident_mb(worker) - before < 60  # of 1,600
    assert poured == []  # the upstream was made to wait
    for reader in readers:
        reader.leave(reset=True)
    until(lambda: len(poured) == len(readers), "the upstream is let go")


POURED = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)


def pouring(whole, size=40_000_000):
    """(an upstream that sends *size* bytes, as events or as a *whole* reply; the calls for which it has done so)"""
    done = []

    def pour(exchange):
        with contextlib.suppress(OSError):  # nobody takes them any more
            if whole:
                exchange.reply(b" " * size)
            else:
                exchange.start()
                for _ in range(size // len(POURED)):
                    exchange.chunk(POURED)
        done.append(exchange)

    return pour, done


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
def test_who_reads_nothing_is_cut_off(whole, kind, start, upstream, clients):
    yaml = f"""
    plugins: [{{call_log: {{format: text}}}}]
    providers: {{scripted: {{dialects: [chat], auth: none}}}}
    channels: [{{name: up, provider: scripted, base_url: "{upstream.url}"}}]
    """
    gateway = start(HASTY + textwrap.dedent(yaml), worker_class=kind)
    (worker,) = gateway.workers()
    pour, done = pouring(whole)
    upstream.answer(pour)
    before = descriptors(worker)
    for number in range(5):
        client = clients(gateway.port)
        client.post("/v1/chat/completions", asking("chat", "up", stream=not whole), x_request_id=f"unread-{number}")
    for number in range(5):
        assert gateway.outcome(f"unread-{number}")[:2] == ("client_closed", 1)
    until(lambda: descriptors(worker) <= before + 2, "the sockets are closed", 5)
    until(lambda: len(done) == 5, "the upstream is let go", 5)
    assert "Traceback" not in gateway.log()


def test_who_reads_now_and_then_is_not(start, upstream, clients):
    yaml = f"""
    providers: {{scripted: {{dialects: [chat], auth: none}}}}
    channels: [{{name: up, provider: scripted, base_url: "{upstream.url}"}}]
    """
    gateway = start("client_timeout: {unread: 2}\n" + textwrap.dedent(yaml))
    upstream.answer(pouring(False, 20_000_000)[0])
    client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "up"))
    client.head()
    for _ in range(10):  # more than twice as long as one may read nothing
        client.expect(POURED * 10)
        time.sleep(0.5)
    assert len(client.rest()[0]) == (20_000_000 // len(POURED) - 100) * len(POURED)


@directly
def test_a_slow_reader_gets_it_all(upstream, connect):
    events = stream_events("chat")
    upstream.answer(lambda exchange: exchange.stream(reply_bytes("chat")))
    client = connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.post("/v1/chat/completions", asking("chat", "up")).head()
    for event in events:
        client.expect(event)
        time.sleep(0.02)
    assert client.rest() == (b"", True)


@directly
def test_many_requests_at_once_on_one_connection(upstream, connect):
    """Pipelining (RFC 9112 9.3.2): answered one after the other, in order."""
    upstream.answer(lambda exchange: exchange.reply(exchange.body))
    client = connect()
    bodies = [json.dumps(asking("chat", "up", str(number), stream=False)).encode() for number in range(20)]
    client.send(b"".join(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: %b\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (CLIENT_KEY.encode(), len(body), body) for body in bodies
    ))  # fmt: skip
    for body in bodies:
        assert client.head().rest() == (body, True)
