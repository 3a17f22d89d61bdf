"""What gateway.testing gives to those who write plugins."""

import http.client
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from gateway.errors import ConfigError
from gateway.testing import (
    CUT,
    RESET,
    Client,
    LiveGateway,
    Samples,
    ScriptedUpstream,
    Stall,
    Wait,
    cut,
    document,
    golden,
    stream,
)
from gateway.testing.guard import Guard, another_time, touched
from gateway.testing.samples import WORDS, events, with_crlf

SAMPLES = Samples()
DIALECTS = ["chat", "responses", "messages", "gemini"]
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture(name="upstream")
def _upstream():
    with ScriptedUpstream() as upstream:
        yield upstream


def configuration(upstream):
    return {"channels": [{"name": "a", "provider": "openai-compatible", "key": "k", "base_url": upstream.url}]}


@pytest.fixture(name="client")
def _client(upstream):
    with Client(configuration(upstream)) as client:
        yield client


def fetched(upstream, method="GET", path="/", body=None, headers=None):
    """(status, body) of a request by itself, without a gateway."""
    connection = http.client.HTTPConnection(urlsplit(upstream.url).netloc, timeout=5)
    connection.request(method, path, body, headers or {}, encode_chunked=True)
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        connection.close()


# --- the scripted upstream -----------------------------------------------------------------------------


def test_it_says_what_it_is_told_in_order_and_then_that_nothing_is_left(upstream):
    upstream.say(document({"a": 1}), document(b"[2]", 418))
    assert fetched(upstream) == (200, b'{"a": 1}')
    assert fetched(upstream) == (418, b"[2]")
    assert fetched(upstream)[0] == 500


def test_it_keeps_what_it_was_sent(upstream):
    fetched(upstream, "POST", "/x/y?b=1&c=", b'{"d": 2}', {"X-Thing": "word"})
    (sent,) = upstream.sent
    assert (sent.method, sent.path, sent.query, sent.json) == ("POST", "/x/y", {"b": "1", "c": ""}, {"d": 2})
    assert sent.headers["x-thing"] == "word"
    assert "word" not in repr(sent)
    upstream.forget()
    assert upstream.sent == []


def test_it_reads_a_body_in_chunks(upstream):
    fetched(upstream, "POST", "/", iter([b"one", b"two"]), {"Transfer-Encoding": "chunked"})
    assert upstream.sent[0].body == b"onetwo"


def test_a_function_answers_for_what_was_sent(upstream):
    upstream.say(lambda sent: document({"path": sent.path}))
    assert fetched(upstream, path="/seen") == (200, b'{"path": "/seen"}')


def test_pieces_are_chunks_of_their_own(upstream):
    upstream.say(stream(b"one", b"two"))
    with socket.create_connection(urlsplit(upstream.url).netloc.split(":")) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        read = b""
        while not read.endswith(b"0\r\n\r\n"):
            read += sock.recv(4096)
    assert read.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_a_cut_is_no_last_chunk_and_a_reset_is_a_reset(upstream):
    upstream.say(stream(b"half", CUT), stream(b"half", Stall(0.05), RESET))
    with pytest.raises(http.client.IncompleteRead):
        fetched(upstream)
    with pytest.raises(ConnectionResetError):
        fetched(upstream)


def test_a_stall_ends_when_the_other_end_leaves(upstream):
    upstream.say(stream(b"one", Stall(30), b"two"))
    connection = http.client.HTTPConnection(urlsplit(upstream.url).netloc, timeout=5)
    connection.request("GET", "/")
    connection.getresponse().read1(3)
    connection.sock.shutdown(socket.SHUT_RDWR)
    end = time.monotonic() + 5
    while not upstream.left:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_wait_goes_on_when_it_is_let_and_counts_when_it_is_not(upstream):
    gate, never = threading.Event(), Wait(threading.Semaphore(0), 0.02)
    upstream.say(stream(b"one", Wait(gate), b"two", never, b"three"))
    threading.Timer(0.02, gate.set).start()
    assert fetched(upstream) == (200, b"onetwothree")
    assert gate.is_set()
    assert len(never.missed) == 1


# --- the client in this process ------------------------------------------------------------------------


@each_dialect
@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_of_each_dialect_reads_the_words(dialect, streamed, client, upstream):
    upstream.say(stream(*cut(SAMPLES.stream("chat"), 100)) if streamed else document(SAMPLES.reply("chat")))
    answer = client.ask(dialect, "Well?", "m", stream=streamed)
    assert (answer.status, answer.text, answer.broken) == (200, "".join(WORDS), False)
    assert upstream.sent[0].json["messages"][-1]["content"] == "Well?"


