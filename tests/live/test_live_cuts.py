"""A broken stream looks broken: to bare sockets, to curl, and in the log."""

import subprocess
import uuid

import pytest
from live_cases import all_ways, asking, both_doors, each_dialect, error_of, path_of, reply_bytes, stream_events
from live_servers import CLIENT_KEY

pytestmark = pytest.mark.live


def mid_event(exchange, events):
    exchange.start().chunk(events[0] + events[1][:-9]).close()


def between_events(exchange, events):
    exchange.start().chunk(events[0]).close()


def inside_a_chunk(exchange, events):
    exchange.start().chunk(events[0]).send(b"ff\r\n" + events[1][:10])
    exchange.close()


def reset(exchange, events):
    exchange.start().chunk(events[0])
    # An RST overtakes what the gateway has not read yet: it says so with its silence.
    exchange.left_within(0.1)
    exchange.reset()


def short_of_its_length(exchange, events):
    exchange.start(framing="Content-Length: 100000").send(events[0])
    exchange.close()


def in_good_order_without_an_ending(exchange, events):
    exchange.stream(events[0])


def without_framing_or_ending(exchange, events):
    exchange.start(framing="").send(events[0])
    exchange.close()


CUTS = [mid_event, between_events, inside_a_chunk, reset, short_of_its_length, in_good_order_without_an_ending,
        without_framing_or_ending]  # fmt: skip
each_cut = pytest.mark.parametrize("cut", CUTS)


@all_ways
@each_cut
def test_a_cut_stream_ends_with_an_error_and_without_a_last_chunk(cut, upstream, connect, gateway):
    events, name = stream_events("chat"), f"cut-{uuid.uuid4()}"
    upstream.answer(lambda exchange: cut(exchange, events))
    client = connect().post("/v1/chat/completions", asking("chat", "up"), x_request_id=name).head()
    data, complete = client.rest()
    assert not complete
    assert data.startswith(events[0])
    assert error_of("chat", data[len(events[0]) :]) == "upstream_stream_cut"
    assert b"[DONE]" not in data
    assert gateway.outcome(name) == ("truncated", 1, "upstream_stream_cut")


@both_doors
@each_dialect
def test_each_dialect_has_its_own_error_event(dialect, upstream, connect):
    events = stream_events(dialect)
    upstream.answer(lambda exchange: mid_event(exchange, events))
    client = connect().post(path_of(dialect, "up"), asking(dialect, "up")).head()
    data, complete = client.rest()
    assert not complete
    assert data.startswith(events[0])
    assert error_of(dialect, data[len(events[0]) :]) == "upstream_stream_cut"


