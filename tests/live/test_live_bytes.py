"""Same dialect, no edit: the upstream gets the client's bytes, the client gets the upstream's."""

import pytest
from live_cases import CASES, all_ways, both_doors, each_dialect, path_of, reply_bytes
from live_servers import CLIENT_KEY, UPSTREAM_KEY

pytestmark = pytest.mark.live

U2028_AND_HALVES = (
    'data: {"choices":[{"delta":{"content":"a\u2028b\u2029c\u0085 \\ud83d \\uDC00 é🌍"}}],"z":0,"n":null}\r\n\r\n'
    'event:none\rdata:{"choices":[{"index":0,"delta":{"content":"" }, "finish_reason" : "stop"}]}\r\r'
    "id: 7\nretry: 10\n: a comment of the vendor\n\ndata:[DONE]\n\n"
).encode()


@both_doors
@each_dialect
def test_the_upstream_gets_the_clients_body(dialect, upstream, connect):
    body = (CASES / "requests" / f"{dialect}.json").read_bytes()
    client = connect().post(path_of(dialect, "up", stream=False), body)
    with upstream.take() as exchange:
        exchange.reply(reply_bytes(dialect, stream=False))
    assert exchange.body == body
    assert exchange.target == path_of(dialect, "up", stream=False)
    assert client.head().status == 200


@both_doors
@each_dialect
def test_the_client_gets_the_whole_reply(dialect, upstream, connect):
    reply = reply_bytes(dialect, stream=False)
    upstream.answer(lambda exchange: exchange.reply(reply))
    client = connect().post(path_of(dialect, "up", stream=False), {"model": "up", "contents": []}).head()
    assert client.rest() == (reply, True)
    assert client.headers["content-type"] == "application/json"


def test_a_renamed_model_is_the_only_change(upstream, connect):
    body = (CASES / "requests" / "chat.json").read_bytes()
    connect().post("/v1/chat/completions", body.replace(b'"up"', b'"renamed"'))
    with upstream.take() as exchange:
        exchange.reply(b"{}")
    assert exchange.body == body.replace(b'"up"', b'"up/stream"')


def one_byte_writes(exchange, data):
    exchange.start()
    for byte in data:
        exchange.chunk(bytes([byte]))
    exchange.last_chunk()


def one_byte_of_the_framing(exchange, data):
    framed = b"%x;name=value;other=\"\r\"\r\n%b\r\n0;last\r\nTrailer: x\r\n\r\n" % (len(data), data)
    exchange.start()
    for position in range(len(framed)):
        exchange.send(framed[position : position + 1])


def cut_in_the_middle_of_everything(exchange, data):
    exchange.start()
    cuts = [i for i, byte in enumerate(data) if byte >= 0x80 or byte in b"\r\n"] + [len(data)]
    for start, end in zip([0, *cuts], cuts, strict=False):
        if start < end:
            exchange.chunk(data[start:end])
    exchange.last_chunk()


def chunk_extensions(exchange, data):
    half = len(data) // 2
    exchange.start()
    exchange.send(b"%X ; quality = low\r\n%b\r\n" % (half, data[:half]))
    exchange.send(b"000%x;a=\"b\"\r\n%b\r\n00;c\r\nX-Trailer: 1\r\n\r\n" % (len(data) - half, data[half:]))


def close_delimited(exchange, data):
    exchange.start(framing="")
    for start in range(0, len(data), 7):
        exchange.send(data[start : start + 7])
    exchange.close()


def content_length(exchange, data):
    exchange.start(framing=f"Content-Length: {len(data)}").send(data)


