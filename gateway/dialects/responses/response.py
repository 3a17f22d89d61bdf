"""The Response object: what a reply is, and what the events of a stream repeat.

Every member that OpenAI's document or Open Responses requires is there, if need be as null or as
the protocol's default.
"""

from typing import Any

from gateway.dialects.responses.request_reader import INSTRUCTIONS
from gateway.dialects.responses.request_writer import format_member
from gateway.dialects.responses.schema import (
    CODE_OF_KIND,
    ENDINGS,
    ERROR_CODES,
    FOREIGN_TIERS,
    SERVICE_TIERS,
    integer,
    listing,
    mapping,
)
from gateway.dialects.responses.tool_writer import choice_member, write_tools
from gateway.dialects.vocabulary import Asked, Finish, Prompt, Text
from gateway.errors import Fault
from gateway.usage import UPSTREAM, Usage

_COMPLETED = ("completed", None)


def begun(asked: Asked, response_id: str, created: int | None, service_tier: str | None) -> dict[str, Any]:
    """The object as it is before anything was said: ``in_progress``, no output."""
    prompt = asked.prompt
    return {
        "id": response_id if response_id.startswith("resp_") else asked.new_id("resp_"),
        "object": "response",
        "created_at": asked.created if created is None else created,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "frequency_penalty": _or(prompt.frequency_penalty, 0),
        "incomplete_details": None,
        "instructions": _instructions(prompt),
        "max_output_tokens": prompt.max_tokens,
        "max_tool_calls": None,
        "metadata": _or(prompt.metadata, {}),
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": _or(prompt.parallel_tool_calls, True),
        "presence_penalty": _or(prompt.presence_penalty, 0),
        "previous_response_id": None,
        "prompt_cache_key": prompt.cache_key,
        "reasoning": _reasoning(prompt),
        "safety_identifier": prompt.rest.get("safety_identifier"),
        "service_tier": _tier(service_tier),
        "store": False,
        "temperature": _or(prompt.temperature, 1),
        "text": _text(prompt),
        "tool_choice": _tool_choice(prompt),
        "tools": _tools(prompt),
        "top_logprobs": _or(prompt.top_logprobs, 0),
        "top_p": _or(prompt.top_p, 1),
        "truncation": "disabled",
        "usage": None,
        "user": prompt.user,
    }


def ended(response: dict, finish: Finish | None, output: list[dict], usage: Usage, now: int) -> dict[str, Any]:
    """The object at its end. Without *finish* nobody said why it ended: ``incomplete``, no reason."""
    status, reason = ("incomplete", None) if finish is None else ENDINGS.get(finish.reason, _COMPLETED)
    if reason == "content_filter" and finish.reason == "refusal" and _declines(output):
        status, reason = _COMPLETED
    said = {**response, "status": status, "output": output, "usage": usage_member(usage)}
    if reason is not None:
        said["incomplete_details"] = {"reason": reason}
    if status == "completed":
        said["completed_at"] = max(now, response["created_at"])
    if status == "failed":
        raw = finish.raw if finish is not None else None
        said["error"] = {"code": "server_error", "message": f"the model stopped with an error ({raw or 'unknown'})"}
    return said


def _declines(output: list[dict]) -> bool:
    """Whether the model said its "no" itself: that is a whole answer."""
    contents = [item.get("content") for item in output if item.get("type") == "message"]
    return any(part.get("type") == "refusal" for content in contents for part in listing(content))


def failed(response: dict, fault: Fault, output: list[dict], usage: Usage) -> dict[str, Any]:
    """The object after *fault*. Its code must be one that the protocol knows; the ``error``
    event keeps the fault's own."""
    code = fault.code if fault.code in ERROR_CODES else CODE_OF_KIND.get(fault.kind, "server_error")
    error = {"code": code, "message": fault.message, "param": fault.param, "type": fault.type}
    return {**response, "status": "failed", "output": output, "usage": usage_member(usage), "error": error}


def usage_member(usage: Usage) -> dict[str, Any] | None:
    """``usage``; null when nothing is known. Both totals hold their details, as in Usage."""
    if usage.total is None:
        return None
    return {
        "input_tokens": usage.input or 0,
        "input_tokens_details": {
            "cached_tokens": usage.cached or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": usage.output or 0,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.total,
    }


def read_usage(value: Any) -> Usage:
    """An upstream's ``usage``; some servers use chat's names (``prompt_tokens``) in it."""
    said = mapping(value)
    details_in = mapping(said.get("input_tokens_details") or said.get("prompt_tokens_details"))
    details_out = mapping(said.get("output_tokens_details") or said.get("completion_tokens_details"))
    read, wrote = _first(said, "input_tokens", "prompt_tokens"), _first(said, "output_tokens", "completion_tokens")
    if read is None and wrote is None:
        return Usage()
    return Usage(
        input=read,
        output=wrote,
        cached=integer(details_in.get("cached_tokens")),
        cache_write=integer(details_in.get("cache_write_tokens")),
        input_audio=integer(details_in.get("audio_tokens")),
        output_audio=integer(details_out.get("audio_tokens")),
        reasoning=integer(details_out.get("reasoning_tokens")),
        source=UPSTREAM,
    )


def _first(said: dict, *names: str) -> int | None:
    found = (integer(said.get(name)) for name in names)
    return next((value for value in found if value is not None and value >= 0), None)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _instructions(prompt: Prompt) -> str | None:
    first = prompt.turns[0] if prompt.turns else None
    if first is None or first.id != INSTRUCTIONS or not first.parts:
        return None
    return first.parts[0].text if isinstance(first.parts[0], Text) else None


def _reasoning(prompt: Prompt) -> dict[str, Any]:
    wish = prompt.reasoning
    return {"effort": wish.effort if wish else None, "summary": wish.summary if wish else None}


def _text(prompt: Prompt) -> dict[str, Any]:
    text = {"format": format_member(prompt.output) if prompt.output else {"type": "text"}}
    return {**text, "verbosity": prompt.verbosity} if prompt.verbosity else text


def _tools(prompt: Prompt) -> list[dict]:
    """The tools that the upstream was given: hosted ones it was not."""
    tools = write_tools([tool for tool in prompt.tools if tool.kind != "hosted"], own=True)
    nulls = {"description": None, "parameters": None, "strict": None}
    return [{**nulls, **tool} if tool.get("type") == "function" else tool for tool in tools]


def _tool_choice(prompt: Prompt) -> Any:
    if prompt.tool_choice is None:
        return "auto"
    others = listing(prompt.rest.get("tool_choice.tools"))
    choice = choice_member(prompt.tool_choice, prompt.tools)
    if others and isinstance(choice, dict):
        return {**choice, "tools": choice["tools"] + others}
    return "auto" if choice is None else choice


def _tier(tier: str | None) -> str:
    return tier if tier in SERVICE_TIERS else FOREIGN_TIERS.get(tier or "", "default")
