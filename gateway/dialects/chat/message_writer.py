"""Turns -> ``messages``."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway.dialects.chat.assistant_writer import AssistantWriter
from gateway.dialects.chat.call_ids import CallIds
from gateway.dialects.chat.saying import Saying, has_leftovers
from gateway.dialects.chat.thinking import BETWEEN
from gateway.dialects.vocabulary import Text, ToolCall, ToolResult, Turn


class MessageWriter:
    """Writes the turns of one prompt.

    A conversation that came from chat keeps its messages as they were; one from elsewhere is
    arranged as chat demands: the tool calls of one answer in one assistant message, their
    results right behind it, and only then other content.
    """

    def __init__(self, saying: Saying):
        self._saying = saying
        self._turns = saying.prompt.turns if saying.own else list(_merged(saying.prompt.turns))
        self._ids = CallIds()
        self._assistant = AssistantWriter(saying, self._turns, self._ids)
        self._moved: list[dict[str, Any]] = []  # media of tool results, waiting for their run to end
        self._messages: list[dict[str, Any]] = []

    def write(self) -> list[dict[str, Any]]:
        for turn in self._turns:
            message = self._assistant.write(turn) if turn.role == "assistant" else self._said(turn)
            if message is not None:
                self._flush()
                self._messages.append(self._saying.with_rest(message, turn))
        self._flush()
        return self._messages

    def _flush(self) -> None:
        if self._moved:
            self._messages.append({"role": "user", "content": self._moved})
            self._moved = []

    def _said(self, turn: Turn) -> dict[str, Any] | None:
        """The turn's message; None when it has nothing but tool results, which are written here."""
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        others = [part for part in turn.parts if not isinstance(part, ToolResult)]
        for result in results:
            self._messages.append(self._result(result, turn))
        if results and not others:
            return None
        parts = [written for part in others if (written := self._saying.part(part)) is not None]
        if results:
            parts, self._moved = self._moved + parts, []
        if not parts and not self._saying.own:
            return None
        role = "user" if turn.role == "tool" else turn.role
        if role == "developer" and "no_developer" in self._saying.traits:
            role = "system"
        return {"role": role, "content": self._content(parts, turn)} | ({"name": turn.name} if turn.name else {})

    def _content(self, parts: list[dict[str, Any]], turn: Turn) -> Any:
        """One plain text as a string, anything more as an array; nothing as an empty string."""
        if not parts:
            return ""
        plain = all(part.keys() == {"type", "text"} for part in parts)
        annotated = self._saying.own and has_leftovers(turn.rest)
        if plain and len(parts) == 1 and not annotated:
            return parts[0]["text"]
        if plain and "string_content" in self._saying.traits:
            return BETWEEN.join(part["text"] for part in parts)
        return parts

    def _result(self, result: ToolResult, turn: Turn) -> dict[str, Any]:
        """A tool message. Hardly any vendor takes media in one: they go into a user message
        behind the run of results."""
        call = self._ids.answered(result.call_id, result.name)
        parts = [written for part in result.parts if (written := self._saying.part(part)) is not None]
        if self._saying.own:
            content = self._content(parts, turn)
        else:
            self._moved += [part for part in parts if part["type"] != "text"]
            content = _result_text(result, [part for part in parts if part["type"] == "text"])
        message = {"role": "tool", "tool_call_id": call.id, "content": content}
        if self._saying.own and turn.name:
            message["name"] = turn.name
        return self._saying.marked(self._saying.with_rest(message, turn), result)


def _result_text(result: ToolResult, texts: list[dict[str, Any]]) -> Any:
    # Chat has no is_error: the model must be told in words.
    prefix = "Error: " if result.is_error else ""
    if any("cache_control" in part for part in texts):
        first = {**texts[0], "text": prefix + texts[0]["text"]}
        return [first, *texts[1:]]
    return prefix + "\n".join(part["text"] for part in texts)


def _merged(turns: list[Turn]) -> Iterator[Turn]:
    """Neighbouring assistant turns as one: thinking, words and calls that other dialects keep
    apart belong to one chat message. Two answers in words stay two, unless the calls of the
    first would then be cut off from their results."""
    last: Turn | None = None
    for turn in turns:
        if last is None:
            last = turn
        elif last.role == turn.role == "assistant" and last.name == turn.name and _can_join(last, turn):
            gap = [Text(BETWEEN)] if _speaks(last) and _speaks(turn) else []
            last = replace(last, parts=[*last.parts, *gap, *turn.parts], rest=last.rest | turn.rest)
        else:
            yield last
            last = turn
    if last is not None:
        yield last


def _can_join(first: Turn, second: Turn) -> bool:
    return not (_speaks(first) and _speaks(second)) or any(isinstance(part, ToolCall) for part in first.parts)


def _speaks(turn: Turn) -> bool:
    return any(isinstance(part, Text) and part.text for part in turn.parts)
