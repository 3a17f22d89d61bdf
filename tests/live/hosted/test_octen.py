"""octen's document (Chat Completions), asked of this gateway as it asks: with another host and key."""

import json

import pytest
from live_cases import reply_bytes
from live_hosted import ASKED, CHAT_USAGE, CHUNK, FUNCTION, chunk, got, replies, sse, whole
from live_servers import CLIENT_KEY, UPSTREAM_KEY

pytestmark = pytest.mark.live


def test_answers_with_every_parameter(curl, upstream, gateway):
    """The key in x-api-key. What a model does not know is left out, and the reply says so."""
    body = """
{
  "model": "anthropic/claude-opus-4.8",
  "messages": [
    {
      "role": "user",
      "content": "Explain attention in one sentence."
    }
  ],
  "stream": false,
  "max_tokens": 2048,
  "temperature": 1
}
"""
    key = f"x-api-key: {CLIENT_KEY}"
    replies(upstream, json.loads(reply_bytes("messages", stream=False)))
    status, _, data = curl("/v1/chat/completions", body, key=key)
    said = json.loads(data)
    assert (status, said["object"], said["model"]) == (200, "chat.completion", "anthropic/claude-opus-4.8")
    assert said["id"] and isinstance(said["created"], int)
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["choices"][0]["message"]["role"] == "assistant"
    assert said["choices"][0]["message"]["refusal"] is None
    usage = said["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert got(upstream)["max_tokens"] == 2048  # a temperature of 1 asks for nothing
    every = json.loads(body) | {
        "tools": [FUNCTION, {"type": "octen_search"}], "tool_choice": "required", "parallel_tool_calls": False,
        "max_completion_tokens": 512, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "top_a": 0.2, "repetition_penalty": 1.1,
        "frequency_penalty": 0.5, "presence_penalty": 0.5, "response_format": {"type": "text"}, "stop": ["END"],
        "seed": 7, "reasoning": {"effort": "high", "max_tokens": 1024}, "verbosity": "low",
        "logit_bias": {"50256": -100}, "logprobs": True, "top_logprobs": 3, "user": "u-1",
    }  # fmt: skip
    status, headers, data = curl("/v1/chat/completions", every, key=key)
    assert status == 200, data
    sent = got(upstream)
    assert sent["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert (sent["stop_sequences"], sent["output_config"]["effort"]) == (["END"], "high")
    assert (sent["max_tokens"], sent["metadata"]) == (512, {"user_id": "u-1"})
    unsupported = """top_p top_k min_p top_a repetition_penalty frequency_penalty presence_penalty seed verbosity
    logit_bias logprobs top_logprobs tools.octen_search"""
    assert set(headers["x-gateway-dropped"].split(", ")) == set(unsupported.split())
    status, _, data = curl("/v1/chat/completions", every, "x-gateway-strict: 1", key=key)
    assert (status, json.loads(data)["error"]["code"]) == (400, "not_translatable")
    replies(upstream, whole({"role": "assistant", "content": "Hi"}))
    every |= {"model": "minimax/minimax-m2.5", "previous_response_id": "resp_1"}
    assert curl("/v1/chat/completions", every, key=key)[0] == 200
    assert got(upstream) == every


def test_searches(curl, upstream, sdk):
    """search_done, content, finish and usage, then [DONE]; whole with search_results and a warning."""
    found = [{"title": "Attention", "url": "https://x.test/a"}]
    said = {"role": "assistant", "content": "Hi", "refusal": None, "reasoning": None}
    answer = whole(said, search_results=found, warning="max_tokens was lowered")
    replies(upstream, answer)
    body = {"model": "minimax/minimax-m2.5", "messages": ASKED, "tools": [{"type": "octen_search"}]}
    assert json.loads(curl("/v1/chat/completions", body)[2]) == answer
    assert upstream.exchanges[0].headers["x-api-key"] == UPSTREAM_KEY
    events = sse(
        CHUNK | {"choices": [], "type": "search_done", "search_results": found}, chunk({"content": "Hi"}),
        chunk({}, "stop"), CHUNK | {"choices": [], "usage": CHAT_USAGE},
    )  # fmt: skip
    replies(upstream, events)
    asked = body | {"stream": True, "stream_options": {"include_usage": True}}
    assert curl("/v1/chat/completions", asked)[2] == events
    *_, last = sdk.chat.completions.create(**asked)
    assert last.usage.total_tokens == 64


def test_chains_turns_of_responses_models(curl, upstream):
    """`previous_response_id` has effect for models of the Responses API, and is refused for others."""
    replies(upstream, json.loads(reply_bytes("responses", stream=False)))
    body = {"model": "openai/gpt-5.5-pro", "messages": ASKED, "store": True}
    first = json.loads(curl("/v1/chat/completions", body)[2])
    assert got(upstream)["store"] is True
    body |= {"previous_response_id": first["id"]}
    assert curl("/v1/chat/completions", body)[0] == 200
    assert got(upstream)["previous_response_id"] == json.loads(reply_bytes("responses", stream=False))["id"]
    # Without what the upstream keeps, the tail of a conversation alone would be answered.
    status, _, data = curl("/v1/chat/completions", body | {"model": "anthropic/claude-opus-4.8"})
    assert (status, json.loads(data)["error"]["param"]) == (400, "previous_response_id")
