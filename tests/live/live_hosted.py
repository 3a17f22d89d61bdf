"""What the hosted gateways' documents show: chunks and replies of a vendor, and who says them."""

import json

CHUNK = {"id": "chatcmpl_abc123", "object": "chat.completion.chunk", "created": 1735689600, "model": "gpt-4o"}
WHOLE = {"id": "chatcmpl-abc123", "object": "chat.completion", "created": 1703123456, "model": "gpt-4o"}
ASKED = [{"role": "user", "content": "Explain attention in one sentence."}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}


def sse(*documents, done=b"data: [DONE]\n\n"):
    return b"".join(b"data: %s\n\n" % json.dumps(document).encode() for document in documents) + done


def chunk(delta, reason=None, **more):
    return CHUNK | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} | more


def whole(message, reason="stop", **more):
    return WHOLE | {"choices": [{"index": 0, "message": message, "finish_reason": reason}]} | more


CHAT_USAGE = {"prompt_tokens": 26, "completion_tokens": 38, "total_tokens": 64}
CHAT_STREAM = sse(
    chunk({"role": "assistant", "content": "API"}), chunk({"content": " gateway"}),
    chunk({}, "stop", usage=CHAT_USAGE),
)  # fmt: skip


def replies(upstream, answer, **more):
    """The upstream answers all that comes with *answer*: a document, or a stream's bytes."""
    if isinstance(answer, bytes):
        upstream.answer(lambda exchange: exchange.stream(answer))
    else:
        upstream.answer(lambda exchange: exchange.reply(json.dumps(answer).encode(), **more))


def got(upstream):
    """What the upstream was sent last."""
    return json.loads(upstream.exchanges[-1].body)