@all_ways
@pytest.mark.parametrize("cut", [mid_event, reset, in_good_order_without_an_ending])
def test_curl_says_that_it_broke(cut, upstream, door):
    upstream.answer(lambda exchange: cut(exchange, stream_events("chat")))
    done = subprocess.run(
        ["curl", "-sN", "-m", "10", f"{door.url}/v1/chat/completions", "-H", f"Authorization: Bearer {CLIENT_KEY}",
         "-H", "Content-Type: application/json", "-d", '{"model":"up","stream":true}'],
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 18
    assert done.stdout.startswith(stream_events("chat")[0])


@all_ways
@each_dialect
def test_the_echo_can_be_cut(dialect, connect):
    client = connect().post(path_of(dialect, "echo"), asking(dialect, "echo", "[[cut after 1]] one two")).head()
    data, complete = client.rest()
    assert (client.status, complete) == (200, False)
    assert b"two" not in data
    assert b"upstream_stream_cut" in data.lower()


def only_headers(exchange, events):
    exchange.start().close()


def only_a_comment(exchange, events):
    exchange.start().chunk(b": thinking\n\n").close()


def nothing(exchange, events):
    exchange.close()


def nothing_but_a_reset(exchange, events):
    exchange.reset()


def no_http(exchange, events):
    exchange.send(b"SSH-2.0-OpenSSH_9\r\n\r\n").close()


def an_empty_stream(exchange, events):
    exchange.stream(b"\n\n")


BEFORE = [only_headers, only_a_comment, nothing, nothing_but_a_reset, no_http, an_empty_stream]


@all_ways
@pytest.mark.parametrize("cut", BEFORE)
def test_a_cut_before_the_first_event_is_a_status(cut, upstream, connect, gateway):
    name = f"early-{uuid.uuid4()}"
    upstream.answer(lambda exchange: cut(exchange, []))
    client = connect().post("/v1/messages", asking("messages", "up"), x_request_id=name).head()
    assert client.status == 502
    assert client.json()["error"]["type"] == "api_error"
    assert gateway.outcome(name)[0] == "failed"


@pytest.mark.parametrize("cut", BEFORE)
def test_a_cut_before_the_first_event_is_tried_elsewhere(cut, upstream, spare, connect):
    upstream.answer(lambda exchange: cut(exchange, []))
    spare.answer(lambda exchange: exchange.stream(reply_bytes("chat")))
    client = connect().post("/v1/chat/completions", asking("chat", "either")).head()
    assert client.rest() == (reply_bytes("chat"), True)
    assert client.headers["x-gateway-channel"] == "second"
    # A connection that was kept may have swallowed the request: then it was sent, and is told, once more.
    assert client.headers["x-gateway-attempts"] == str(len(upstream.exchanges) + 1)


def test_a_cut_after_the_first_event_is_not(upstream, spare, connect):
    upstream.answer(lambda exchange: between_events(exchange, stream_events("chat")))
    client = connect().post("/v1/chat/completions", asking("chat", "either")).head()
    assert not client.rest()[1]
    assert spare.exchanges == []


@all_ways
def test_a_large_event_that_breaks_is_closed_before_the_error_event(upstream, connect):
    first, large = stream_events("chat")[0], b'data: {"choices":[{"delta":{"content":"' + b"x" * 600_000
    client = connect().post("/v1/chat/completions", asking("chat", "up"))
    with upstream.take() as exchange:
        exchange.start().chunk(first).chunk(large)
        client.head().expect(first + large[:500_000])
        exchange.close()
    data, complete = client.rest()
    assert not complete
    half, _, error = data.partition(b"\n\n")
    assert large.endswith(half)
    assert error_of("chat", error) == "upstream_stream_cut"


@all_ways
@pytest.mark.parametrize("size", [1000, 3_000_000])
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_whole_reply_that_breaks(size, framing, upstream, connect, gateway):
    name, body = f"whole-{uuid.uuid4()}", b'{"data":"' + b"x" * size

    def answer(exchange):
        if framing == "sized":
            exchange.start(framing=f"Content-Length: {size + 100}", kind="application/json").send(body)
        else:
            exchange.start(kind="application/json").chunk(body)
        exchange.close()

    upstream.answer(answer)
    client = connect().post("/v1/chat/completions", asking("chat", "up", stream=False), x_request_id=name).head()
    if size == 1000:  # small enough to be read before anything is shown
        assert client.status == 502
        assert client.json()["error"]["code"] == "upstream_stream_cut"
        assert gateway.outcome(name)[0] == "failed"
    else:
        data, complete = client.rest()
        assert (client.status, complete) == (200, False)
        assert body.startswith(data)
        assert gateway.outcome(name) == ("truncated", 1, "upstream_stream_cut")


@each_dialect
def test_an_upstreams_own_error_event_passes_as_it_came(dialect, upstream, connect, gateway):
    name = f"told-{uuid.uuid4()}"
    prompt = asking(dialect, "echo", "[[error after 1]] one two")
    client = connect().post(path_of(dialect, "echo"), prompt, x_request_id=name).head()
    data, complete = client.rest()
    assert not complete
    assert data.lower().count(b"the echo was told to fail") in (1, 2)
    assert gateway.outcome(name)[0] in ("failed", "truncated")
