"""Nothing waits: each event is at the client before the upstream sends the next. What the client sees in silences."""

import uuid

import pytest
from live_cases import (
    KEEP_ALIVE,
    all_hasty_ways,
    all_ways,
    asking,
    both_doors,
    each_dialect,
    error_of,
    hasty,
    one_by_one,
    path_of,
    reply_bytes,
    stream_events,
)

pytestmark = pytest.mark.live


def ask(client, dialect, model="up", stream=True):
    return client.post(path_of(dialect, model, stream), asking(dialect, model, stream=stream))


@all_ways
@each_dialect
def test_each_event_arrives_before_the_next_is_sent(dialect, upstream, connect):
    client = ask(connect(), dialect)
    with upstream.take() as exchange:
        exchange.start()
        one_by_one(stream_events(dialect), exchange.chunk, client)
        exchange.last_chunk()
    assert client.rest() == (b"", True)


@both_doors
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_events_without_any_framing_arrive_one_by_one(end, upstream, connect):
    client = ask(connect(), "chat")
    with upstream.take() as exchange:
        exchange.start(framing="")
        one_by_one([event.replace(b"\n\n", end) for event in stream_events("chat")], exchange.send, client)
        exchange.close()
    assert client.rest() == (b"", True)


@both_doors
def test_an_array_stream_arrives_element_by_element(upstream, connect):
    client = connect().post("/v1beta/models/up:streamGenerateContent", asking("gemini", "up"))
    elements = [b'[{"candidates":[]}', b'\n,\r\n{"candidates":[]}', b"\n]\n"]
    with upstream.take() as exchange:
        exchange.start(kind="application/json")
        one_by_one(elements, exchange.chunk, client)
        exchange.last_chunk()
    assert client.rest() == (b"", True)
    assert client.headers["content-type"] == "application/json"


@both_doors
@each_dialect
def test_the_echo_streams_in_every_dialect(dialect, connect):
    client = connect().post(path_of(dialect, "echo"), asking(dialect, "echo", "[[delay 0.01]] one two three")).head()
    assert client.status == 200
    data, complete = client.rest()
    assert complete
    assert all(word in data for word in (b'"one ', b'"two ', b'"three'))
    assert client.headers["x-gateway-channel"] == "echo"


@each_dialect
def test_an_error_as_the_first_event_is_still_a_status(dialect, upstream, connect):
    event = {
        "chat": b'data: {"error":{"message":"full","type":"x","code":"y"}}\n\n',
        "responses": b'event: error\ndata: {"type":"error","code":"y","message":"full","error":{"message":"full"}}\n\n',
        "messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"full"}}\n\n',
        "gemini": b'data: {"error":{"code":503,"message":"full","status":"UNAVAILABLE"}}\n\n',
    }[dialect]
    upstream.answer(lambda exchange: exchange.stream(b": first a comment\n\n" + event))
    client = ask(connect(), dialect).head()
    assert client.status == {"messages": 529, "gemini": 503}.get(dialect, 502)
    assert client.json()["error"]["message"] == "full"


@all_hasty_ways
def test_silences_are_filled_between_events(dialect, upstream, connect):
    client = ask(connect(), dialect)
    first, second, *others = stream_events(dialect)
    with upstream.take() as exchange:
        exchange.start().chunk(first)
        client.head().expect(first + 2 * KEEP_ALIVE)
        exchange.chunk(second[:-5])  # half an event is not there yet: comments may still come before it
        client.expect(2 * KEEP_ALIVE)
        exchange.chunk(second[-5:] + b"".join(others)).last_chunk()
    data, complete = client.rest()
    assert complete
    assert data.replace(KEEP_ALIVE, b"") == second + b"".join(others)
    assert data.endswith(second + b"".join(others))


@hasty
def test_no_comment_comes_into_an_event(upstream, connect):
    client = ask(connect(), "chat")
    large = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"x" * 400_000)
    with upstream.take() as exchange:
        first = stream_events("chat")[0]
        exchange.start().chunk(first).chunk(large[:300_000])
        client.head().expect(first + large[:250_000])  # it leaves before it is whole
        assert not exchange.left_within(0.4), "four times the interval"
        exchange.chunk(large[300_000:])
        client.expect(large[250_000:] + KEEP_ALIVE)
        exchange.chunk(reply_bytes("chat")).last_chunk()
    data, complete = client.rest()
    assert (data.replace(KEEP_ALIVE, b""), complete) == (reply_bytes("chat"), True)


