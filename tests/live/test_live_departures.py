"""The client leaves: its upstream connection is closed within a second, and no channel is to blame."""

import uuid

import pytest
from live_cases import all_hasty_ways, all_ways, asking, path_of, reply_bytes, stream_events
from live_servers import descriptors, until

pytestmark = pytest.mark.live

how = pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])


@pytest.fixture(name="gone")
def _gone(upstream, spare, gateway):
    """Checks what a departure must come to, once the client has left."""

    def gone(exchange, name):
        assert exchange.left_within(1)
        outcome, attempts, error = gateway.outcome(name)
        assert (outcome, attempts) == ("client_closed", 1)
        assert error in ("client_closed", "")
        assert len(upstream.exchanges) == 1
        assert spare.exchanges == []

    return gone


@pytest.fixture(name="name")
def _name():
    return f"gone-{uuid.uuid4()}"


@all_ways
@how
def test_between_two_events(reset, upstream, connect, gone, name):
    client = connect().post("/v1/messages", asking("messages", "either"), x_request_id=name)
    first = stream_events("messages")[0]
    with upstream.take() as exchange:
        exchange.start().chunk(first)
        client.head().expect(first)
        client.leave(reset=reset)
        gone(exchange, name)


@all_ways
@how
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", ["chat", "gemini"])
def test_before_the_headers(stream, dialect, reset, upstream, connect, gone, name):
    client = connect().post(path_of(dialect, "either", stream), asking(dialect, "either", stream=stream),
                            x_request_id=name)  # fmt: skip
    with upstream.take() as exchange:
        client.leave(reset=reset)
        gone(exchange, name)


@all_ways
def test_on_a_kept_connection(upstream, connect, gone, name):
    """Closed from here it looks like one that the upstream had closed; those are tried again."""
    connect().post("/v1/chat/completions", asking("chat", "either", stream=False))
    with upstream.take() as exchange:
        exchange.reply(b'{"a":1}')
    upstream.exchanges.clear()
    client = connect().post("/v1/chat/completions", asking("chat", "either"), x_request_id=name)
    with upstream.take() as exchange:
        client.leave()
        gone(exchange, name)


@all_ways
def test_before_the_first_event(upstream, connect, gone, name):
    client = connect().post("/v1/responses", asking("responses", "either"), x_request_id=name)
    with upstream.take() as exchange:
        exchange.start().chunk(b": wait\n\n")
        client.leave()
        gone(exchange, name)


@all_ways
@pytest.mark.parametrize("size", [100, 2_000_000])
def test_in_the_middle_of_a_whole_reply(size, upstream, connect, gone, name):
    client = connect().post("/v1/chat/completions", asking("chat", "either", stream=False), x_request_id=name)
    with upstream.take() as exchange:
        exchange.start(framing="Content-Length: 5000000", kind="application/json").send(b" " * size)
        if size > 1_000_000:  # it is passed on while it comes
            client.head()
        client.leave()
        gone(exchange, name)


@all_hasty_ways
def test_after_headers_that_left_early(dialect, upstream, connect, gone, name):
    client = connect().post(path_of(dialect, "either"), asking(dialect, "either"), x_request_id=name)
    with upstream.take() as exchange:
        client.head()
        client.leave()
        gone(exchange, name)


@pytest.mark.parametrize("served", ["hasty"], indirect=True)
def test_a_google_client_after_headers_that_left_early(upstream, connect, gone, name):
    client = connect().post(path_of("gemini", "either"), asking("gemini", "either"), x_request_id=name)
    with upstream.take() as exchange:
        client.head()
        client.leave()
        gone(exchange, name)


@all_ways
def test_while_the_upstream_pours(upstream, connect, gone, name):
    """Also when the gateway is stuck in writing to a client that reads nothing."""
    client = connect().post("/v1/chat/completions", asking("chat", "either"), x_request_id=name)
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)
    with upstream.take() as exchange:
        exchange.start()
        exchange.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):  # until every buffer on the way is full
            while True:
                exchange.chunk(event)
        exchange.sock.settimeout(10)
        client.leave(reset=True)
        gone(exchange, name)


@all_ways
def test_the_echo_stops_too(connect, gateway, name):
    prompt = asking("chat", "echo", "[[silence 20 after 1]] one two")
    client = connect().post("/v1/chat/completions", prompt, x_request_id=name).head()
    client.expect(b"data: {")
    client.leave()
    assert gateway.outcome(name)[:2] == ("client_closed", 1)


@all_ways
def test_others_go_on(upstream, connect):
    """The connection that is cut is the right one: many leave, each second one stays."""
    stayers, exchanges = [], []
    first, *others = stream_events("chat")
    for number in range(20):
        client = connect().post("/v1/chat/completions", asking("chat", "up"), x_request_id=f"{uuid.uuid4()}")
        exchanges.append(upstream.take())
        exchanges[-1].start().chunk(first)
        client.head().expect(first)
        if number % 2:
            stayers.append(client)
        else:
            client.leave()
    for number, exchange in enumerate(exchanges):
        with exchange:
            if number % 2:
                exchange.chunk(b"".join(others)).last_chunk()
            else:
                assert exchange.left_within(1)
    for client in stayers:
        assert client.rest() == (b"".join(others), True)


def test_a_kept_client_connection_serves_the_next_call(upstream, connect):
    """What watched the first call of a connection has no say in the second."""
    client = connect()
    for _ in range(5):
        client.post("/v1/chat/completions", asking("chat", "up"))
        with upstream.take() as exchange:
            exchange.stream(reply_bytes("chat"))
        assert client.head().rest() == (reply_bytes("chat"), True)


def test_nothing_stays_open_behind_those_who_left(upstream, connect, gateway):
    worker = gateway.workers()[0]
    before = descriptors(worker)
    for _ in range(30):
        name = f"gone-{uuid.uuid4()}"
        client = connect().post("/v1/chat/completions", asking("chat", "up"), x_request_id=name)
        with upstream.take() as exchange:
            client.leave()
            assert exchange.left_within(1)
            exchange.close()
        gateway.outcome(name)
    until(lambda: descriptors(worker) <= before + 2, "the sockets are closed", 3)
