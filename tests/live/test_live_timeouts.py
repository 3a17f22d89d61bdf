"""Each timeout ends a call in its own words, and closes the upstream's connection."""

import time
import uuid

import pytest
from live_cases import all_ways, asking, each_dialect, error_of, path_of, reply_bytes, stream_events

pytestmark = pytest.mark.live


@all_ways
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("headers_came", [False, True], ids=["before headers", "behind headers"])
def test_no_first_event(stream, headers_came, upstream, connect, gateway):
    name = f"late-{uuid.uuid4()}"
    client = connect()
    client.post("/v1/chat/completions", asking("chat", "late", stream=stream), x_request_id=name)
    with upstream.take() as exchange:
        if headers_came:
            exchange.start(kind="text/event-stream" if stream else "application/json")
        assert client.head().status == 504
        assert exchange.left_within(1)
    error = client.json()["error"]
    assert error["code"] == "upstream_first_event_timeout"
    assert gateway.outcome(name) == ("failed", 1, "upstream_first_event_timeout")


@all_ways
def test_silence_in_the_middle(upstream, connect, gateway):
    name = f"idle-{uuid.uuid4()}"
    first = stream_events("messages")[0]
    client = connect().post("/v1/messages", asking("messages", "idle"), x_request_id=name)
    with upstream.take() as exchange:
        exchange.start().chunk(first)
        client.head().expect(first)
        data, complete = client.rest()
        assert exchange.left_within(1)
    assert not complete
    assert error_of("messages", data) == "upstream_idle_timeout"
    assert gateway.outcome(name) == ("truncated", 1, "upstream_idle_timeout")


@all_ways
def test_an_answer_without_end(upstream, connect, gateway):
    name = f"long-{uuid.uuid4()}"
    first = stream_events("chat")[0]
    client = connect().post("/v1/chat/completions", asking("chat", "long"), x_request_id=name)
    began = time.monotonic()
    with upstream.take() as exchange:
        exchange.start()
        while not exchange.left_within(0.05):
            exchange.chunk(first)
            assert time.monotonic() < began + 5
    data, complete = client.head().rest()
    assert not complete
    events = data.split(b"\n\n")
    assert error_of("chat", events[-2] + b"\n\n") == "upstream_total_timeout"
    assert gateway.outcome(name) == ("truncated", 1, "upstream_total_timeout")


@all_ways
def test_a_whole_reply_that_stops(upstream, connect):
    client = connect().post("/v1/audio/speech", {"model": "idle", "input": "x"})
    with upstream.take() as exchange:
        exchange.start(framing="Content-Length: 3000000", kind="audio/mpeg").send(b"x" * 2_000_000)
        data, complete = client.head().rest()
        assert exchange.left_within(1)
    assert (client.status, complete) == (200, False)
    assert set(data) <= {ord("x")}


@all_ways
def test_nobody_accepts_the_connection(connect, gateway):
    name, began = f"unconnected-{uuid.uuid4()}", time.monotonic()
    client = connect().post("/v1/chat/completions", asking("chat", "unconnected"), x_request_id=name).head()
    assert client.status == 504
    assert client.json()["error"]["code"] == "upstream_connect_timeout"
    assert time.monotonic() - began < 3
    assert gateway.outcome(name) == ("failed", 1, "upstream_connect_timeout")


@each_dialect
def test_nobody_is_there(dialect, connect):
    client = connect().post(path_of(dialect, "nobody"), asking(dialect, "nobody")).head()
    assert client.status == 502
    assert "connection refused" in client.json()["error"]["message"]
    assert client.headers["x-gateway-channel"] == "nobody"


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_second_channel_takes_over(status, upstream, spare, connect, gateway):
    name = f"over-{uuid.uuid4()}"
    upstream.answer(lambda exchange: exchange.reply(b'{"error":{"message":"no"}}', status=f"{status} No"))
    spare.answer(lambda exchange: exchange.stream(reply_bytes("chat")))
    body = b'{ "model": "either", "stream":true,  "n":0 }'
    client = connect().post("/v1/chat/completions", body, x_request_id=name).head()
    assert client.rest() == (reply_bytes("chat"), True)
    assert (client.headers["x-gateway-channel"], client.headers["x-gateway-attempts"]) == ("second", "2")
    assert [each.exchanges[0].body for each in (upstream, spare)] == [body, body]
    assert gateway.outcome(name) == ("complete", 2, "")


@pytest.mark.parametrize("status", [400, 404, 422, 501, 504])
def test_what_would_fail_anywhere_is_not_tried_again(status, upstream, spare, connect):
    document = b'{ "error": {"message": "no", "x": 0} }'
    upstream.answer(lambda exchange: exchange.reply(document, "X-Request-Id: theirs", status=f"{status} No"))
    client = connect().post("/v1/chat/completions", asking("chat", "either")).head()
    assert client.status == status
    assert client.rest() == (document, True)
    assert client.headers["x-upstream-request-id"] == "theirs"
    assert spare.exchanges == []


def test_a_stream_that_answers_a_whole_call_passes_as_it_is(upstream, connect):
    upstream.answer(lambda exchange: exchange.stream(reply_bytes("chat")))
    client = connect().post("/v1/chat/completions", asking("chat", "up", stream=False)).head()
    assert client.headers["content-type"].startswith("text/event-stream")
    assert client.rest() == (reply_bytes("chat"), True)


def test_a_kept_connection_that_the_upstream_closed_is_no_failure(upstream, connect, gateway):
    for _ in range(3):
        name = f"kept-{uuid.uuid4()}"
        client = connect().post("/v1/chat/completions", asking("chat", "up", stream=False), x_request_id=name)
        with upstream.take() as exchange:
            exchange.reply(b'{"a":1}')
            assert client.head().status == 200
            exchange.close()
        assert gateway.outcome(name) == ("complete", 1, "")


DEADLINE = """
routing: {deadline: 0.6, retries: 5}
plugins: [{call_log: {format: text}}]
keys: [{name: tester, key: '${CLIENT_KEY}'}]
channels:
"""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_connection_that_nobody_accepts_takes_no_longer_than_the_calls_deadline(host, stream, full, start, clients):
    """The channels' own patience would be five seconds each, for each address of theirs."""
    url = full.replace("127.0.0.1", host)
    channels = "".join(
        f"  - {{name: full{i}, provider: openai, key: k, models: [m], base_url: '{url}', timeout: {{connect: 5}}}}\n"
        for i in range(3)
    )
    client, began = clients(start(DEADLINE + channels).port), time.monotonic()
    client.post("/v1/chat/completions", {"model": "m", "stream": stream, "messages": []}).head()
    assert (client.status, client.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert 0.5 < time.monotonic() - began < 2
