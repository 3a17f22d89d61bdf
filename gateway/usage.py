"""Tokens in one normal form, whatever the dialect counts."""

from dataclasses import dataclass

UPSTREAM, ESTIMATED, PARTIAL, UNKNOWN = "upstream", "estimated", "partial", "unknown"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. ``None`` means not said, which is not 0.

    ``input`` holds everything read, ``cached`` (read from a cache), ``cache_write`` (written to
    one; ``cache_write_1h`` is the part of it that lives an hour) and ``input_audio`` included;
    ``output`` holds everything written, ``reasoning`` and ``output_audio`` included. So OpenAI's
    ``prompt_tokens`` is ``input`` as it stands, and Anthropic's ``input_tokens`` is
    ``input - cached - cache_write``.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    reasoning: int | None = None
    source: str = UNKNOWN

    @property
    def total(self) -> int | None:
        if self.input is None and self.output is None:
            return None
        return (self.input or 0) + (self.output or 0)
