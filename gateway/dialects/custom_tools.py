"""Free-text tools (OpenAI's ``custom``) on targets that have function tools only.

Coding agents bring such tools (Codex's apply_patch), and dropping one would leave the agent without
its hands. So the tool goes out as a function with one string, ``input``, and what the model calls
comes back as the free text that the client expects, also while it streams.
"""

import re
from dataclasses import replace
from typing import Any

from gateway import json_text
from gateway.dialects.vocabulary import (
    Closed,
    Completion,
    Delta,
    Opened,
    Part,
    Prompt,
    StreamEvent,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.sse import Event

_PARAMETERS = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "the whole input of the tool, as plain text"}},
    "required": ["input"],
    "additionalProperties": False,
}
_OPENING = re.compile(r'\s*\{\s*"input"\s*:\s*"')
# As much of a JSON string's inside as can be decoded for sure: no half escape, no half pair.
_HIGH, _ANY = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[0-9a-fA-F]{4}"
_DECODABLE = re.compile(rf'(?:[^"\\]+|\\["\\/bfnrt]|{_HIGH}{_ANY}|{_HIGH}(?=[^\\]|\\[^u])|(?!{_HIGH}){_ANY})*')


def lacking(dialect: str, traits: frozenset[str]) -> bool:
    """Whether a target has no custom tools."""
    return dialect in ("messages", "gemini") or "no_custom_tools" in traits


def wrapped(prompt: Prompt) -> tuple[Prompt, frozenset[str]]:
    """*prompt* with its custom tools as functions, and their names; the same object if it has none."""
    names = frozenset(tool.name for tool in prompt.tools if tool.kind == "custom")
    if not names and not any(_is_custom(part) for turn in prompt.turns for part in turn.parts):
        return prompt, names
    tools = [_function(tool) if tool.kind == "custom" else tool for tool in prompt.tools]
    turns = [replace(turn, parts=[_wrapped_part(part) for part in turn.parts]) for turn in prompt.turns]
    return replace(prompt, tools=tools, turns=turns), names


def _is_custom(part: Part) -> bool:
    return isinstance(part, ToolCall | ToolResult) and part.kind == "custom"


def _wrapped_part(part: Part) -> Part:
    if not _is_custom(part):
        return part
    if isinstance(part, ToolCall):
        return replace(part, kind="function", arguments=json_text.write({"input": part.arguments}).decode())
    return replace(part, kind="function")


def _function(tool: Tool) -> Tool:
    description = tool.description or ""
    form = tool.raw.get("format") if isinstance(tool.raw, dict) else None
    nested = tool.raw.get("custom") if isinstance(tool.raw, dict) else None
    if form is None and isinstance(nested, dict):
        form = nested.get("format")
    if isinstance(form, dict) and form.get("type") == "grammar":
        rule = form.get("grammar") if isinstance(form.get("grammar"), dict) else form
        description += f"\n\nThe input has to match this {rule.get('syntax')} grammar:\n{rule.get('definition')}"
    return Tool(tool.name, description.strip() or None, _PARAMETERS, cache=tool.cache)


def unwrapped(completion: Completion, names: frozenset[str]) -> Completion:
    """A whole answer with the calls of *names* as free text again (changed in place)."""
    for choice in completion.choices:
        for part in choice.parts if names else ():
            if isinstance(part, ToolCall) and part.name in names:
                part.kind, part.arguments = "custom", _free_text(part.arguments)
    return completion


def _free_text(arguments: str) -> str:
    try:
        value: Any = json_text.parse(arguments)
    except json_text.NotJson:
        return arguments  # the model wrote something else: better that than nothing
    if not isinstance(value, dict):
        return arguments
    texts = [value["input"]] if "input" in value else list(value.values())
    return texts[0] if len(texts) == 1 and isinstance(texts[0], str) else arguments


class UnwrappingReader:
    """A StreamReader whose calls of *names* come out as free text, as far as it is known."""

    def __init__(self, reader: Any, names: frozenset[str]):
        self._reader = reader
        self._names = names
        self._open: dict[tuple[int, int], _Input] = {}

    def feed(self, event: Event) -> list[StreamEvent]:
        return self._all(self._reader.feed(event))

    def close(self) -> list[StreamEvent]:
        return self._all(self._reader.close())

    def _all(self, events: list[StreamEvent]) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        for event in events:
            key = (event.choice, event.index) if isinstance(event, Opened | Delta | Closed) else None
            if isinstance(event, Opened) and isinstance(event.part, ToolCall) and event.part.name in self._names:
                self._open[key] = _Input()
                event = replace(event, part=replace(event.part, kind="custom"))
            elif key in self._open:
                text = self._open[key].more(event.text) if isinstance(event, Delta) else self._open.pop(key).rest()
                if text:
                    out.append(Delta(event.index, text, event.choice))
                if isinstance(event, Delta):
                    continue
            out.append(event)
        return out


class _Input:
    """Decodes ``{"input": "..."}`` while it arrives."""

    def __init__(self) -> None:
        self._raw = ""
        self._at = -1  # where the undecoded inside of the string begins, once its quote was seen
        self._said = False

    def more(self, text: str) -> str:
        self._raw += text
        if self._at < 0:
            opening = _OPENING.match(self._raw)
            if opening is None:
                return ""
            self._at = opening.end()
        inside = _DECODABLE.match(self._raw, self._at)
        self._at = inside.end()
        if not inside[0]:
            return ""
        self._said = True
        try:
            return json_text.parse(f'"{inside[0]}"')
        except json_text.NotJson:  # a control character that should have been escaped
            return inside[0]

    def rest(self) -> str:
        """What is owed when the call is over: everything, if it never looked as expected."""
        return "" if self._said else _free_text(self._raw)
