"""Streams: SSE and the array form, read, written, and there and back again."""

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from gateway import json_text, sse
from gateway.dialects import gemini
from gateway.dialects.vocabulary import Closed, Delta, Failed, Finished, Opened, Started, Text
from gateway.errors import ChannelFailed, Fault
from gateway.sse import Event
from tests.dialects.gemini.gemini_cases import (
    CASES,
    DOCUMENTS,
    asked,
    by_name,
    damaged,
    files,
    from_data,
    load,
    read_cut,
    to_data,
)

SIZES = [1, 2, 7, 1 << 16]
OWN = [path for path in files("stream", "sse") if path.stem.startswith("own_")]
CUT = Fault(502, "upstream", "cut", code="upstream_stream_cut")


def write(writer, events, fault=None):
    return b"".join(writer.feed(event) for event in events) + writer.close(fault)


def chunks(written):
    return [json_text.parse(event.data) for event in sse.events(written)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", files("stream", "sse"), ids=by_name)
def test_a_stream_reads_the_same_however_it_is_cut(path, size):
    events = read_cut(gemini.StreamReader(), path.read_bytes(), size)
    assert to_data(events) == load(path.with_suffix(".json"))


@pytest.mark.parametrize("path", files("stream", "sse"), ids=by_name)
def test_events_stand_in_order(path):
    opened, finished = set(), set()
    for event in read_cut(gemini.StreamReader(), path.read_bytes(), 1 << 16):
        key = (getattr(event, "choice", None), getattr(event, "index", None))
        if isinstance(event, Opened):
            assert key not in opened
            opened.add(key)
        elif isinstance(event, Closed):
            opened.remove(key)
        elif isinstance(event, Delta):
            assert key in opened
        elif isinstance(event, Finished):
            assert event.choice not in finished and not any(number == event.choice for number, _ in opened)
            finished.add(event.choice)


@pytest.mark.parametrize("path", OWN, ids=by_name)
def test_a_stream_survives_its_own_dialect(path):
    stream = path.read_bytes()
    assert write(gemini.StreamWriter(asked()), read_cut(gemini.StreamReader(), stream, 7)) == stream


@pytest.mark.parametrize("path", files("stream_write"), ids=by_name)
def test_neutral_events_are_written_at_once(path):
    case = load(path)
    asked_for = asked(case["model"])
    asked_for.prompt.reasoning = from_data(case["reasoning"])
    writer = gemini.StreamWriter(asked_for)
    assert [writer.feed(from_data(event)).decode() for event in case["events"]] == case["bytes"]
    assert writer.close(from_data(case["fault"])).decode() == case["close"]
    assert writer.close() == writer.close(CUT) == writer.feed(Delta(0, "late")) == b""


@pytest.mark.parametrize("path", files("stream_write"), ids=by_name)
def test_chunks_are_googles(path):
    case = load(path)
    written = "".join([*case["bytes"], case["close"]]).encode()
    assert written.count(b"data: ") == written.count(b"\n\n") == len(sse.events(written))
    for chunk in chunks(written):
        if "error" in chunk:
            assert set(chunk["error"]) <= {"code", "message", "status", "details"}
            continue
        reply = types.GenerateContentResponse.model_validate_json(json_text.write(chunk))
        assert reply.response_id and reply.model_version
        assert all(part != types.Part() for candidate in reply.candidates for part in candidate.content.parts)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", files("stream_write"), ids=by_name)
def test_the_array_form_says_the_same(path, size):
    case = load(path)
    events, fault = from_data(case["events"]), from_data(case["fault"])
    as_events, as_array = gemini.StreamWriter(asked(case["model"])), gemini.ArrayWriter(asked(case["model"]))
    expected = chunks(write(as_events, events, fault))
    written = write(as_array, from_data(case["events"]), fault)
    splitter = gemini.split_array()
    elements = []
    for start in range(0, len(written), size):
        elements += splitter.feed(written[start : start + size])
    assert [json_text.parse(element) for element in elements] == expected
    broken = "error" in expected[-1]
    assert splitter.ended is not broken
    if not broken:
        assert json_text.parse(written) == expected


@pytest.mark.parametrize("path", OWN, ids=by_name)
def test_the_array_form_is_read(path):
    documents = [event.data for event in sse.events(path.read_bytes())]
    reader, splitter = gemini.StreamReader(), gemini.split_array()
    events = []
    for element in splitter.feed(b"[" + b",\n".join(documents) + b"]"):
        events += reader.feed(Event("", element))
    assert to_data(events + reader.close()) == load(path.with_suffix(".json"))


def test_google_indents_its_array():
    written = b'[{\n  "candidates": [\n    {"a": "}]\\"["}\n  ]\n}\n,\r\n{"b": [[{}]]}\n]\n'
    for size in (1, 3, 100):
        splitter = gemini.split_array()
        pieces = [written[start : start + size] for start in range(0, len(written), size)]
        elements = [one for piece in pieces for one in splitter.feed(piece)]
        assert [json_text.parse(one) for one in elements] == [{"candidates": [{"a": '}]"['}]}, {"b": [[{}]]}]
        assert splitter.ended


def test_an_error_without_an_array_is_an_element():
    splitter = gemini.split_array()
    assert splitter.feed(b' {"error": {"co') == []
    assert splitter.feed(b'de": 400}}') == [b'{"error": {"code": 400}}']


@given(st.lists(st.dictionaries(st.text(max_size=4), DOCUMENTS, max_size=3), max_size=4), st.integers(1, 9))
def test_any_array_is_split_wherever_it_is_cut(elements, size):
    written, splitter = json_text.write(elements), gemini.split_array()
    found = [one for start in range(0, len(written), size) for one in splitter.feed(written[start : start + size])]
    assert [json_text.parse(one) for one in found] == json_text.parse(written)
    assert splitter.ended


def test_a_broken_array_is_left_open():
    writer = gemini.ArrayWriter(asked())
    written = writer.feed(Started("i", "m")) + writer.feed(Opened(0, Text(""))) + writer.feed(Delta(0, "x"))
    written += writer.close(CUT)
    assert written.startswith(b'[{"candidates"') and not written.endswith(b"]")
    assert b',\r\n{"error":{"code":502' in written


def test_an_error_begins_as_googles_sdk_expects_it():
    assert gemini.StreamWriter(asked()).close(CUT).startswith(b'data: {"error":{')


def test_nothing_is_said_after_a_failure():
    reader = gemini.StreamReader()
    assert isinstance(reader.feed(Event("", b'{"error":{"code":500}}'))[0], Failed)
    assert reader.feed(Event("", b'{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}')) == []
    assert reader.close() == []


@pytest.mark.parametrize("data", [b"", b"{", b"3", b'{"candidates":3}', b'{"candidates":[{"content":3}]}',
                                  b'{"candidates":[{"index":"x"}]}', b'{"candidates":[{"content":{"parts":["x"]}}]}',
                                  b'{"responseId":3}', b"\xff"])  # fmt: skip
def test_an_event_that_is_not_understood_is_the_channels_failure(data):
    with pytest.raises(ChannelFailed):
        gemini.StreamReader().feed(Event("", data))


@given(st.lists(DOCUMENTS, max_size=3))
def test_no_event_makes_the_reader_raise_anything_else(documents):
    reader, writer = gemini.StreamReader(), gemini.StreamWriter(asked())
    for one in documents:
        for event in (one, {"candidates": [one]}, {"candidates": [{"content": {"parts": [one]}}]}):
            try:
                events = reader.feed(Event("", json_text.write(event)))
            except ChannelFailed:
                return
            for neutral in events:
                writer.feed(neutral)
    for neutral in reader.close():
        writer.feed(neutral)
    writer.close()


@pytest.mark.parametrize("path", files("stream", "sse"), ids=by_name)
def test_no_damage_to_an_event_makes_the_reader_raise_anything_else(path):
    for event in sse.events(path.read_bytes()):
        for document in damaged(json_text.parse(event.data) if event.data != b"[DONE]" else 1):
            reader, writer = gemini.StreamReader(), gemini.StreamWriter(asked())
            try:
                events = reader.feed(Event("", json_text.write(document)))
            except ChannelFailed:
                continue
            for neutral in events + reader.close():
                writer.feed(neutral)
            writer.close()


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=6)), max_size=8))
def test_text_of_any_kind_comes_out_as_it_went_in(pieces):
    writer = gemini.StreamWriter(asked())
    written = writer.feed(Started("i", "m"))
    reader, events = gemini.StreamReader(), []
    for index, (_, words) in enumerate(pieces):
        written += writer.feed(Opened(index, Text("")))
        written += writer.feed(Delta(index, words)) + writer.feed(Closed(index))
    written += writer.feed(Finished(from_data({"$": "Finish", "reason": "stop"}))) + writer.close()
    for event in sse.events(written):
        events += reader.feed(event)
    said = "".join(event.text for event in events if isinstance(event, Delta))
    assert said == "".join(words for _, words in pieces)


