"""Token counts that nobody said: estimates, and marked as such."""

import re
from typing import Any

from gateway import json_text
from gateway.bodies import JsonBody
from gateway.dialects.messages.tokens import PER_IMAGE, TokenCounter, count_parts, estimate_tokens
from gateway.dialects.registry import DIALECTS
from gateway.domain import COMPACT, GENERATE, Call
from gateway.errors import BadRequest, GatewayError
from gateway.interpreter import read_prompt

ESTIMATED = ("x-gateway-estimated", "input_tokens")

# A larger body is weighed instead: counting every character of it would keep the worker to itself
# for some 100 ms a megabyte.
_MOST_COUNTED = 256 * 1024
_PER_BYTE = 0.3  # tokens; 0.25 in English prose, 0.4 in Chinese
# A string this long without a space holds the bytes of a picture or a recording. It begins at a
# quote, or the search would try it again from each of its characters.
_LONG = re.compile(rb'"([^"\\]{4096,})"')
_ASKED = ("input", "prompt", "query", "documents", "content", "requests")  # where other operations have words


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


def estimated_input(call: Call) -> int | None:
    """About how many tokens the call gives to the model; None if its body is no JSON."""
    if not isinstance(call.body, JsonBody):
        return None
    data = call.body.data
    if len(data) > _MOST_COUNTED:
        return weighed(data)
    try:
        if call.operation in (GENERATE, COMPACT):
            return estimate_tokens(call.prompt or read_prompt(call))
        document = json_text.parse(data)
    except (GatewayError, json_text.NotJson):
        return weighed(data)
    counter = TokenCounter()
    if isinstance(document, dict):
        _add_texts([document.get(name) for name in _ASKED], counter)
    return counter.total


def weighed(data: bytes) -> int:
    """About how many input tokens a JSON body of any size is, by its bytes; media as images. Takes
    a millisecond for a megabyte."""
    media = [text for text in _LONG.findall(data) if b" " not in text]
    return int((len(data) - sum(map(len, media))) * _PER_BYTE) + len(media) * PER_IMAGE


def estimated_output(dialect: str, document: bytes) -> int | None:
    """About how many tokens a whole reply in *dialect* says; None when it is none."""
    try:
        completion = DIALECTS[dialect].read_reply(json_text.parse(document))
    except (GatewayError, json_text.NotJson):
        return None
    counter = TokenCounter()
    for choice in completion.choices:
        count_parts(choice.parts, counter)
    return counter.total


def _add_texts(value: Any, counter: TokenCounter) -> None:
    """Every text in *value*, however deep; token ids (embeddings take them) count as one each."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            counter.add(value)
            counter.add_tokens(0)  # the next text does not go on with this one's last word
        elif isinstance(value, int) and not isinstance(value, bool):
            counter.add_tokens(1)
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()


def _messages(count: int) -> dict[str, Any]:
    return {"input_tokens": count}


def _gemini(count: int) -> dict[str, Any]:
    return {"totalTokens": count}


def _responses(count: int) -> dict[str, Any]:
    return {"object": "response.input_tokens", "input_tokens": count}


_SHAPES = {"messages": _messages, "gemini": _gemini, "responses": _responses}
