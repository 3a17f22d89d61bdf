"""What is answered."""

from dataclasses import dataclass, field
from typing import Any

from gateway.dialects.vocabulary.parts import Part
from gateway.usage import Usage

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
class Choice:
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
    choices: list[Choice]
    usage: Usage = Usage()
    created: int | None = None
    service_tier: str | None = None
    dialect: str = ""
    rest: dict[str, Any] = field(default_factory=dict)
