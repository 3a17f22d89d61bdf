"""The neutral vocabulary between the dialects: what a conversation, an answer and a stream are.

Every dialect reads its own JSON into these words and writes them out in its own; no dialect
knows another. Pure values: no socket, no clock, no Flask. ``None`` always means "not said".

A word that only one dialect has is kept in ``rest`` (whole documents) or as an ``Opaque`` part,
marked with the dialect it came from: the same dialect writes it back, any other names it as
dropped. Nothing disappears in silence.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Fault
from gateway.usage import Usage

# --- parts of a turn ---------------------------------------------------------------------------


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

# --- what is asked -----------------------------------------------------------------------------


@dataclass(slots=True)
class Turn:
    """Neighbouring parts of one speaker. Roles: system, developer, user, assistant, tool.

    Readers keep the conversation's own order and borders; a writer that needs alternation (or
    one leading system text) merges and moves, and never invents words.
    """

    role: str
    parts: list[Part]
    name: str | None = None
    id: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Tool:
    """A function (or ``custom``) tool with its JSON Schema; kind ``hosted`` is one that the
    upstream runs itself and only ``dialect`` can say (``raw`` is its own object)."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    kind: str = "function"
    cache: Any = None
    dialect: str = ""
    raw: Any = None


@dataclass(slots=True)
class ToolChoice:
    """``mode``: auto, none, required, or named (one of ``names``); with auto or required,
    ``names`` narrows the tools that may be called."""

    mode: str
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class OutputFormat:
    """``kind``: text, json_object or json_schema."""

    kind: str
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(slots=True)
class ReasoningWish:
    """How hard to think: ``effort`` (none, minimal, low, medium, high, xhigh, max) or ``budget``
    (tokens; 0 off, -1 the model decides); ``summary`` (auto, concise, detailed, none) and
    ``visible`` say what of it the client wants to see."""

    effort: str | None = None
    budget: int | None = None
    summary: str | None = None
    visible: bool | None = None
    adaptive: bool | None = None


@dataclass(slots=True)
class Prompt:
    """One request for an answer, in neutral words.

    ``rest`` holds members of ``dialect``'s document that have no word here, by their path in it
    (top level: ``top_a``; nested: ``generationConfig.responseModalities``).
    """

    dialect: str
    model: str
    turns: list[Turn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: Any = None
    top_p: Any = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    logit_bias: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    reasoning: ReasoningWish | None = None
    output: OutputFormat | None = None
    verbosity: str | None = None
    modalities: list[str] | None = None  # text, audio, image
    stream: bool = False
    include_usage: bool | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    cache_key: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)


# --- what is answered --------------------------------------------------------------------------

# Why an answer ended. ``raw`` beside it keeps the upstream's own word.
FINISHES = ("stop", "stop_sequence", "length", "context_length", "tool_calls", "content_filter",
            "refusal", "pause", "error")  # fmt: skip


@dataclass(slots=True)
class Finish:
    """``reason`` is one of FINISHES; ``sequence`` the stop sequence that was hit."""

    reason: str
    raw: str | None = None
    sequence: str | None = None


@dataclass(slots=True)
class Candidate:
    """One of the ``n`` answers."""

    parts: list[Part]
    finish: Finish | None = None
    logprobs: Any = None  # in chat's shape: {"content": [...], "refusal": [...]}
    rest: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Completion:
    """A whole answer. ``created`` is in Unix seconds."""

    id: str
    model: str
    candidates: list[Candidate]
    usage: Usage = Usage()
    created: int | None = None
    service_tier: str | None = None
    dialect: str = ""
    rest: dict[str, Any] = field(default_factory=dict)


# --- what is streamed --------------------------------------------------------------------------
# A reader gives, in order: Started, then per part Opened, Delta*, Closed (parts of one candidate
# have increasing ``index``; several may be open at once), UsageSeen whenever the upstream says
# it (cumulative: the latest wins), Finished per candidate. Failed ends everything.


@dataclass(slots=True)
class Started:
    """``usage`` is what the upstream counted before the answer began (Anthropic's input tokens),
    for a dialect whose first event says it; it comes again as UsageSeen."""

    id: str
    model: str
    created: int | None = None
    service_tier: str | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class Opened:
    """A part begins; ``part`` holds what is known of it (a ToolCall's id and name, no text)."""

    index: int
    part: Part
    candidate: int = 0


@dataclass(slots=True)
class Delta:
    """More of an open part: words of a Text, Reasoning or Refusal, arguments of a ToolCall."""

    index: int
    text: str
    candidate: int = 0
    logprobs: Any = None


@dataclass(slots=True)
class Mark:
    """Something else about an open part: a citation, a signature, encrypted reasoning.
    ``dialect`` says whose proof it is when the part was opened before that was known."""

    index: int
    citation: Citation | None = None
    signature: str | None = None
    encrypted: str | None = None
    candidate: int = 0
    dialect: str = ""


@dataclass(slots=True)
class Closed:
    index: int
    candidate: int = 0


@dataclass(slots=True)
class UsageSeen:
    usage: Usage


@dataclass(slots=True)
class Finished:
    finish: Finish
    candidate: int = 0


@dataclass(slots=True)
class Failed:
    fault: Fault


StreamEvent = Started | Opened | Delta | Mark | Closed | UsageSeen | Finished | Failed

# --- what writers are told ---------------------------------------------------------------------


@dataclass(slots=True)
class Target:
    """Who a request is written for. ``traits`` are what its vendor demands or lacks beside the
    dialect: ``reasoning_content`` (wants thinking replayed in that member: DeepSeek, Kimi),
    ``max_tokens`` (knows only the old name of max_completion_tokens), ``no_developer`` (takes
    system only), ``no_file_url``, ... ; ``max_tokens`` is the default where one is compulsory."""

    model: str
    traits: frozenset[str] = frozenset()
    max_tokens: int = 8192


@dataclass(slots=True)
class Written:
    """A request in the target's words. ``dropped`` names what could not be said: a Prompt field
    (``top_k``), a key of ``rest`` as it stands, or ``part.KIND`` (``part.video``)."""

    document: dict[str, Any]
    dropped: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Asked:
    """What the writer of an answer must know of the question: the ``model`` as the client named
    it, the time in Unix seconds, ``new_id(prefix)`` for ids that the upstream did not give, and
    the ``prompt`` (a Responses object repeats much of it)."""

    model: str
    created: int
    new_id: Callable[[str], str]
    prompt: Prompt
