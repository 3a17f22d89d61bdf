"""``usage`` both ways.

Anthropic's ``input_tokens`` leaves out what was read from and written to the cache; the neutral
``input`` holds all of it.
"""

from typing import Any

from gateway.dialects.messages.schema import TIERS_TO_REPORT
from gateway.usage import UPSTREAM, Usage


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _inside(usage: dict[str, Any], group: str, name: str) -> int | None:
    value = usage.get(group)
    return _count(value, name) if isinstance(value, dict) else None


def read_usage(usage: Any) -> Usage:
    """A ``usage`` object in neutral words; a count of the wrong type is one that was not said."""
    if not isinstance(usage, dict):
        return Usage()
    fresh = _count(usage, "input_tokens")
    cached = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    if written is None:  # some servers tell it by lifetime only
        by_life = [_inside(usage, "cache_creation", f"ephemeral_{life}_input_tokens") for life in ("5m", "1h")]
        written = sum(count or 0 for count in by_life) if any(count is not None for count in by_life) else None
    total = None if fresh is None else fresh + (cached or 0) + (written or 0)
    output = _count(usage, "output_tokens")
    if total is None and output is None:
        return Usage()
    return Usage(
        input=total,
        output=output,
        cached=cached,
        cache_write=written,
        cache_write_1h=_inside(usage, "cache_creation", "ephemeral_1h_input_tokens"),
        reasoning=_inside(usage, "output_tokens_details", "thinking_tokens"),
        source=UPSTREAM,
    )


def merge_usage(seen: dict[str, Any], later: Any) -> dict[str, Any]:
    """``message_start``'s usage with a ``message_delta``'s laid over it.

    The counts of a stream are cumulative: the latest wins, nothing is added. Some servers leave
    out or fill with 0 what they said before (Bedrock: the input counts); a cumulative count
    cannot fall to 0, so such a one does not count.
    """
    if not isinstance(later, dict):
        return seen
    return seen | {k: v for k, v in later.items() if v is not None and not (v == 0 and seen.get(k))}


def write_usage(usage: Usage) -> dict[str, Any]:
    """The counts that ``message.usage`` and ``message_delta.usage`` share. ``input_tokens`` and
    ``output_tokens`` are compulsory numbers, so an unknown one is 0."""
    fresh = (usage.input or 0) - (usage.cached or 0) - (usage.cache_write or 0)
    written: dict[str, Any] = {
        "input_tokens": max(fresh, 0),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output or 0,
    }
    if usage.reasoning is not None:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return written


def write_message_usage(usage: Usage, service_tier: str | None) -> dict[str, Any]:
    """``message.usage``: the counts, the cache writes by lifetime, and the tier."""
    written = write_usage(usage)
    if usage.cache_write_1h is not None:
        written["cache_creation"] = {
            "ephemeral_5m_input_tokens": max((usage.cache_write or 0) - usage.cache_write_1h, 0),
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if service_tier in TIERS_TO_REPORT:
        written["service_tier"] = TIERS_TO_REPORT[service_tier]
    return written
