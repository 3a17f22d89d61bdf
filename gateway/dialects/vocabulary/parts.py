"""What a turn of a conversation, or an answer, is made of."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Text:
    """Words. ``citations`` are neutral Citation values; ``signature`` is a thought signature
    that Gemini puts on text; ``cache`` an Anthropic cache_control mark (any part may have one)."""

    text: str
    citations: list["Citation"] = field(default_factory=list)
    signature: str | None = None
    cache: Any = None


@dataclass(slots=True)
class Citation:
    """Where some text comes from. ``start``/``end`` are character offsets into the text;
    ``raw`` is the citing dialect's own object, written back to that dialect (``dialect``)."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    dialect: str = ""
    raw: Any = None


@dataclass(slots=True)
class Media:
    """An image, audio, video or file: by URL, by base64 ``data`` or by an upstream's file id."""

    kind: str  # image, audio, video, file
    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    name: str | None = None
    detail: str | None = None  # image resolution: low, high, auto
    text: str | None = None  # a plain-text document, given as text
    transcript: str | None = None
    signature: str | None = None
    cache: Any = None
    extra: dict[str, Any] = field(default_factory=dict)  # title, context, citations, fps, ...
    extra_dialect: str = ""


@dataclass(slots=True)
class Reasoning:
    """Thinking. ``text`` may be empty when only a proof of it travels: ``signature`` (Anthropic's
    thinking, Gemini's thought signature), ``encrypted`` (Anthropic's redacted_thinking data,
    OpenAI's encrypted_content). A proof means something only to the dialect named in ``dialect``.
    ``summary`` tells that the text is a summary (Responses), cut into ``pieces`` if it had several."""

    text: str = ""
    signature: str | None = None
    encrypted: str | None = None
    id: str | None = None
    summary: bool = False
    pieces: list[str] = field(default_factory=list)
    dialect: str = ""


@dataclass(slots=True)
class ToolCall:
    """A call of a tool; ``arguments`` is the JSON text as the model wrote it (or, of a ``custom``
    tool, free text). ``item_id`` is the Responses item's own id, apart from the call's id."""

    id: str
    name: str
    arguments: str = ""
    kind: str = "function"  # or custom
    signature: str | None = None
    item_id: str | None = None
    cache: Any = None


@dataclass(slots=True)
class ToolResult:
    """What a tool gave back: Text and Media parts."""

    call_id: str
    parts: list["Part"] = field(default_factory=list)
    name: str | None = None
    is_error: bool | None = None
    kind: str = "function"
    cache: Any = None


@dataclass(slots=True)
class Refusal:
    """The model declined, in words."""

    text: str


@dataclass(slots=True)
class Opaque:
    """A part that only ``dialect`` understands (server tools, search results, ...)."""

    dialect: str
    value: dict[str, Any]


Part = Text | Media | Reasoning | ToolCall | ToolResult | Refusal | Opaque
