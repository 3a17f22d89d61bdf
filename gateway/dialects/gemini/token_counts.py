"""``usageMetadata``, both ways.

Gemini counts apart what others count together: tool results that it fetched itself beside the
prompt, thoughts beside the candidates. The cached part is inside the prompt.
"""

from typing import Any

from gateway.usage import UPSTREAM, Usage


def _count(raw: dict, member: str) -> int | None:
    value = raw.get(member)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _sum(*counts: int | None) -> int | None:
    said = [count for count in counts if count is not None]
    return sum(said) if said else None


def read(raw: Any) -> Usage:
    """Unknown when *raw* says nothing. Proto JSON leaves out what is 0, so the answer's tokens
    may have to be had from the total."""
    if not isinstance(raw, dict):
        return Usage()
    given = _sum(_count(raw, "promptTokenCount"), _count(raw, "toolUsePromptTokenCount"))
    thoughts = _count(raw, "thoughtsTokenCount")
    made = _sum(_count(raw, "candidatesTokenCount"), thoughts)
    total = _count(raw, "totalTokenCount")
    if _count(raw, "candidatesTokenCount") is None and total is not None and given is not None:
        made = max(total - given, thoughts or 0)
    if given is None and made is None:
        return Usage()
    return Usage(
        input=given,
        output=made,
        cached=_count(raw, "cachedContentTokenCount"),
        input_audio=_audio(raw.get("promptTokensDetails")),
        output_audio=_audio(raw.get("candidatesTokensDetails")),
        reasoning=thoughts,
        source=UPSTREAM,
    )


def _audio(details: Any) -> int | None:
    counts = [
        _count(detail, "tokenCount")
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and detail.get("modality") == "AUDIO"
    ]
    return _sum(*counts)


def write(usage: Usage) -> dict[str, Any] | None:
    """None when nothing is known: a made-up 0 would be billed."""
    if usage.input is None and usage.output is None:
        return None
    raw: dict[str, Any] = {}
    thoughts = usage.reasoning
    if usage.input is not None:
        raw["promptTokenCount"] = usage.input
    if usage.output is not None:
        thoughts = None if thoughts is None else min(thoughts, usage.output)  # they sum up to the total
        raw["candidatesTokenCount"] = usage.output - (thoughts or 0)
    raw["totalTokenCount"] = usage.total
    if thoughts is not None:
        raw["thoughtsTokenCount"] = thoughts
    if usage.cached is not None:
        raw["cachedContentTokenCount"] = usage.cached
    for member, whole, audio in (
        ("promptTokensDetails", usage.input, usage.input_audio),
        ("candidatesTokensDetails", raw.get("candidatesTokenCount"), usage.output_audio),
    ):
        if audio:
            text = {"modality": "TEXT", "tokenCount": max((whole or 0) - audio, 0)}
            raw[member] = [text, {"modality": "AUDIO", "tokenCount": audio}]
    return raw
