"""What clients can ask for."""

from dataclasses import dataclass

GENERATE = "generate"
COUNT_TOKENS = "count_tokens"
COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a path asks for. ``path`` is the canonical one (``/v1/...``), without query."""

    dialect: str
    operation: str
    path: str
    model: str = ""  # when the path names it
    stream: bool | None = None  # when the path says it (gemini)
    model_needed: bool = False
