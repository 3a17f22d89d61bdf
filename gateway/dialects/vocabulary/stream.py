"""What is streamed.

A reader gives, in order: Started, then per part Opened, Delta*, Closed (parts of one choice
have increasing ``index``; several may be open at once), UsageSeen whenever the upstream says
it (cumulative: the latest wins), Finished per choice. Failed ends everything.
"""

from dataclasses import dataclass
from typing import Any

from gateway.dialects.vocabulary.completion import Finish
from gateway.dialects.vocabulary.parts import Citation, Part
from gateway.errors import Fault
from gateway.usage import Usage


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
    choice: int = 0


@dataclass(slots=True)
class Delta:
    """More of an open part: words of a Text, Reasoning or Refusal, arguments of a ToolCall."""

    index: int
    text: str
    choice: int = 0
    logprobs: Any = None


@dataclass(slots=True)
class Mark:
    """Something else about an open part: a citation, a signature, encrypted reasoning.
    ``dialect`` says whose proof it is when the part was opened before that was known."""

    index: int
    citation: Citation | None = None
    signature: str | None = None
    encrypted: str | None = None
    choice: int = 0
    dialect: str = ""


@dataclass(slots=True)
class Closed:
    index: int
    choice: int = 0


@dataclass(slots=True)
class UsageSeen:
    usage: Usage


@dataclass(slots=True)
class Finished:
    finish: Finish
    choice: int = 0


@dataclass(slots=True)
class Failed:
    fault: Fault


StreamEvent = Started | Opened | Delta | Mark | Closed | UsageSeen | Finished | Failed
