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
    ``input - cached - cache_write``. ``images`` made and ``seconds`` of audio heard are no tokens;
    they are counted where vendors charge for them.

    ``source``: ``upstream`` said it, the gateway ``estimated`` some of it, ``partial`` is what was
    seen of an answer that broke off, or it is ``unknown``.
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
    images: int | None = None
    seconds: int | None = None

    @property
    def total(self) -> int | None:
        if self.input is None and self.output is None:
            return None
        return (self.input or 0) + (self.output or 0)

    @property
    def says_nothing(self) -> bool:
        """Whether it tells of no work at all: servers that do not count fill in 0."""
        return not (self.input or self.output or self.images or self.seconds)

    def apart(self) -> dict[str, int]:
        """The tokens by kind, no token in two kinds; they add up to ``total``.

        ``input`` and ``output`` are what is left beside the other kinds, ``cache_write`` what lives
        less than an hour. A part that a server says to be larger than its whole is as large as that.
        """
        fresh, written = max(self.input or 0, 0), max(self.output or 0, 0)
        cached, fresh = _taken(self.cached, fresh)
        cache_write, fresh = _taken(self.cache_write, fresh)
        input_audio, fresh = _taken(self.input_audio, fresh)
        cache_write_1h, cache_write = _taken(self.cache_write_1h, cache_write)
        reasoning, written = _taken(self.reasoning, written)
        output_audio, written = _taken(self.output_audio, written)
        return {
            "input": fresh, "cached": cached, "cache_write": cache_write, "cache_write_1h": cache_write_1h,
            "input_audio": input_audio, "output": written, "reasoning": reasoning, "output_audio": output_audio,
        }  # fmt: skip


def _taken(part: int | None, whole: int) -> tuple[int, int]:
    """(the part, what it leaves of the whole)"""
    taken = min(max(part or 0, 0), whole)
    return taken, whole - taken
