"""A client's POST /v1/responses document as a Prompt."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gateway.dialects.responses.schema import (
    DIALECT,
    ENCRYPTED_REASONING,
    FIELDS,
    TEXT_LOGPROBS,
    integer,
    mapping,
    string,
)
from gateway.dialects.responses.tools import read_choice, read_tools
from gateway.dialects.responses.turn_reader import read_input
from gateway.dialects.vocabulary import OutputFormat, Prompt, ReasoningWish, Text, Turn
from gateway.errors import BadRequest

INSTRUCTIONS = "instructions"  # the id of the turn that comes back as ``instructions``

# Members that need a server which keeps responses: (error code, what to do instead).
STATEFUL = {
    # OpenAI's own code, upon which clients send the whole conversation again.
    "previous_response_id": ("previous_response_not_found", "send the whole conversation in input"),
    "conversation": ("unsupported_parameter", "send the whole conversation in input"),
    "prompt": ("unsupported_parameter", "send the prompt's text in instructions and input"),
    "context_management": ("unsupported_parameter", "compact the conversation with /v1/responses/compact"),
}

# Explicit defaults that every channel fulfils: no loss, so not worth a word.
_DEFAULTS = {"background": False, "truncation": "disabled"}

_READ = {"model", "input", "instructions", "stream", "stream_options", "tools", "tool_choice", "text",
         "reasoning", "include", "safety_identifier"}  # fmt: skip


def read_request(document: Any, model: str = "", stream: bool = False) -> Prompt:
    """The document as a Prompt. Raises BadRequest, with ``param`` naming the member."""
    if not isinstance(document, dict):
        raise BadRequest("the body must be a JSON object")
    refuse_state(document)
    named = document.get("model")
    if named is not None and not isinstance(named, str):
        raise BadRequest("model must be a string", param="model")
    prompt = Prompt(DIALECT, model or named or "")
    prompt.stream = stream or document.get("stream") is True
    prompt.turns = _turns(document)
    for member in {member for turn in prompt.turns for member in turn.rest}:
        prompt.rest[f"input.{member}"] = True  # the value is in Turn.rest; this names it where it is lost
    for member, (field, check, what) in SCALARS.items():
        value = document.get(member)
        if value is not None:
            setattr(prompt, field, _checked(value, check, member, what))
    prompt.tools = read_tools(document.get("tools"), prompt.rest)
    prompt.tool_choice = read_choice(document.get("tool_choice"), prompt.rest)
    _read_text(document.get("text"), prompt)
    _read_reasoning(document.get("reasoning"), prompt)
    _read_include(document.get("include"), prompt)
    _read_stream_options(document.get("stream_options"), prompt)
    _read_user(document, prompt)
    known = _READ | SCALARS.keys() | STATEFUL.keys()
    for member, value in document.items():
        if member in known or value is None or (member in _DEFAULTS and value == _DEFAULTS[member]):
            continue
        prompt.rest[member] = value
    return prompt


def refuse_state(document: dict) -> None:
    """BadRequest for members that would need a server which keeps responses: without them the
    conversation, or the answer itself, would be lost in silence."""
    for member, (code, instead) in STATEFUL.items():
        if document.get(member) not in (None, [], {}):
            raise BadRequest(f"{member} is not supported on this channel, which keeps no responses: {instead}",
                             param=member, code=code)  # fmt: skip
    if document.get("background") is True:
        raise BadRequest("background is not supported on this channel, which keeps no responses",
                         param="background", code="unsupported_parameter")  # fmt: skip


def _turns(document: dict) -> list[Turn]:
    if document.get("input") is None:
        raise BadRequest("input is missing: a string or a list of items", param="input")
    turns = read_input(document["input"])
    instructions = document.get("instructions")
    if instructions is None:
        return turns
    if not isinstance(instructions, str):
        raise BadRequest("instructions must be a string", param="instructions")
    return [Turn("system", [Text(instructions)], id=INSTRUCTIONS), *turns] if instructions else turns


def _checked(value: Any, check: Callable[[Any], Any], member: str, what: str) -> Any:
    found = check(value)
    if found is None:
        raise BadRequest(f"{member} must be {what}", param=member)
    return found


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: Any) -> dict | None:
    return value if isinstance(value, dict) else None


# Member -> (Prompt field, check, what it must be).
_CHECKS = {
    "parallel_tool_calls": (_boolean, "true or false"),
    "max_tokens": (integer, "a whole number"),
    "temperature": (_number, "a number"),
    "top_p": (_number, "a number"),
    "top_logprobs": (integer, "a whole number"),
    "user": (_string, "a string"),
    "metadata": (_object, "an object"),
    "store": (_boolean, "true or false"),
    "service_tier": (_string, "a string"),
    "cache_key": (_string, "a string"),
}
SCALARS = {FIELDS[field]: (field, *check) for field, check in _CHECKS.items()}
# Open Responses has these two as well; OpenAI does not, so they are no FIELDS.
SCALARS |= {name: (name, _number, "a number") for name in ("presence_penalty", "frequency_penalty")}


def _read_text(value: Any, prompt: Prompt) -> None:
    if value is None:
        return
    text = _checked(value, _object, "text", "an object")
    for member in text.keys() - {"format", "verbosity"}:
        prompt.rest[f"text.{member}"] = text[member]
    prompt.verbosity = string(text.get("verbosity")) or None
    if text.get("format") is None:
        return
    form = _checked(text["format"], _object, "text.format", "an object")
    kind = form.get("type")
    schema = form.get("schema")
    if kind not in ("text", "json_object", "json_schema"):
        raise BadRequest("text.format.type must be text, json_object or json_schema", param="text.format.type")
    if kind == "json_schema" and not isinstance(schema, dict):
        raise BadRequest("text.format.schema must be a JSON Schema object", param="text.format.schema")
    strict = form.get("strict")
    prompt.output = OutputFormat(
        kind,
        schema=schema if kind == "json_schema" else None,
        name=string(form.get("name")) or None,
        description=string(form.get("description")) or None,
        strict=strict if isinstance(strict, bool) else None,
    )


def _read_reasoning(value: Any, prompt: Prompt) -> None:
    if value is None:
        return
    reasoning = _checked(value, _object, "reasoning", "an object")
    for member in reasoning.keys() - {"effort", "summary", "generate_summary"}:
        if reasoning[member] is not None:
            prompt.rest[f"reasoning.{member}"] = reasoning[member]
    summary = string(reasoning.get("summary")) or string(reasoning.get("generate_summary")) or None
    effort = string(reasoning.get("effort")) or None
    if effort or summary:
        prompt.reasoning = ReasoningWish(effort, summary=summary, visible=True if summary else None)


def _read_include(value: Any, prompt: Prompt) -> None:
    """Proofs of thinking are always given back, so that wish needs no word."""
    value = [] if value is None else value
    if not isinstance(value, list):
        raise BadRequest("include must be a list", param="include")
    if TEXT_LOGPROBS in value:
        prompt.logprobs = True
    others = [entry for entry in value if entry not in (TEXT_LOGPROBS, ENCRYPTED_REASONING)]
    if others:
        prompt.rest["include"] = others


def _read_stream_options(value: Any, prompt: Prompt) -> None:
    for member, option in mapping(value).items():
        if member == "include_usage" and isinstance(option, bool):
            prompt.include_usage = option
        elif option not in (None, False):
            prompt.rest[f"stream_options.{member}"] = option


def _read_user(document: dict, prompt: Prompt) -> None:
    """``safety_identifier`` is the new name of ``user``; both together are two different things."""
    identifier = document.get("safety_identifier")
    if identifier is None:
        return
    identifier = _checked(identifier, _string, "safety_identifier", "a string")
    if prompt.user is None:
        prompt.user = identifier
    else:
        prompt.rest["safety_identifier"] = identifier
