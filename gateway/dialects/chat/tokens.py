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
    groups = {name: value for name, value in document.items() if isinstance(value, dict)}
    groups[""] = document
    counts = {name: _first(groups, places) for name, places in _READ.items()}
    total, seconds = count(document.get("total_tokens")), _seconds(document.get("seconds"))
    if counts["input"] is None and counts["output"] is None:
        counts["input"] = total if total is not None and total > 0 else None
        if counts["input"] is None and seconds is None:
            return None
    _add_uncounted_reasoning(counts, total)
    return Usage(**counts, source=UPSTREAM, seconds=seconds)


def _first(groups: dict[str, dict[str, Any]], places: tuple[tuple[str, str], ...]) -> int | None:
    for group, name in places:
        if group in groups and name in groups[group]:
            number = count(groups[group][name])
            if number is not None and number >= 0:
                return number
    return None


def _seconds(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not 0 < value < 1e9:
        return None
    return math.ceil(value)


def _add_uncounted_reasoning(counts: dict[str, int | None], total: int | None) -> None:
    # xAI counts reasoning beside completion_tokens, not in them; only the total shows it.
    reasoning = counts["reasoning"]
    if reasoning and total == (counts["input"] or 0) + (counts["output"] or 0) + reasoning:
        counts["output"] = (counts["output"] or 0) + reasoning


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
