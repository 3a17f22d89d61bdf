"""Turns as ``system`` and ``messages``.

The rules of the API (platform.claude.com/docs): neighbours of one role are one turn, so they are
put together by joining their blocks; all results of tool calls stand first in the one user
message after the calls; the first message may be the assistant's. System words at the start
belong to the top-level ``system``. Later ones stay where they are if the model allows it: a
system message follows a user message and precedes an assistant's (or ends the conversation), and
two never meet. Models that do not allow it get them in the top-level ``system`` too.
"""

from dataclasses import dataclass, field
from typing import Any

from gateway.dialects.messages.part_writer import PartWriter, shorthand
from gateway.dialects.vocabulary import Turn

SYSTEM_ROLES = ("system", "developer")


@dataclass(slots=True)
class Conversation:
    """Blocks by place; ``messages`` hold block lists until ``finished``."""

    system: list[dict] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[dict] = field(default_factory=list)

    def say(self, role: str, blocks: list[dict]) -> None:
        """More blocks of *role*; a system text that waits goes before an assistant's answer."""
        if role == "assistant":
            self.settle_system()
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"].extend(blocks)
        else:
            self.messages.append({"role": role, "content": blocks})

    def settle_system(self) -> None:
        """Put what waits behind the user's message, the only place a system message may have."""
        if self.waiting and self.messages and self.messages[-1]["role"] == "user":
            self.messages.append({"role": "system", "content": self.waiting})
            self.waiting = []


def write_turns(turns: list[Turn], writer: PartWriter, inner_system: bool, dropped: list[str]) -> Conversation:
    """The conversation of another dialect's client. A conversation of system words only becomes a
    user message: the API wants at least one, and those are the words there are."""
    talk = Conversation()
    for turn in turns:
        if turn.name:
            dropped.append("turn.name")
        if turn.role in SYSTEM_ROLES:
            place = talk.waiting if inner_system and talk.messages else talk.system
            place.extend(writer.blocks(turn.parts, "system"))
            continue
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = writer.blocks(turn.parts, role)
        if blocks:
            talk.say(role, blocks)
    talk.settle_system()
    talk.system.extend(talk.waiting)
    if not talk.messages and talk.system:
        talk.messages, talk.system = [{"role": "user", "content": talk.system}], []
    return _finished(talk)


def write_own_turns(turns: list[Turn], writer: PartWriter) -> Conversation:
    """The conversation of a Messages client, with every member that it had: system messages stay
    where they were, and ``Turn.rest`` gives back what has no neutral word."""
    talk = Conversation()
    for turn in turns:
        whole = turn.rest.get("message")
        if whole is not None:
            talk.messages.append(dict(whole))
            continue
        role = {"tool": "user", "developer": "system"}.get(turn.role, turn.role)
        blocks = _own_blocks(turn, writer, role)
        members = {k: v for k, v in turn.rest.items() if k != "content"}
        if role == "system" and not talk.messages and not members:
            talk.system.extend(blocks)
        elif talk.messages and talk.messages[-1]["role"] == role and not members and role != "system":
            talk.messages[-1]["content"].extend(blocks)
        elif blocks or members:
            talk.messages.append({"role": role, "content": blocks} | members)
    return _finished(talk)


def _own_blocks(turn: Turn, writer: PartWriter, role: str) -> list[dict]:
    kept = turn.rest.get("content", {})
    written = []
    for i, part in enumerate(turn.parts):
        for block in writer.blocks([part], role):
            written.append(kept[i]["block"] if "block" in kept.get(i, {}) else block | kept.get(i, {}))
    return written


def _finished(talk: Conversation) -> Conversation:
    for message in talk.messages:
        content = message["content"]
        if message["role"] == "user" and isinstance(content, list):
            results = [block for block in content if block.get("type") == "tool_result"]
            content = results + [block for block in content if block.get("type") != "tool_result"]
        message["content"] = shorthand(content) if isinstance(content, list) else content
    return talk


def lacks_thinking(messages: list[dict[str, Any]]) -> bool:
    """Whether the conversation stands in the middle of tool calls that no thinking precedes: with
    thinking switched on by a budget, the API then refuses it."""
    answers = [message for message in messages if message["role"] == "assistant"]
    if not answers or not isinstance(answers[-1]["content"], list):
        return False
    kinds = [block.get("type") for block in answers[-1]["content"]]
    return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")
