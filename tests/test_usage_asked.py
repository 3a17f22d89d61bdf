"""Chat streams are asked for their usage, and clients that did not ask do not see that."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import json_edit
from gateway.bodies import FileBody, JsonBody
from gateway.config.settings import ChannelSettings
from gateway.domain import Call, Channel, Endpoint, Provider
from gateway.include_usage import UsageChunkFilter, usage_edits
from gateway.sse import Splitter


def channel_of(*traits):
    settings = ChannelSettings(name="c", provider="p")
    return Channel("c", Provider("p", {"chat": ""}, traits=frozenset(traits)), "https://up.test", (), (), settings)


def edits_of(text, *, dialect="chat", operation="generate", stream=True, channel=None, towards="chat"):
    body = JsonBody(text.encode()) if isinstance(text, str) else text
    call = Call("r", Endpoint(dialect, operation, ""), "POST", "", {}, body, "m", stream)
    return usage_edits(call, channel or channel_of(), towards)


# the client's body, and what becomes of it; nothing else of it changes
BODIES = [
    ('{"model": "m", "stream": true}', {"include_usage": True}),
    ('{"stream":true,"stream_options":null}', {"include_usage": True}),
    ('{"stream":true,"stream_options":{}}', {"include_usage": True}),
    ('{"stream_options":{"include_usage":false}}', {"include_usage": True}),
    ('{"stream_options":{"other":false, "x":1}}', {"other": False, "x": 1, "include_usage": True}),
    ('{"messages":[{"content":"stream_options"}]}', {"include_usage": True}),
]  # fmt: skip


@pytest.mark.parametrize("text, options", BODIES)
@pytest.mark.parametrize("operation", ["generate", "completions"])
def test_a_stream_that_was_not_asked_for_its_usage_is(text, options, operation):
    edits = edits_of(text, operation=operation)
    edited = json.loads(json_edit.edit(text.encode(), edits))
    assert edited == {**json.loads(text), "stream_options": options}


@pytest.mark.parametrize("text", [
    '{"stream_options":{"include_usage":true}}',
    '{"stream_options":{"x":0, "include_usage" : true}}',
    '{"stream_options":"nonsense"}',  # the upstream says best what is wrong with it
])  # fmt: skip
def test_nothing_changes_when_the_client_asked(text):
    assert edits_of(text) == []


def test_nothing_changes_elsewhere():
    text = '{"stream":true}'
    assert edits_of(text, stream=False) == []
    assert edits_of(text, operation="embeddings") == []
    assert edits_of(text, channel=channel_of("no_stream_options")) == []
    assert edits_of(text, dialect="messages") == []  # translated: asks by itself
    for dialect in ("responses", "messages", "gemini"):
        assert edits_of(text, towards=dialect) == []
        assert edits_of(text, dialect=dialect, towards=dialect) == []
    assert edits_of(FileBody(None, 0, "multipart/form-data")) == []


# --- the chunk ---------------------------------------------------------------------------------------

USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n'
SPACED = b'data:{ "choices" : [ ] , "usage" : { "prompt_tokens" : 5 } }\r\n\r\n'
KEPT = [
    b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n',
    b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}],"usage":null}\n\n',  # Azure begins with it
    b'data: {"choices":[],"prompt_filter_results":[]}\r\n\r\n',
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":5}}\n\n',
    b'data: {"choices":[{"delta":{"content":"\\"choices\\":[] \\"usage\\":{}"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"usage","x":{"choices":[],"usage":{}}}}]}\n\n',
    b": keep-alive\n\n",
    b"\n\n\n",
    b"event: x\rdata: y\r\r",
    b'data: {"choices":[],"usage":{\n\n',
    b"data: [DONE]\n\n",
]
events = st.lists(st.sampled_from([*KEPT, USAGE, SPACED]), max_size=8)


@given(events)
def test_the_usage_chunk_is_taken_out_and_every_other_byte_stays(told):
    left = UsageChunkFilter().feed(b"".join(told))
    assert left == b"".join(event for event in told if event not in (USAGE, SPACED))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_however_the_stream_arrives(size):
    stream = b"".join([*KEPT[:5], USAGE, KEPT[-1]])
    splitter, chunk_filter, left = Splitter(), UsageChunkFilter(), b""
    for start in range(0, len(stream), size):
        left += chunk_filter.feed(splitter.feed(stream[start : start + size]))
    assert left + chunk_filter.close() == b"".join([*KEPT[:5], KEPT[-1]])


def test_a_stream_without_the_chunk_is_the_same_bytes():
    chunk_filter = UsageChunkFilter()
    for event in KEPT[:4]:
        assert chunk_filter.feed(event) == event
        assert chunk_filter.part(event) is event
