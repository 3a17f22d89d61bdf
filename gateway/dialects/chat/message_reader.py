"""``messages`` of a request -> turns."""

from typing import Any

from gateway.dialects.chat.assistant import MEMBERS, read_assistant
from gateway.dialects.chat.call_ids import CallIds
from gateway.dialects.chat.content import read_content, read_leftovers
from gateway.dialects.chat.schema import ROLES
from gateway.dialects.chat.shapes import entries, refuse, said, words
from gateway.dialects.vocabulary import ToolResult, Turn

_SAID = ("role", "content", "name")


def read_messages(document: dict[str, Any]) -> list[Turn]:
    """One Turn per message: the borders that the client drew stay."""
    messages = entries(document.get("messages"), "messages")
    if not messages:
        refuse("messages", "at least one message")
    ids = CallIds()
    return [_read(message, f"messages[{index}]", ids) for index, message in enumerate(messages)]


def _read(message: Any, where: str, ids: CallIds) -> Turn:
    if not isinstance(message, dict):
        refuse(where, "an object")
    role = message.get("role")
    if role not in ROLES:
        refuse(f"{where}.role", "one of " + ", ".join(ROLES))
    name = words(message.get("name"), f"{where}.name") or None
    if role == "assistant":
        turn, known = Turn(role, read_assistant(message, where, ids), name), MEMBERS
    elif role == "tool":
        turn, known = Turn(role, [_result(message, where, ids)], name), (*_SAID, "tool_call_id")
    elif role == "function":  # the form before role tool: tied to its call by the name alone
        turn, known = Turn("tool", [_result(message, where, ids)]), _SAID
    else:
        turn, known = Turn(role, read_content(message.get("content"), f"{where}.content"), name), _SAID
    turn.rest = {member: value for member, value in message.items() if member not in known and value is not None}
    turn.rest |= read_leftovers(message.get("content"))
    return turn


def _result(message: dict[str, Any], where: str, ids: CallIds) -> ToolResult:
    call_id = words(message.get("tool_call_id"), f"{where}.tool_call_id")
    name = said(message.get("name"))
    call = ids.answered(call_id, name)
    parts = read_content(message.get("content"), f"{where}.content")
    return ToolResult(call.id, parts, call.name or name, kind=call.kind)
