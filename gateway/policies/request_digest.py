"""Which requests are the same, and which of them have the same answer each time."""

import hashlib
from collections.abc import Collection
from typing import Any

from gateway import json_text
from gateway.bodies import JsonBody
from gateway.domain import Call

# Operations with one answer to a question, whatever the sampling.
_FIXED = frozenset({"embeddings", "moderations", "rerank", "count_tokens"})
_SAMPLED = frozenset({"generate", "completions"})
# Headers that change what is answered.
_HEADERS = (
    "anthropic-version", "anthropic-beta", "openai-beta", "x-gateway-channel", "x-gateway-tags", "x-gateway-strict",
)  # fmt: skip
# Tools that the client carries out itself; others may find something else each time.
_CLIENTS_TOOLS = frozenset({"function", "custom", None})


def request_digest(call: Call, volatile: Collection[str], any_sampling: bool, shared: bool) -> str:
    """A hash that two calls have in common when the answer to one is an answer to the other; empty for a
    call whose answer is not to be kept.

    Two JSON bodies are the same whatever their white space and the order of their members; top-level members
    named in *volatile* do not count. Unless *shared*, two keys have nothing in common.
    """
    if call.operation not in _FIXED | _SAMPLED or not isinstance(call.body, JsonBody):
        return ""
    document = json_text.parse(call.body.data)
    if call.operation in _SAMPLED and (_has_effects(document) or not (any_sampling or _is_fixed(document))):
        return ""
    said = {name: value for name, value in document.items() if name not in volatile}
    headers = [call.headers.get(name) for name in _HEADERS]
    asked = [
        call.dialect, call.operation, call.endpoint.path, call.query, call.model, call.stream, headers,
        "" if shared else call.principal.name, sorted(call.principal.tags), _sorted(said),
    ]  # fmt: skip
    return hashlib.sha256(json_text.write(asked)).hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _has_effects(document: dict) -> bool:
    """Whether something else happens than an answer, or the answer depends on more than the request."""
    if document.get("background") or document.get("conversation"):
        return True
    tools = document.get("tools")
    return any(_is_vendors(tool) for tool in (tools if isinstance(tools, list) else ()))


def _is_vendors(tool: Any) -> bool:
    """Whether the vendor carries the tool out: web search, code execution, MCP, ..."""
    if not isinstance(tool, dict):
        return False
    if tool.get("functionDeclarations") or tool.get("function_declarations"):
        return len(tool) > 1
    return tool.get("type") not in _CLIENTS_TOOLS or not ({"type", "name", "function"} & set(tool))


def _is_fixed(document: dict) -> bool:
    """Whether nothing is left to chance: temperature 0, or only the likeliest token."""
    settings = document.get("generationConfig") or document.get("generation_config") or document
    if not isinstance(settings, dict):
        return False
    one = settings.get("topK", settings.get("top_k"))
    zero = settings.get("temperature")
    return _is_number(zero, 0) or _is_number(one, 1)


def _is_number(value: Any, wanted: int) -> bool:
    return value is not None and not isinstance(value, bool | str | list | dict) and value == wanted