@pytest.mark.parametrize("served, door", [("hasty", "nginx"), ("hasty-gthread", "direct")], indirect=True)
def test_googles_clients_get_no_comments(upstream, connect):
    client = ask(connect(), "gemini")
    first, second = stream_events("gemini")
    with upstream.take() as exchange:
        client.head()  # they leave all the same
        assert client.status == 200
        exchange.start().chunk(first)
        client.expect(first)
        assert not exchange.left_within(0.4), "four times the interval"
        exchange.chunk(second).last_chunk()
    assert client.rest() == (second, True)


@all_hasty_ways
@pytest.mark.parametrize("headers_came", [False, True], ids=["before headers", "before events"])
def test_headers_leave_while_a_model_thinks(dialect, headers_came, upstream, connect):
    client = ask(connect(), dialect)
    with upstream.take() as exchange:
        if headers_came:
            exchange.start()
        client.head()
        assert (client.status, client.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        client.expect(3 * KEEP_ALIVE)
        if not headers_came:
            exchange.start()
        exchange.chunk(reply_bytes(dialect)).last_chunk()
    data, complete = client.rest()
    assert (data.replace(KEEP_ALIVE, b""), complete) == (reply_bytes(dialect), True)


@hasty
def test_an_array_stream_may_be_late_too(upstream, connect):
    client = connect().post("/v1beta/models/up:streamGenerateContent", asking("gemini", "up"))
    with upstream.take() as exchange:
        assert client.head().headers["content-type"] == "application/json"
        exchange.start(kind="application/json").chunk(b'[{"candidates":[]}')
        client.expect(b'[{"candidates":[]}')
        exchange.chunk(b"]").last_chunk()
    assert client.rest() == (b"]", True)


@pytest.mark.parametrize("served, door", [("hasty", "nginx"), ("hasty-gthread", "direct")], indirect=True)
@each_dialect
def test_a_failure_after_the_headers_is_an_error_event(dialect, upstream, connect, gateway):
    name = f"late-failure-{uuid.uuid4()}"
    client = connect()
    client.post(path_of(dialect, "up"), asking(dialect, "up"), x_request_id=name)
    with upstream.take() as exchange:
        client.head()
        exchange.reply(b'{"error":{"message":"no room"}}', status="503 Full")
    data, complete = client.rest()
    assert not complete
    assert b"no room" in data
    error_of(dialect, data.replace(KEEP_ALIVE, b""))
    assert gateway.logged(rf"{name} .*outcome=failed attempts=1")


@hasty
def test_a_whole_document_after_the_headers_is_an_error_event(upstream, connect):
    client = ask(connect(), "chat")
    with upstream.take() as exchange:
        client.head()
        exchange.reply(reply_bytes("chat", stream=False))
    data, complete = client.rest()
    assert not complete
    assert error_of("chat", data.replace(KEEP_ALIVE, b"")) == "upstream_not_streamed"


@pytest.mark.parametrize("served, door", [("hasty", "nginx"), ("hasty-gthread", "direct")], indirect=True)
def test_another_channel_may_answer_after_the_headers(upstream, spare, connect, gateway):
    name = f"late-success-{uuid.uuid4()}"
    client = connect().post("/v1/messages", asking("messages", "either"), x_request_id=name)
    with upstream.take() as exchange:
        client.head()
        exchange.reset()
    with spare.take() as exchange:
        exchange.stream(reply_bytes("messages"))
    data, complete = client.rest()
    assert (data.replace(KEEP_ALIVE, b""), complete) == (reply_bytes("messages"), True)
    assert gateway.outcome(name) == ("complete", 2, "")


@hasty
@each_dialect
def test_a_whole_reply_keeps_its_status_however_late(dialect, upstream, connect):
    client = ask(connect(), dialect, stream=False)
    with upstream.take() as exchange:
        assert not exchange.left_within(0.4), "longer than commit_after"
        exchange.reply(b'{"error":{"message":"no"}}', "Retry-After: 3", status="429 Slow Down")
    assert client.head().status == 429
    assert client.headers["retry-after"] == "3"
    assert client.rest() == (b'{"error":{"message":"no"}}', True)
