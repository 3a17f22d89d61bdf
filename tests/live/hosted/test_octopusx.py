"""octopusx's documents (Chat Completions, Responses), asked of this gateway as they ask: with another host and key."""

import json
import re

import pytest
from live_cases import reply_bytes
from live_hosted import ASKED, CHAT_STREAM, FUNCTION, PARAMETERS, got, replies, sse, whole
from live_servers import UPSTREAM_KEY

pytestmark = pytest.mark.live


def test_streams_chat_completions(curl, upstream, sdk):
    body = """{
    "model": "gpt-4o",
    "messages": [
      { "role": "system", "content": "You are a concise technical assistant." },
      { "role": "user", "content": "Explain the role of an API gateway in three points." }
    ],
    "stream": true,
    "stream_options": {
      "include_usage": true
    }
  }"""
    replies(upstream, CHAT_STREAM)
    status, headers, data = curl("/v1/chat/completions", body)
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert data == CHAT_STREAM
    (exchange,) = upstream.exchanges
    assert exchange.body == body.encode()
    assert exchange.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    *_, last = sdk.chat.completions.create(**json.loads(body))
    assert last.usage.total_tokens == 64
    # Every member of the table, and of contents all five kinds of parts, arrives as it was written.
    parts = [
        {"type": "text", "text": "Summarize the main conclusions of this chart."},
        {"type": "image_url", "image_url": {"url": "https://x.test/chart.png", "detail": "high"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}},
    ]
    said = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", **FUNCTION}]}
    full = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": parts}, said, {"role": "tool", "tool_call_id": "c1", "content": "5"}],
        "stream": True, "max_tokens": 5, "max_completion_tokens": 7, "temperature": 0, "top_p": 0.0,
        "tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "reasoning_effort": "low", "response_format": {"type": "json_object"},
    }  # fmt: skip
    assert curl("/v1/chat/completions", full)[0] == 200
    assert got(upstream) == full


def test_without_stream_answers_whole(curl, upstream):
    replies(upstream, whole({"role": "assistant", "content": "Hi"}))
    _, headers, data = curl("/v1/chat/completions", {"model": "gpt-4o", "messages": ASKED})
    assert headers["content-type"] == "application/json"
    assert json.loads(data)["object"] == "chat.completion"


@pytest.mark.parametrize("model, dialect", [
    ("gpt-4o", "chat"), ("anthropic/claude-opus-4.8", "messages"), ("google/gemini-3.5-flash", "gemini"),
    ("deepseek-v4", "chat"), ("qwen/qwen3.6-plus", "chat"), ("openai/gpt-5.5-pro", "responses"),
])  # fmt: skip
def test_has_one_format_for_all_models(model, dialect, upstream, sdk):
    """The same stream whoever serves it, with usage in its last message."""
    assert model in [entry.id for entry in sdk.models.list()]
    replies(upstream, reply_bytes(dialect))
    given = {"model": model, "messages": ASKED, "stream": True, "max_tokens": 50}
    chunks = list(sdk.chat.completions.create(**given, stream_options={"include_usage": True}))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "Grüße, wörld 🌍"
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert chunks[-1].usage.completion_tokens == 7
    if dialect != "chat":  # who is asked in another dialect always tells it; the client did not ask
        assert not [chunk for chunk in sdk.chat.completions.create(**given) if chunk.usage]


