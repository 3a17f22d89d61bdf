"""Token counts for channels that cannot count: an estimate, and marked as one."""

from typing import Any

from gateway import json_text
from gateway.bodies import JsonBody
from gateway.dialects.messages.tokens import estimate_tokens
from gateway.dialects.registry import DIALECTS
from gateway.domain import Call
from gateway.errors import BadRequest

ESTIMATED = ("x-gateway-estimated", "input_tokens")


def estimated_count(call: Call) -> bytes:
    """The reply to a count_tokens call, in the shape of its dialect. Raises BadRequest."""
    try:
        document = json_text.parse(call.body.data) if isinstance(call.body, JsonBody) else {}
    except json_text.NotJson as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from None
    inner = document.get("generateContentRequest") if isinstance(document, dict) else None
    if call.dialect == "gemini" and isinstance(inner, dict):  # countTokens wraps a whole request
        document = inner
    prompt = DIALECTS[call.dialect].read_request(document, model=call.model)
    return json_text.write(_SHAPES[call.dialect](estimate_tokens(prompt)))


def _messages(count: int) -> dict[str, Any]:
    return {"input_tokens": count}


def _gemini(count: int) -> dict[str, Any]:
    return {"totalTokens": count}


def _responses(count: int) -> dict[str, Any]:
    return {"object": "response.input_tokens", "input_tokens": count}


_SHAPES = {"messages": _messages, "gemini": _gemini, "responses": _responses}