def test_every_case_has_its_expectation():
    streams = {path.stem for path in (CASES / "stream").glob("*.sse")}
    assert streams == {path.stem for path in (CASES / "stream").glob("*.json")}


@pytest.mark.parametrize("path", ["", "a", "$", "$[0]", "$.a[*]", "$..a", "$.a[0", "$.a[99999999]", 7])
def test_a_path_of_a_partial_argument_that_names_no_one_value(path):
    call = {"name": "f", "partialArgs": [{"jsonPath": path, "stringValue": "x"}], "willContinue": True}
    event = {"candidates": [{"content": {"parts": [{"functionCall": call}]}, "index": 0}]}
    with pytest.raises(ChannelFailed, match="jsonPath must be "):
        gemini.StreamReader().feed(Event("", json_text.write(event)))


def test_partial_arguments_that_contradict_each_other_are_not_mixed():
    pieces = [{"jsonPath": "$.a", "numberValue": 1}, {"jsonPath": "$.a.b", "stringValue": "x"},
              {"jsonPath": "$.l[1]", "boolValue": False}, {"jsonPath": "$.l.c", "stringValue": "lost"}]  # fmt: skip
    call = {"name": "f", "partialArgs": pieces, "willContinue": False}
    event = {"candidates": [{"content": {"parts": [{"functionCall": call}]}, "index": 0}]}
    found = gemini.StreamReader().feed(Event("", json_text.write(event)))
    assert [e.text for e in found if isinstance(e, Delta)] == ['{"a":{"b":"x"},"l":[null,false]}']
