"""ofox's document (Chat Completions), asked of this gateway as it asks: with another host and key."""

import json

import pytest
from live_cases import reply_bytes
from live_hosted import ASKED, CHAT_USAGE, FUNCTION, chunk, got, replies, sse, whole

pytestmark = pytest.mark.live


def test_chat_completions(curl, upstream, sdk):
    body = {
        "model": "openai/gpt-4o",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Explain what an API Gateway is"},
        ],
        "temperature": 0.7,
    }
    replies(upstream, whole({"role": "assistant", "content": "An API Gateway is a..."}, usage=CHAT_USAGE))
    status, _, data = curl("/v1/chat/completions", body)
    assert (status, json.loads(data)["usage"]) == (200, CHAT_USAGE)
    assert got(upstream) == body | {"model": "gpt-4o"}
    replies(upstream, sse(chunk({"content": "Hello"}), chunk({"content": " there"}), chunk({}, "stop")))
    stream = sdk.chat.completions.create(
        model="openai/gpt-4o", messages=[{"role": "user", "content": "Tell me a story"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello there"
    replies(upstream, whole({"role": "assistant", "content": "A cat"}))
    content = [
        {"type": "text", "text": "What's in this image?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/image.jpg"}},
    ]
    messages = [{"role": "user", "name": "ann", "content": content}]
    response = sdk.chat.completions.create(model="openai/gpt-4o", messages=messages)
    assert response.choices[0].message.content == "A cat"
    assert got(upstream)["messages"] == messages


def test_calls_functions(upstream, sdk):
    calls = [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}]
    replies(upstream, whole({"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"))
    said = sdk.chat.completions.create(model="openai/gpt-4o", messages=ASKED, tools=[FUNCTION], tool_choice="auto")
    (call,) = said.choices[0].message.tool_calls
    history = [*ASKED, said.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "5"}]
    sdk.chat.completions.create(model="openai/gpt-4o", messages=history, tools=[FUNCTION])
    assert [message["role"] for message in got(upstream)["messages"]] == ["user", "assistant", "tool"]
    assert got(upstream)["messages"][1]["tool_calls"] == calls


@pytest.mark.parametrize("failure", ["503 Service Unavailable", "429 Too Many Requests", "500 Oops"])
def test_falls_back(failure, curl, upstream, spare):
    """To another account of the same model, then to the models that `provider` names; the upstream
    sees nothing of that, the client who served it."""
    document = {"error": {"message": "no", "type": "server_error", "code": "model_not_found"}}
    replies(spare, document, status=failure)

    def answer(exchange):
        failing = exchange.target.startswith("/v1/chat")
        text = json.dumps(document).encode() if failing else reply_bytes("messages", stream=False)
        exchange.reply(text, status=failure if failing else "200 OK")

    upstream.answer(answer)
    fallback = {"routing": "priority", "fallback": ["anthropic/claude-opus-4.8"]}
    body = {"model": "openai/gpt-4o", "messages": ASKED, "max_tokens": 9, "provider": fallback}
    status, headers, data = curl("/v1/chat/completions", body)
    assert "provider" not in json.loads(upstream.exchanges[0].body)
    assert "provider" not in json.loads(spare.exchanges[0].body)
    assert status == 200, data
    assert (headers["x-gateway-channel"], headers["x-gateway-attempts"]) == ("claude", "3")