@all_ways
@pytest.mark.parametrize(
    "deliver",
    [one_byte_writes, one_byte_of_the_framing, cut_in_the_middle_of_everything, chunk_extensions, close_delimited,
     content_length],
)  # fmt: skip
def test_a_stream_passes_however_it_arrives(deliver, upstream, connect):
    upstream.answer(lambda exchange: deliver(exchange, U2028_AND_HALVES))
    client = connect().post("/v1/chat/completions", {"model": "up", "stream": True}).head()
    assert (client.status, client.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert client.headers["cache-control"] == "no-cache"
    assert client.rest() == (U2028_AND_HALVES, True)


@both_doors
@each_dialect
def test_every_dialects_stream_passes_cut_everywhere(dialect, upstream, connect):
    stream = reply_bytes(dialect)
    for size in (1, 2, 7):

        def answer(exchange, size=size):
            exchange.start()
            for start in range(0, len(stream), size):
                exchange.chunk(stream[start : start + size])
            exchange.last_chunk()

        upstream.answer(answer)
        client = connect().post(path_of(dialect, "up"), {"model": "up", "stream": True}).head()
        assert client.rest() == (stream, True)


@all_ways
@pytest.mark.parametrize("framing", ["chunked", "sized"])
def test_an_event_of_ten_megabytes_passes(framing, upstream, connect):
    image = bytes(range(65, 91)) * 400_000
    stream = b'data: {"choices":[{"delta":{"image":"%b"}}]}\n\n' % image + reply_bytes("chat")

    def answer(exchange):
        if framing == "sized":
            content_length(exchange, stream)
            return
        exchange.start()
        for start in range(0, len(stream), 300_000):
            exchange.chunk(stream[start : start + 300_000])
        exchange.last_chunk()

    upstream.answer(answer)
    client = connect().post("/v1/chat/completions", {"model": "up", "stream": True}).head()
    got, complete = client.rest()
    assert complete
    assert got == stream


@pytest.mark.parametrize("end", [b'"finishRea', b'"finishReason":', b'"finishReason":"ST', b'{"data":"'])
def test_a_large_last_event_is_an_ending(end, upstream, connect):
    """The one event says in its midst that it is the last one; much of it has left by then."""
    head, image = b'data: {"candidates":[{', b'"content":{"parts":[{"inlineData":{"data":"%b"}}]}'
    finish, tail = b'"finishReason":"STOP"', b"}]}\n\n"
    held = 256 * 1024 + 6  # as much is held of an event before it leaves in parts
    if end in finish:
        image %= b"A" * (held - len(head + image) + 2 - 1 - len(end))
        event = head + image + b"," + finish + tail
        assert event.index(end) + len(end) == held
    else:
        event = head + finish + b"," + image % (b"A" * 2 * held) + tail
    first = b'data: {"candidates":[]}\n\n'
    client = connect().post("/v1beta/models/up:streamGenerateContent?alt=sse", {"contents": []})
    with upstream.take() as exchange:
        exchange.start().chunk(first + event[:held])
        client.head().expect(first + event[: held - 9])
        exchange.chunk(event[held:]).last_chunk()
    assert client.rest() == (event[held - 9 :], True)


@both_doors
def test_a_binary_reply_passes(upstream, connect):
    audio = bytes(range(256)) * 8000
    upstream.answer(lambda exchange: exchange.reply(audio, "X-Ratelimit-Remaining-Requests: 4", kind="audio/mpeg"))
    client = connect().post("/v1/audio/speech", {"model": "up", "input": "Hello", "voice": "alloy"}).head()
    assert client.rest() == (audio, True)
    assert client.headers["content-type"] == "audio/mpeg"
    assert client.headers["x-ratelimit-remaining-requests"] == "4"


@both_doors
def test_white_space_that_keeps_a_connection_alive_passes(upstream, connect):
    """Vendors send it while a whole reply is being made; it must not cost the worker its time."""
    reply = b" \n" * 600_000 + b'{"a":1}'
    upstream.answer(lambda exchange: exchange.reply(reply))
    client = connect().post("/v1/chat/completions", {"model": "up"}).head()
    assert client.rest() == (reply, True)


def test_a_binary_reply_is_not_held_back(upstream, connect):
    client = connect().post("/v1/audio/speech", {"model": "up", "input": "Hello", "stream_format": "audio"})
    with upstream.take() as exchange:
        exchange.start(kind="audio/mpeg").chunk(b"\xff" * 1_200_000)
        client.head().expect(b"\xff" * 1_200_000)
        exchange.chunk(b"\x00\x01")
        client.expect(b"\x00\x01")
        exchange.last_chunk()
        assert client.rest() == (b"", True)


def test_credentials_stay_here_and_the_channels_go_there(upstream, connect):
    for dialect in ("chat", "responses", "messages", "gemini"):
        upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
        path = path_of(dialect, "up", stream=False)
        connect().post(path, {"model": "up"}, cookie="a=b", authorization=f"Bearer {CLIENT_KEY}").head()
    for exchange, name in zip(upstream.exchanges, ["authorization", "authorization", "x-api-key", "x-goog-api-key"],
                              strict=True):  # fmt: skip
        assert CLIENT_KEY.encode() not in exchange.head
        assert UPSTREAM_KEY in exchange.headers[name]
        assert exchange.head.count(UPSTREAM_KEY.encode()) == 1
        assert "cookie" not in exchange.headers
