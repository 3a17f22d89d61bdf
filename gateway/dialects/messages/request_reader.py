"""A Messages request as a Prompt."""

from typing import Any

from gateway.dialects.messages.output import read_format
from gateway.dialects.messages.part_reader import Read, read_content
from gateway.dialects.messages.schema import DIALECT, TIERS_ASKED
from gateway.dialects.messages.shape import (
    Misshapen,
    boolean,
    listing,
    mapping,
    maybe,
    number,
    string,
    strings,
    whole,
)
from gateway.dialects.messages.thinking import read_effort, read_thinking, settle
from gateway.dialects.messages.tools import read_choice, read_tools
from gateway.dialects.vocabulary import Opaque, Prompt, Text, ToolResult, Turn
from gateway.errors import BadRequest

_ROLES = ("user", "assistant", "system")


def read_request(document: Any, model: str = "", stream: bool = False) -> Prompt:
    """The prompt of a client's *document* (also one of count_tokens, which has no max_tokens).

    ``system`` and system messages become system turns, tool results tool turns in front of the
    user turn that they came with. Raises BadRequest, also for what only the server that holds the
    conversation could do.
    """
    try:
        _refuse_state(mapping(document, ""))
        return _read(document, model, stream)
    except Misshapen as error:
        raise BadRequest(str(error), param=error.path) from None


def _read(document: dict[str, Any], model: str, stream: bool) -> Prompt:
    prompt = Prompt(DIALECT, model or string(document.get("model"), "model"))
    for name, value in document.items():
        if value is None or name in ("model", "system", "messages"):
            continue
        reader = _MEMBERS.get(name)
        if reader is None:
            prompt.rest[name] = value
        else:
            reader(prompt, value)
    prompt.stream = prompt.stream or stream
    settle(prompt)
    _read_system(prompt, document.get("system"))
    messages = listing(document.get("messages"), "messages")
    last_user = max((i for i, m in enumerate(messages) if isinstance(m, dict) and m.get("role") == "user"), default=-1)
    for i, message in enumerate(messages):
        _read_message(prompt, mapping(message, f"messages.{i}"), f"messages.{i}", past=i < last_user)
    return prompt


# --- what a translated call cannot have --------------------------------------------------------


def _refuse_state(document: dict[str, Any]) -> None:
    """The conversation, or a part of it, is held by the upstream that answered before. Going on
    without it would answer another question. (``thread: create`` only offers to hold it: it is
    dropped by name, and the ``continue`` that follows is refused here.)"""
    thread = document.get("thread")
    if thread is not None and mapping(thread, "thread").get("type") != "create":
        raise BadRequest(
            "thread: this channel holds no conversations; send the full conversation without `thread`",
            param="thread",
            code="thread_unsupported_request",
            details={"error_code": "thread_unsupported_request"},
        )
    container = document.get("container")
    held = container.get("id") if isinstance(container, dict) else container
    if held is not None:
        raise BadRequest("container: this channel has no containers to go on in", param="container")
    if document.get("compaction") is not None:
        raise BadRequest("compaction: this channel cannot summarize a conversation this way", param="compaction")


# --- members -----------------------------------------------------------------------------------


def _plain(field: str, check: Any) -> Any:
    def read(prompt: Prompt, value: Any) -> None:
        setattr(prompt, field, check(value, name))

    name = {"stop": "stop_sequences"}.get(field, field)
    return read


def _read_metadata(prompt: Prompt, value: Any) -> None:
    for name, member in mapping(value, "metadata").items():
        if name == "user_id":
            prompt.user = maybe(string, member, "metadata.user_id")
        else:
            prompt.rest[f"metadata.{name}"] = member


def _read_output_config(prompt: Prompt, value: Any) -> None:
    for name, member in mapping(value, "output_config").items():
        reader = _CONFIG.get(name)
        if reader is None:
            prompt.rest[f"output_config.{name}"] = member
        elif member is not None:
            reader(prompt, member)


def _read_output_format(prompt: Prompt, value: Any) -> None:
    read_format(prompt, value, "output_format")


def _read_tier(prompt: Prompt, value: Any) -> None:
    prompt.service_tier = TIERS_ASKED.get(string(value, "service_tier"), value)


_CONFIG = {"effort": read_effort, "format": read_format}
_MEMBERS = {
    "max_tokens": _plain("max_tokens", whole),
    "temperature": _plain("temperature", number),
    "top_p": _plain("top_p", number),
    "top_k": _plain("top_k", whole),
    "stop_sequences": _plain("stop", strings),
    "stream": _plain("stream", boolean),
    "service_tier": _read_tier,
    "metadata": _read_metadata,
    "tools": read_tools,
    "tool_choice": read_choice,
    "thinking": read_thinking,
    "output_config": _read_output_config,
    "output_format": _read_output_format,
}

# --- turns -------------------------------------------------------------------------------------


def _read_system(prompt: Prompt, system: Any) -> None:
    if system is not None:
        _add_turn(prompt, "system", read_content(system, "system"), {})


def _read_message(prompt: Prompt, message: dict[str, Any], path: str, past: bool) -> None:
    role = string(message.get("role"), f"{path}.role")
    if role not in _ROLES:
        raise Misshapen(f"{path}.role", "user, assistant or system")
    members = {k: v for k, v in message.items() if k not in ("role", "content") and v is not None}
    content = message.get("content")
    if content is None and role == "system":
        content = []
    read = _readable(read_content(content, f"{path}.content"))
    if role == "system" and past and members.get("clear_at") == "next_user_message":
        # No longer shown to the model: its words must not reach a model that does not know that.
        prompt.turns.append(Turn("system", [], rest={"message": message}))
        return
    for name in members.keys() - {"clear_at"}:
        prompt.rest[f"messages.{name}"] = True  # the value is in Turn.rest; this names it where it is lost
    if role == "user":
        _add_turn(prompt, "tool", [pair for pair in read if isinstance(pair[0], ToolResult)], {})
        read = [pair for pair in read if not isinstance(pair[0], ToolResult)]
    _add_turn(prompt, role, read, members)


def _readable(read: list[Read]) -> list[Read]:
    """A compaction block stands for the messages it summarizes: its summary is what every other
    model must read in their place. The block itself is kept for Messages."""
    found: list[Read] = []
    for part, extra in read:
        summary = part.value.get("content") if isinstance(part, Opaque) else None
        if isinstance(summary, str) and part.value.get("type") == "compaction":
            found.append((Text(summary, cache=part.value.get("cache_control")), {"block": part.value}))
        else:
            found.append((part, extra))
    return found


def _add_turn(prompt: Prompt, role: str, read: list[Read], members: dict[str, Any]) -> None:
    if not read and not members:
        return
    kept = {i: extra for i, (_, extra) in enumerate(read) if extra}
    for extra in kept.values():
        for name in extra.keys() - {"block"}:
            prompt.rest[f"messages.content.{name}"] = True
    rest = dict(members) | ({"content": kept} if kept else {})
    prompt.turns.append(Turn(role, [part for part, _ in read], rest=rest))
