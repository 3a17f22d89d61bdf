"""Usage in chat's words.

OpenAI's ``prompt_tokens`` holds cached and written cache tokens, ``completion_tokens`` the
reasoning ones: just as Usage does.
"""

import math
from decimal import Decimal
from typing import Any

from gateway.dialects.chat.shapes import count
from gateway.usage import UPSTREAM, Usage

# Where each count may stand, among the details of a name or beside them (""); the first that is there
# wins. DeepSeek says prompt_cache_hit_tokens, Kimi cached_tokens beside prompt_tokens; gateways before
# Anthropic keep its names for the cache. Images and speech have input_tokens, transcriptions
# input_token_details.
_READ = {
    "input": (("", "prompt_tokens"), ("", "input_tokens")),
    "output": (("", "completion_tokens"), ("", "output_tokens")),
    "cached": (("prompt_tokens_details", "cached_tokens"), ("", "prompt_cache_hit_tokens"), ("", "cached_tokens"),
               ("input_tokens_details", "cached_tokens"), ("input_token_details", "cached_tokens"),
               ("", "cache_read_input_tokens")),
    "cache_write": (("prompt_tokens_details", "cache_write_tokens"), ("", "cache_creation_input_tokens")),
    "input_audio": (("prompt_tokens_details", "audio_tokens"), ("input_token_details", "audio_tokens")),
    "output_audio": (("completion_tokens_details", "audio_tokens"),),
    "reasoning": (("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens"),
                  ("", "reasoning_tokens")),
}  # fmt: skip

# The other way round, as a usage object has a few of all these: the kind, and its place's rank there.
_COUNTED = {place: (kind, rank) for kind, places in _READ.items() for rank, place in enumerate(places)}
_LAST = 99
_NOTHING = ("", _LAST)

_WRITTEN = {
    "prompt_tokens_details": (("cached_tokens", "cached"), ("audio_tokens", "input_audio"),
                              ("cache_write_tokens", "cache_write")),
    "completion_tokens_details": (("reasoning_tokens", "reasoning"), ("audio_tokens", "output_audio")),
}  # fmt: skip


def read_usage(document: Any) -> Usage | None:
    """A ``usage`` object as Usage; None when it says nothing (null, ``{}``, no numbers).

    What counts a total alone (embeddings, rerank) has written nothing; transcriptions may be
    counted by ``seconds``, of which each that began is charged.
    """
    if not isinstance(document, dict):
        return None
    counts = _counts(document)
    total, seconds = count(document.get("total_tokens")), _seconds(document.get("seconds"))
    if "input" not in counts and "output" not in counts:
        if total is not None and total > 0:
            counts["input"] = total
        elif seconds is None:
            return None
    _add_uncounted_reasoning(counts, total)
    return Usage(**counts, source=UPSTREAM, seconds=seconds)


def _counts(document: dict[str, Any]) -> dict[str, int]:
    """What it counts, by kind."""
    counts: dict[str, int] = {}
    ranks: dict[str, int] = {}
    groups = [("", document), *((name, value) for name, value in document.items() if isinstance(value, dict))]
    for group, members in groups:
        for name, value in members.items():
            kind, rank = _COUNTED.get((group, name), _NOTHING)
            if rank < ranks.get(kind, _LAST):
                number = value if type(value) is int else count(value)
                if number is not None and number >= 0:
                    counts[kind], ranks[kind] = number, rank
    return counts


def _seconds(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not 0 < value < 1e9:
        return None
    return math.ceil(value)


def _add_uncounted_reasoning(counts: dict[str, int], total: int | None) -> None:
    # xAI counts reasoning beside completion_tokens, not in them; only the total shows it.
    reasoning, written = counts.get("reasoning"), counts.get("output", 0)
    if reasoning and total == counts.get("input", 0) + written + reasoning:
        counts["output"] = written + reasoning


def write_usage(usage: Usage) -> dict[str, Any] | None:
    """Usage as chat's object; None when neither side is known, for a 0 would be a lie."""
    if usage.total is None:
        return None
    written: dict[str, Any] = {
        "prompt_tokens": usage.input or 0,
        "completion_tokens": usage.output or 0,
        "total_tokens": usage.total,
    }
    for member, names in _WRITTEN.items():
        details = {name: getattr(usage, field) for name, field in names if getattr(usage, field) is not None}
        if details:
            written[member] = details
    return written
