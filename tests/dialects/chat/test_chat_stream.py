"""Chat streams: chunks to neutral events, neutral events to chunks."""

import re
import time

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from gateway import json_text
from gateway.dialects import chat
from gateway.dialects.vocabulary import Delta, Prompt, Reasoning, Text, ToolCall
from gateway.sse import Event, events
from tests.dialects.chat.chat_cases import CUTS, asked, cases, chunks_of, cut_events, load, neutral, plain, stream_bytes

# What OpenAI's types of chunks cannot hold: custom tools (openai-python #2530), half a UTF-16 pair.
UNKNOWN = re.compile(rb'"custom"|\\ud83d')


def read(stream: bytes, size: int = 65536) -> list:
    reader = chat.StreamReader()
    found = [neutral_event for event in cut_events(stream, size) for neutral_event in reader.feed(event)]
    return found + reader.close()


def write(neutral_events: list, prompt: Prompt | None = None, fault=None) -> bytes:
    writer = chat.StreamWriter(asked(prompt))
    return b"".join(writer.feed(event) for event in neutral_events) + writer.close(fault)


def written(path) -> bytes:
    case = load(path)
    return write(neutral(case["events"]), neutral(case["prompt"]), neutral(case["fault"]))


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("path", cases("read_stream"), ids=lambda path: path.stem)
def test_a_stream_reads_the_same_however_it_is_cut(path, size):
    case = load(path)
    assert [plain(event) for event in read(stream_bytes(case["chunks"]), size)] == case["events"], case["why"]


@pytest.mark.parametrize("path", cases("write_stream"), ids=lambda path: path.stem)
def test_a_stream_is_written(path):
    case = load(path)
    assert chunks_of(written(path)) == case["chunks"], case["why"]


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("path", cases("own_stream"), ids=lambda path: path.stem)
def test_a_chat_stream_comes_out_as_it_went_in(path, size):
    case = load(path)
    stream = stream_bytes(case["chunks"])
    assert write(read(stream, size), neutral(case["prompt"])) == stream


@pytest.mark.parametrize("path", cases("write_stream") + cases("own_stream"), ids=lambda path: path.stem)
def test_what_is_written_is_openais_own_type(path):
    stream = written(path) if path.parent.name == "write_stream" else stream_bytes(load(path)["chunks"])
    for event in events(stream):
        if event.data != b"[DONE]" and not event.data.startswith(b'{"error"') and not UNKNOWN.search(event.data):
            ChatCompletionChunk.model_validate_json(event.data, strict=True)


def known_to_the_helper(path) -> bool:
    """It knows neither error events nor every kind of call."""
    return "error" not in load(path)["chunks"][-1] and not UNKNOWN.search(written(path))


KNOWN_TO_THE_HELPER = [path for path in cases("write_stream") if known_to_the_helper(path)]


@pytest.mark.parametrize("path", KNOWN_TO_THE_HELPER, ids=lambda path: path.stem)
def test_openais_own_helper_puts_the_chunks_together(path):
    case, stream = load(path), written(path)
    chunks = [chunk for chunk in case["chunks"] if chunk != "[DONE]"]
    choices = put_together(stream)["choices"]
    for index, choice in enumerate(choices):
        deltas = [c["delta"] for chunk in chunks for c in chunk["choices"] if c["index"] == index]
        message = choice["message"]
        assert message["role"] == "assistant"
        for member in ("content", "reasoning_content", "refusal"):
            assert (message.get(member) or "") == "".join(delta.get(member) or "" for delta in deltas)
        for member in ("reasoning_details", "annotations", "images"):
            assert (message.get(member) or []) == [entry for delta in deltas for entry in delta.get(member, [])]
        for call in message.get("tool_calls") or []:
            json_text.parse(call["function"]["arguments"].encode())
    assert all(choice["finish_reason"] for choice in choices)


def put_together(stream: bytes) -> dict:
    """The completion that OpenAI's helper makes of a stream."""
    state = ChatCompletionStreamState()
    for event in events(stream):
        if event.data != b"[DONE]":
            list(state.handle_chunk(ChatCompletionChunk.model_validate_json(event.data)))
    return state.current_completion_snapshot.to_dict()


def sent_back(name: str) -> list:
    """The parts that are read when a client sends a streamed answer back as it got it."""
    path = next(path for path in cases("write_stream") if path.stem == name)
    message = put_together(written(path))["choices"][0]["message"]
    return chat.read_request({"model": "m", "messages": [{"role": "user", "content": "hi"}, message]}).turns[1].parts


def test_a_client_that_sends_a_streamed_answer_back_keeps_every_proof():
    assert [part for part in sent_back("thinking") if isinstance(part, Reasoning)] == [
        Reasoning("hm", "S", dialect="messages"),
        Reasoning(encrypted="R", dialect="messages"),
        Reasoning("x", "S2", dialect="messages"),
    ]
    assert [part for part in sent_back("thinking_summary") if isinstance(part, Reasoning)] == [
        Reasoning("a\n\nb", encrypted="E", id="rs_1", summary=True, dialect="responses"),
    ]


def test_a_streamed_call_keeps_its_thought_signature():
    calls = [part for part in sent_back("tool_whole") if isinstance(part, ToolCall)]
    assert [(call.id, call.arguments, call.signature) for call in calls] == [
        ("t1", '{"a":1}', "S"),
        ("t2", "{}", "S2"),
    ]


def test_streamed_words_keep_their_thought_signature():
    assert sent_back("text_signature") == [Text("a", signature="S")]


@pytest.mark.parametrize("path", cases("own_stream"), ids=lambda path: path.stem)
def test_nothing_waits(path):
    """Every chunk with words in it comes out before the next one goes in."""
    case = load(path)
    reader, writer = chat.StreamReader(), chat.StreamWriter(asked(neutral(case["prompt"])))
    for event in events(stream_bytes(case["chunks"])):
        out = b"".join(writer.feed(neutral_event) for neutral_event in reader.feed(event))
        if b'"content":"h' in event.data or b'"arguments":"{' in event.data or b'"reasoning_content":"' in event.data:
            assert chunks_of(out)[-1]["choices"][0]["delta"]
        if b'"finish_reason":"' in event.data:
            assert b'"finish_reason":"' in out


def test_the_end_is_written_once():
    writer = chat.StreamWriter(asked())
    assert writer.close().endswith(b"data: [DONE]\n\n")
    assert writer.close() == b""


def test_nothing_is_read_after_the_end():
    reader = chat.StreamReader()
    reader.feed(Event("", b'{"error": "broken"}'))
    assert reader.feed(Event("", b'{"choices": [{"delta": {"content": "a"}}]}')) == []
    assert reader.close() == []


def test_a_delta_costs_little():
    """Reading and writing one delta: 40 microseconds at the most (about 3 on a quiet machine)."""
    choice = b'{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}'
    head = b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp",'
    event = Event("", head + b'"choices":[' + choice + b"]}")
    reader, writer = chat.StreamReader(), chat.StreamWriter(asked())

    def once() -> float:
        start = time.perf_counter()
        for _ in range(500):
            for neutral_event in reader.feed(event):
                writer.feed(neutral_event)
        return (time.perf_counter() - start) / 500

    assert min(once() for _ in range(10)) < 40e-6
    assert isinstance(reader.feed(event)[0], Delta)