def test_members_and_headers_are_added(client, upstream):
    upstream.say(document(SAMPLES.reply("chat")))
    client.ask(model="m", headers={"x-app": "mine"}, temperature=0.5)
    assert upstream.sent[0].json["temperature"] == 0.5
    assert upstream.sent[0].headers["x-app"] == "mine"


def test_a_broken_stream_is_broken_for_the_client(client, upstream):
    pieces = events(SAMPLES.stream("chat"))
    upstream.say(stream(*pieces[:5], CUT))
    answer = client.ask(stream=True)
    assert b"upstream_stream_cut" in answer.body
    assert answer.broken


def test_pieces_come_one_by_one_and_a_client_may_leave(client, upstream):
    pieces = events(SAMPLES.stream("chat"))
    upstream.say(stream(pieces[0], pieces[1], Stall(30)))
    answer = client.ask(stream=True)
    assert next(answer.pieces()).startswith(pieces[0])
    answer.close()
    end = time.monotonic() + 5
    while not upstream.left:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_bad_configuration_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'channels'"):
        Client("chanels: []")


# --- a real gateway ------------------------------------------------------------------------------------


@pytest.mark.live
def test_a_live_gateway_answers_whole_streamed_and_broken_and_keeps_its_log(upstream, tmp_path):
    pieces = events(SAMPLES.stream("chat"))
    upstream.say(document(SAMPLES.reply("chat")), stream(*pieces), stream(*pieces[:5], CUT))
    with LiveGateway(configuration(upstream), tmp_path) as gateway:
        assert gateway.ask("chat", "Hello", "m").text == "".join(WORDS)
        assert gateway.ask("messages", "Hello", "m", stream=True).text == "".join(WORDS)
        broken = gateway.ask("gemini", "Hello", "m", stream=True)
        assert b"upstream_stream_cut" in broken.body.lower()
        assert broken.broken
        assert "Listening at" in gateway.log
    with pytest.raises(OSError):
        gateway.ask()


def test_a_live_gateway_that_cannot_start_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="unknown key 'chanels'"):
        LiveGateway("chanels: []", tmp_path)


# --- golden streams ------------------------------------------------------------------------------------


class Kept:
    """A good filter: it changes whole events."""

    def feed(self, whole):
        return whole.replace(b"w1", b"W1")

    def close(self):
        return b""


class Counted(Kept):
    """A bad one: what it gives depends on how often it is asked."""

    fed = 0

    def close(self):
        return str(self.fed).encode()

    def feed(self, whole):
        self.fed += 1
        return whole


def test_a_golden_stream_comes_out_the_same():
    sample = SAMPLES.stream("messages", WORDS[:3])
    assert golden(Kept, sample) == sample.replace(b"w1", b"W1")


def test_a_filter_that_minds_the_cut_is_told_where():
    sample = b"data: 1\n\ndata: 2\n\n"
    with pytest.raises(AssertionError, match="cut at byte 9 of 18 it gives .*2' at byte 18"):
        golden(Counted, sample)


@each_dialect
def test_samples_are_cut_into_their_events_and_say_the_same_in_crlf(dialect):
    sample = SAMPLES.stream(dialect)
    assert b"".join(events(sample)) == sample
    assert len(events(sample)) > len(WORDS)
    assert with_crlf(sample).count(b"\r\n") == sample.count(b"\n")


# --- the guard -----------------------------------------------------------------------------------------


def test_a_guard_lets_nothing_out_but_what_is_allowed(upstream):
    address = ("127.0.0.1", urlsplit(upstream.url).port)
    with Guard() as guard:
        guard.allowed.add(address)
        socket.create_connection(address).close()
        for elsewhere in (("192.0.2.1", 80), ("vendor.test", 443)):
            with pytest.raises(PermissionError):
                socket.create_connection(elsewhere, 0.1)
        assert guard.blocked == ["192.0.2.1:80", "vendor.test"]


def test_a_guard_that_is_closed_does_not_mind(upstream):
    with Guard() as guard:
        pass
    socket.create_connection(("127.0.0.1", urlsplit(upstream.url).port)).close()
    assert guard.blocked == []


def test_what_is_touched_is_noted(tmp_path):
    with touched() as notes:
        (tmp_path / "x").write_text("y")
        socket.socket().close()
    assert notes == [f"opens {str(tmp_path / 'x')!r}", "socket.__new__"]


def test_another_time_is_another_time_for_a_while():
    def clock():
        return time.time()

    before = clock()
    with another_time(clock):
        assert clock() > before + 90000
    assert clock() < before + 1000
