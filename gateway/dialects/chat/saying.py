"""What every writer of messages must know: whose conversation it is, what the target takes, and
where losses are named."""

from dataclasses import dataclass, field, replace
from typing import Any

from gateway.dialects.chat.content import write_media
from gateway.dialects.chat.schema import DIALECT
from gateway.dialects.translation import unsaid_extras, unsaid_opaque
from gateway.dialects.vocabulary import (
    Media,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

# OpenAI's Files serve both of its APIs; an id of anybody else's names nothing in a chat upstream.
_FILE_ID_DIALECTS = (DIALECT, "responses")

_NAMES = {Text: "text", Reasoning: "reasoning", ToolCall: "tool_call", ToolResult: "tool_result", Refusal: "refusal"}


def part_name(part: Part) -> str:
    """``part.KIND``, as losses are named."""
    if isinstance(part, Media):
        return f"part.{part.kind}"
    if isinstance(part, Opaque):
        return unsaid_opaque(part)
    return f"part.{_NAMES[type(part)]}"


@dataclass(slots=True)
class Saying:
    """One prompt on its way to one target. ``own``: it came from chat and is written as it was."""

    prompt: Prompt
    traits: frozenset[str]
    dropped: list[str] = field(default_factory=list)
    own: bool = False

    def __post_init__(self) -> None:
        self.own = self.prompt.dialect == DIALECT

    def allows(self, trait: str) -> bool:
        """Whether a vendor's extension may be written."""
        return self.own or trait in self.traits

    def drop(self, part: Part) -> None:
        self.dropped.append(part_name(part))

    def part(self, part: Part) -> dict[str, Any] | None:
        """A content part; None when it says nothing or had to be dropped."""
        if isinstance(part, Text):
            if not part.text and not self.own:
                return None  # vendors refuse empty texts
            return self.marked({"type": "text", "text": part.text}, part)
        if isinstance(part, Opaque) and part.dialect == DIALECT and self.own:
            return dict(part.value)
        written = None
        if isinstance(part, Media):
            if part.file_id and not part.data and self.prompt.dialect not in _FILE_ID_DIALECTS:
                part = replace(part, file_id=None)
            written = write_media(part, self.own, self.traits)
            self.dropped += unsaid_extras(part, DIALECT) if written else []
        elif isinstance(part, Refusal):
            written = {"type": "refusal", "refusal": part.text} if self.own else {"type": "text", "text": part.text}
        if written is None:
            self.drop(part)
            return None
        return self.marked(written, part)

    def marked(self, written: dict[str, Any], part: Any) -> dict[str, Any]:
        """*written* with the part's cache mark where the target takes one."""
        cache = getattr(part, "cache", None)
        if cache is None:
            return written
        if self.allows("cache_control"):
            return {**written, "cache_control": cache}
        self.dropped.append("cache_control")
        return written

    def with_rest(self, message: dict[str, Any], turn: Turn) -> dict[str, Any]:
        """*message* with the members that only chat has, back in their places."""
        if not self.own:
            return message
        for path, value in turn.rest.items():
            place, _, name = path.removeprefix("content.").partition(".")
            content = message.get("content")
            if not has_leftovers({path: value}):
                message[path] = value
            elif isinstance(content, list) and place.isdecimal() and int(place) < len(content):
                content[int(place)][name] = value
                if name == "prompt_cache_breakpoint":  # what its cache mark was read from
                    content[int(place)].pop("cache_control", None)
        return message


def has_leftovers(rest: dict[str, Any]) -> bool:
    """Whether content.read_leftovers put something into a turn's ``rest``."""
    return any(path.startswith("content.") for path in rest)