def test_streams_reasoning_and_tool_calls(upstream, sdk):
    """`delta` may hold reasoning_content and tool_calls; finish_reason is stop, length or tool_calls."""
    thinking = [
        {"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    for data, reason in ((sse(*thinking, done=b""), "length"), (reply_bytes("messages", "tools"), "tool_calls")):
        replies(upstream, data)
        model = "anthropic/claude-opus-4.8"
        stream = sdk.chat.completions.create(
            model=model, messages=ASKED, stream=True, tools=[FUNCTION], max_tokens=9, reasoning_effort="high"
        )
        choices = [choice for chunk in stream for choice in chunk.choices]
        assert choices[-1].finish_reason == reason
        deltas = [choice.delta.model_dump(exclude_none=True) for choice in choices]
        assert any("reasoning_content" in delta for delta in deltas) == (reason == "length")
        assert any("tool_calls" in delta for delta in deltas) == (reason == "tool_calls")


RESPONSE = {
    "id": "resp_abc123", "object": "response", "created_at": 1735689600, "status": "completed", "model": "gpt-4o",
    "output": [{
        "type": "message", "id": "msg_abc123", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": "Tools and more.", "annotations": []}],
    }],
    "usage": {"prompt_tokens": 26, "completion_tokens": 62, "total_tokens": 88},
}  # fmt: skip
ON_RESPONSES = {
    "plain": """{
    "model": "gpt-4o",
    "instructions": "You are a concise technical assistant.",
    "input": "Explain in three sentences what scenarios the Responses API is suitable for."
  }""",
    "multimodal": """{
    "model": "gpt-4o",
    "input": [
      {
        "role": "user",
        "content": [
          { "type": "input_text", "text": "Extract the abnormal metrics from this screenshot." },
          { "type": "input_image", "image_url": "https://x.test/dashboard.png", "detail": "high" }
        ]
      }
    ]
  }""",
    "tools": json.dumps({
        "model": "gpt-4o", "input": "Is Beijing suitable for outdoor running today?", "tool_choice": "auto",
        "tools": [{"type": "function", "name": "get_weather", "description": "Get city weather",
                   "parameters": PARAMETERS}, {"type": "web_search"}],
    }),
    "the whole table": json.dumps({
        "model": "gpt-4o", "input": "Hi", "previous_response_id": "resp_0", "max_output_tokens": 0, "store": True,
        "reasoning": {"effort": "medium", "summary": "auto"}, "text": {"format": {"type": "json_object"}},
        "metadata": {"job": "7"}, "include": ["reasoning.encrypted_content"], "stream": False,
    }),
}  # fmt: skip


@pytest.mark.parametrize("body", ON_RESPONSES.values(), ids=ON_RESPONSES)
def test_answers_responses(body, curl, upstream, gateway):
    replies(upstream, RESPONSE)
    status, headers, data = curl("/v1/responses", body)
    assert (status, json.loads(data)) == (200, RESPONSE)
    (exchange,) = upstream.exchanges
    assert (exchange.target, exchange.body) == ("/v1/responses", body.encode())
    gateway.logged(re.escape(headers["x-request-id"]) + r".* tokens=26\+62\b")


def test_streams_responses(curl, upstream, sdk):
    body = {
        "model": "gpt-4o", "input": "Write a product launch announcement within 5 lines.", "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    replies(upstream, reply_bytes("responses"))
    assert curl("/v1/responses", body)[2] == reply_bytes("responses")
    assert got(upstream) == body
    *_, last = sdk.responses.create(model="gpt-4o", input="Hi", stream=True)
    assert (last.type, last.response.output_text) == ("response.completed", "Grüße, wörld 🌍")


def test_keeps_store_from_a_channel_that_says_so(sdk, upstream):
    replies(upstream, RESPONSE)
    for model, found in (("gpt-4o", True), ("gpt-unstored", False)):
        sdk.responses.create(model=model, input="Hi", store=True)
        assert ("store" in got(upstream)) == found


@pytest.mark.parametrize("model", ["gpt-4o", "anthropic/claude-opus-4.8"])
def test_compacts_a_context(model, curl, upstream):
    """An account that compacts is asked to; for any other a summary is made."""
    body = {
        "model": model,
        "instructions": "Compress this, preserving decisions, constraints, and action items.",
        "input": [
            {"role": "user", "content": "First-round requirements..."},
            {"role": "assistant", "content": "First-round proposal..."},
        ],
    }
    compacted = {"id": "resp_1", "object": "response.compaction", "created_at": 1, "output": [], "usage": None}
    replies(upstream, compacted if model == "gpt-4o" else json.loads(reply_bytes("messages", stream=False)))
    status, _, data = curl("/v1/responses/compact", body)
    assert status == 200, data
    if model == "gpt-4o":
        assert (upstream.exchanges[0].target, got(upstream)) == ("/v1/responses/compact", body)
    else:
        said = json.loads(data)
        assert said["object"] == "response.compaction"
        assert said["output"][-1]["type"] == "compaction"
