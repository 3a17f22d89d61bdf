"""Whatever a client or an upstream sends, a reader raises nothing but its own error."""

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import json_text
from gateway.dialects.responses import (
    StreamReader,
    StreamWriter,
    read_reply,
    read_request,
    to_fetch,
    write_reply,
    write_request,
)
from gateway.dialects.responses.compact import compact_prompt
from gateway.dialects.vocabulary import (
    Choice,
    Closed,
    Completion,
    Delta,
    Failed,
    Finish,
    Finished,
    Opened,
    Reasoning,
    Started,
    Target,
    Text,
    ToolCall,
)
from gateway.errors import BadRequest, ChannelFailed
from gateway.sse import Event
from tests.dialects.responses.responses_cases import CASES, CUTS, asked, cut, load, names, plain, read_stream, written

_WORDS = ["type", "id", "input", "content", "text", "role", "user", "message", "tools", "function", "name", "output",
          "reasoning", "summary", "response", "item", "delta", "output_index", "namespace", "status"]  # fmt: skip
_SCALARS = st.none() | st.booleans() | st.integers() | st.sampled_from(_WORDS) | st.text(max_size=4)
_SCALARS |= st.decimals(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=12,
)
_REQUESTS = [load("own_request", name)["document"] for name in names("own_request")]
_REPLIES = [load("read_reply", name)["document"] for name in names("read_reply")]
_STREAMS = [
    [json_text.parse(event.data) for event in cut((CASES / "streams" / f"{name}.sse").read_bytes(), 65536)]
    for name in names("streams", ".sse")
    if name not in ("not_json", "done_mark_and_chat_usage")
]


def _places(value, path=()):
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from _places(member, (*path, key))


@st.composite
def _nearly(draw, documents):
    """A good document with some of its values replaced by others."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(_places(document))))
        if not path:
            return draw(JSON)
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = draw(JSON)
    return document


@given(JSON | _nearly(_REQUESTS))
def test_any_request(document):
    for read in (read_request, compact_prompt):
        try:
            prompt = read(document)
        except BadRequest:
            continue
        written = write_request(prompt, Target("m"))
        json_text.write(written.document)
        to_fetch(prompt, Target("m", frozenset({"no_file_url", "no_image_url"})))
        for name in ["f", *(tool.name for tool in prompt.tools)]:
            answer = Completion("", "", [Choice([Text("x"), ToolCall("c", name, "{}")], Finish("stop"))])
            json_text.write(write_reply(answer, asked(prompt)))


@given(JSON | _nearly(_REPLIES))
def test_any_reply(document):
    with contextlib.suppress(ChannelFailed):
        json_text.write(write_reply(read_reply(document), asked()))


@given(_nearly(_STREAMS) | st.lists(JSON, max_size=5))
def test_any_stream(events):
    reader, writer = StreamReader(), StreamWriter(asked())
    said = []
    for data in events if isinstance(events, list) else [events]:
        said += reader.feed(Event("", json_text.write(data)))
    said += reader.close()
    whole = b"".join(writer.feed(event) for event in said) + writer.close()
    numbers = [event["sequence_number"] for event in written(whole)]
    assert numbers == list(range(len(numbers)))
    opened = [event.index for event in said if type(event).__name__ == "Opened"]
    assert opened == list(range(len(opened)))


@given(st.binary(max_size=60))
def test_any_bytes(data):
    reader = StreamReader()
    reader.feed(Event("", data))
    assert all(isinstance(event, Failed) for event in reader.close())


_TEXTS = st.text(max_size=12)
_DELTAS = st.lists(st.text(min_size=1, max_size=6), max_size=5)


@given(st.lists(st.tuples(st.sampled_from(["text", "call", "thought"]), _DELTAS), max_size=5), st.sampled_from(CUTS))
def test_any_answer_survives_being_written_and_read(answer, size):
    """What a StreamWriter says, a StreamReader hears: words, order and calls."""
    kinds = {"text": lambda: Text(""), "call": lambda: ToolCall("c", "f"), "thought": lambda: Reasoning(summary=True)}
    writer = StreamWriter(asked())
    whole = writer.feed(Started("resp_1", "m"))
    for index, (kind, deltas) in enumerate(answer):
        part = ToolCall(f"c{index}", "f") if kind == "call" else kinds[kind]()
        whole += writer.feed(Opened(index, part))
        whole += b"".join(writer.feed(Delta(index, delta)) for delta in deltas)
        whole += writer.feed(Closed(index))
    whole += writer.feed(Finished(Finish("stop"))) + writer.close()
    expected = [(kind, "".join(deltas) or ("{}" if kind == "call" else "")) for kind, deltas in answer]
    heard: dict[int, list] = {}
    names_of = {"Text": "text", "ToolCall": "call", "Reasoning": "thought"}
    for event in read_stream(whole, size):
        if isinstance(event, Opened):
            heard[event.index] = [names_of[type(event.part).__name__], ""]
        elif isinstance(event, Delta):
            heard[event.index][1] += event.text
    assert [tuple(said) for said in heard.values()] == [said for said in expected if said[1]]


@given(
    st.lists(st.tuples(st.sampled_from(["user", "system", "developer", "assistant"]), _TEXTS.filter(bool)), max_size=6)
)
def test_any_conversation_survives_its_own_dialect(messages):
    kinds = {"assistant": "output_text"}
    items = [
        {"type": "message", "role": role, "content": [{"type": kinds.get(role, "input_text"), "text": text}]}
        for role, text in messages
    ]
    prompt = read_request({"model": "m", "input": items})
    again = read_request(write_request(prompt, Target("m")).document)
    assert plain(again) == plain(prompt)


@pytest.mark.parametrize("document", [None, [], "x", 3, {"input": {}}, {"model": "m", "input": [[]]}])
def test_what_is_no_request_is_a_bad_request(document):
    with pytest.raises(BadRequest):
        read_request(document)
