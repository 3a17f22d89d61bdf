"""Streams: an upstream's bytes as neutral events, neutral events as a client's bytes."""

import pytest

from gateway import json_text
from gateway.dialects.responses import StreamReader, StreamWriter, read_request
from gateway.dialects.translation import StreamTranslation
from gateway.dialects.vocabulary import Delta, Failed, Finished, Opened, Started, Text
from gateway.errors import Fault
from tests.dialects.responses.responses_cases import (
    CASES,
    CUTS,
    asked,
    build,
    cut,
    load,
    names,
    plain,
    read_stream,
    written,
)

_REPEATED = ("id", "status", "output", "usage", "error", "incomplete_details", "created_at", "completed_at")


def _short(event: dict) -> dict:
    """The event with so much of its Response object as changes."""
    if "response" not in event:
        return event
    return {**event, "response": {name: event["response"][name] for name in _REPEATED}}


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("name", names("streams", ".sse"))
def test_a_stream_is_read_the_same_however_it_is_cut(name, size):
    whole = (CASES / "streams" / f"{name}.sse").read_bytes()
    assert plain(read_stream(whole, size)) == load("streams", name)["events"]


@pytest.mark.parametrize("name", names("write_stream"))
def test_neutral_events_are_written(name):
    case = load("write_stream", name)
    writer = StreamWriter(asked(read_request(case["prompt"])))
    whole = b"".join(writer.feed(event) for event in build(case["events"]))
    whole += writer.close(build(case["fault"]))
    assert [_short(event) for event in written(whole)] == case["written"]
    assert writer.close() == b"" and writer.close(Fault(502, "upstream", "again")) == b""


@pytest.mark.parametrize("name", names("write_stream"))
def test_what_is_written_keeps_the_order_of_the_protocol(name):
    case = load("write_stream", name)
    events = case["written"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added, parts = {}, set()
    for event in events:
        kind, index = event["type"], event.get("output_index")
        if kind == "response.output_item.added":
            assert index == len(added), "items are numbered as they come"
            added[index] = event["item"]["id"]
        elif index is not None:
            assert index in added, "an item is added before anything is said of it"
            assert event.get("item_id", added[index]) == added[index]
        if kind.endswith("part.added"):
            parts.add((index, event.get("content_index", event.get("summary_index"))))
        elif "content_index" in event or "summary_index" in event:
            assert (index, event.get("content_index", event.get("summary_index"))) in parts
    last = events[-1]
    assert last["type"] in ("response.completed", "response.incomplete", "response.failed")
    if last["type"] != "response.failed":
        done = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
        assert [done[index] for index in sorted(done)] == last["response"]["output"]
        assert done.keys() == added.keys()


@pytest.mark.parametrize("name", names("own_stream", ".sse"))
def test_a_stream_of_its_own_comes_back_equal(name):
    whole = (CASES / "own_stream" / f"{name}.sse").read_bytes()
    begun = written(whole)[0]["response"]
    prompt = read_request({"model": begun["model"], "input": "hi", "tools": begun["tools"]})
    writer = StreamWriter(asked(prompt))
    again = b"".join(writer.feed(event) for event in read_stream(whole)) + writer.close()
    assert again == whole


def test_no_stream_ends_with_a_done_mark():
    for name in names("write_stream"):
        assert b"[DONE]" not in (CASES / "write_stream" / f"{name}.json").read_bytes()


def test_lines_are_safe_for_clients_that_split_on_separators():
    writer = StreamWriter(asked())
    writer.feed(Started("", ""))
    writer.feed(Opened(0, Text("")))
    assert "\u2028".encode() not in writer.feed(Delta(0, "a\u2028b\u0085\ud83d"))


def test_each_delta_leaves_at_once():
    writer = StreamWriter(asked())
    writer.feed(Started("", ""))
    writer.feed(Opened(0, Text("")))
    for piece in ("a", "b", "c"):
        assert written(writer.feed(Delta(0, piece)))[-1]["delta"] == piece
    reader = StreamReader()
    said = [reader.feed(event) for event in cut((CASES / "streams" / "text.sse").read_bytes(), 65536)]
    assert [[e.text for e in events if isinstance(e, Delta)] for events in said if events].count(["Hel"]) == 1


def test_a_cut_stream_reaches_the_client_as_an_error():
    translation = StreamTranslation(StreamReader(), StreamWriter(asked()))
    whole = b"".join(translation.feed(event) for event in cut((CASES / "streams" / "cut.sse").read_bytes(), 65536))
    events = written(whole + translation.close())
    assert translation.failed is not None
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2]["error"]["code"] == "upstream_stream_cut"
    assert not any(event["type"] in ("response.completed", "response.incomplete") for event in events)


def test_nothing_is_read_after_the_end():
    reader = StreamReader()
    events = cut((CASES / "streams" / "text.sse").read_bytes(), 65536)
    said = [neutral for event in events for neutral in reader.feed(event)]
    assert isinstance(said[-1], Finished)
    assert [neutral for event in events for neutral in reader.feed(event)] == []
    assert reader.close() == []


def test_an_answer_is_given_once_whatever_the_upstream_repeats():
    """#6223: tool calls came twice, from their own events and from response.completed."""
    for name in names("streams", ".sse"):
        said = read_stream((CASES / "streams" / f"{name}.sse").read_bytes())
        calls = [e.part.id for e in said if isinstance(e, Opened) and hasattr(e.part, "arguments")]
        assert len(calls) == len(set(calls)), name
        assert sum(isinstance(e, Finished | Failed) for e in said) == 1


def test_the_objects_are_complete():
    """Every member that Open Responses requires of a ResponseResource is there, and in all events."""
    required = json_text.parse((CASES / "required_members.json").read_bytes())
    whole = (CASES / "own_stream" / "text.sse").read_bytes()
    for event in written(whole):
        if "response" in event:
            assert not set(required) - event["response"].keys()
