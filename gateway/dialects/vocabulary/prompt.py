"""What is asked."""

from dataclasses import dataclass, field
from typing import Any

from gateway.dialects.vocabulary.parts import Part


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
