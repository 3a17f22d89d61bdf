"""Streams: Anthropic's as neutral events, and anyone's events to a Messages client."""

import pytest
from anthropic._models import construct_type_unchecked
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from gateway import json_text, sse
from gateway.dialects import messages
from gateway.dialects.translation import StreamTranslation
from gateway.dialects.vocabulary import Closed, Delta, Failed, Mark, Opened, Reasoning, Started, Text, ToolCall
from gateway.errors import ChannelFailed, Fault
from tests.dialects.messages.messages_cases import asked, build, cases, cut, dump, load

CUTS = [1, 2, 7, 1 << 16]
EVENT = TypeAdapter(RawMessageStreamEvent)


def read(data: bytes, size: int) -> list:
    reader = messages.StreamReader()
    found = [neutral for event in cut(data, size) for neutral in reader.feed(event)]
    return found + reader.close()


def write(events: list, fault: Fault | None = None) -> bytes:
    writer = messages.StreamWriter(asked())
    return b"".join([writer.feed(event) for event in events]) + writer.close(fault)


def written_case(case) -> bytes:
    told = load(case)
    return write(build(told["events"]), build(told["fault"]))


def documents(data: bytes) -> list[dict]:
    return [json_text.parse(event.data) for event in sse.events(data)]


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("case", cases("own_streams", ".sse"), ids=lambda path: path.stem)
def test_a_stream_survives_its_own_dialect(case, size):
    data = case.read_bytes()
    assert write(read(data, size)) == data


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("case", cases("read_streams", ".sse"), ids=lambda path: path.stem)
def test_a_stream_in_neutral_events(case, size):
    assert dump(read(case.read_bytes(), size)) == load(case.with_suffix(".json"))


@pytest.mark.parametrize("case", cases("written_streams"), ids=lambda path: path.stem)
def test_neutral_events_as_a_stream(case):
    assert written_case(case) == case.with_suffix(".sse").read_bytes()


@pytest.mark.parametrize("case", cases("written_streams") + cases("own_streams", ".sse"), ids=lambda path: path.stem)
def test_the_sdk_takes_what_is_written(case):
    data = written_case(case) if case.suffix == ".json" else write(read(case.read_bytes(), 7))
    snapshot, buffers = None, {}
    for event in sse.events(data):
        document = json_text.parse(event.data)
        assert event.name == document["type"]
        if event.name == "error":
            return
        EVENT.validate_json(event.data, strict=True)
        typed = construct_type_unchecked(type_=RawMessageStreamEvent, value=document)
        snapshot = accumulate_event(event=typed, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None and snapshot.stop_reason is not None


@pytest.mark.parametrize("case", cases("written_streams") + cases("own_streams", ".sse"), ids=lambda path: path.stem)
def test_one_block_is_open_at_a_time(case):
    data = written_case(case) if case.suffix == ".json" else write(read(case.read_bytes(), 7))
    open_block, count = None, 0
    for document in documents(data):
        kind = document["type"]
        if kind == "content_block_start":
            assert open_block is None and document["index"] == count
            open_block, count = count, count + 1
        elif kind.startswith("content_block"):
            assert document["index"] == open_block
            open_block = open_block if kind == "content_block_delta" else None


def test_words_leave_as_they_come():
    writer = messages.StreamWriter(asked())
    assert b"message_start" in writer.feed(Started("x", "m"))
    writer.feed(Opened(0, Text("")))
    assert b'"text":"a"' in writer.feed(Delta(0, "a"))
    assert b"content_block_stop" in writer.feed(Closed(0))
    assert b"tool_use" in writer.feed(Opened(1, ToolCall("c", "f")))
    assert writer.feed(Opened(2, ToolCall("d", "g"))) == b""
    assert writer.feed(Delta(2, "{}")) == b""
    let_go = writer.feed(Closed(1))
    assert let_go.index(b"content_block_stop") < let_go.index(b'"id":"d"') < let_go.index(b'"partial_json":"{}"')


def test_close_speaks_once():
    writer = messages.StreamWriter(asked())
    assert writer.close().count(b"message_stop") == 2  # the event's name and its type
    assert writer.close() == b"" == writer.close(Fault(502, "upstream", "x"))
    assert writer.feed(Opened(0, Text("late"))) == b""


def test_after_an_error_nothing_follows():
    writer = messages.StreamWriter(asked())
    assert b"event: error" in writer.feed(Failed(Fault(502, "upstream", "x")))
    assert writer.close() == b""


def test_a_broken_upstream_ends_in_an_error_event():
    stream = StreamTranslation(messages.StreamReader(), messages.StreamWriter(asked()))
    start = json_text.write({"type": "message_start", "message": {"id": "msg_1", "model": "m"}})
    written = stream.feed(sse.Event("message_start", start)) + stream.close()
    assert [document["type"] for document in documents(written)] == ["message_start", "error"]


def test_what_is_written_does_not_change_the_events():
    part = Reasoning(dialect="messages")
    write([Opened(0, part), Mark(0, signature="s"), Closed(0)])
    assert part == Reasoning(dialect="messages")


def test_foreign_proofs_are_sealed_in_the_stream_as_in_the_reply():
    reasoning = Reasoning(id="rs_1", summary=True, dialect="responses")
    events = [Opened(0, reasoning), Delta(0, "why"), Mark(0, encrypted="ENC"), Closed(0)]
    events += [Opened(1, ToolCall("c", "f", signature="SIG")), Closed(1)]
    content: list[dict] = []
    for document in documents(write(events)):
        if document["type"] == "content_block_start":
            content.append(document["content_block"])
        elif document["type"] == "content_block_delta":
            delta = {k: v for k, v in document["delta"].items() if k != "type"}
            content[-1] |= {k: content[-1].get(k, "") + v for k, v in delta.items()}
    back = messages.read_request({"model": "m", "messages": [{"role": "assistant", "content": content}]})
    sealed = Reasoning("why", encrypted="ENC", id="rs_1", summary=True, pieces=["why"], dialect="responses")
    assert back.turns[0].parts == [sealed, ToolCall("c", "f", "{}", signature="SIG")]


def test_half_a_surrogate_pair_passes():
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    reader, writer = messages.StreamReader(), messages.StreamWriter(asked())
    reader.feed(sse.Event("", json_text.write(block)))
    half = rb'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ud83d"}}'
    written = b"".join(writer.feed(event) for event in [Opened(0, Text("")), *reader.feed(sse.Event("", half))])
    assert rb'"text":"\ud83d"' in written


@pytest.mark.parametrize(
    "data",
    [
        b"{", b"[]", b"1", b"{}", b'{"type":1}', b'{"type":"message_start"}', b'{"type":"message_start","message":[]}',
        b'{"type":"content_block_start","index":"0","content_block":{"type":"text"}}',
        b'{"type":"content_block_start","index":0}', b'{"type":"content_block_delta","index":0}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":1}}',
        b'{"type":"content_block_delta","index":[],"delta":{"type":"text_delta","text":"a"}}',
        b'{"type":"message_delta","delta":[]}', b'{"type":"message_delta","delta":{"stop_reason":1}}',
    ],
)  # fmt: skip
def test_an_event_that_is_none(data):
    with pytest.raises(ChannelFailed):
        messages.StreamReader().feed(sse.Event("", data))
