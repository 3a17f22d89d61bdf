"""``logprobsResult`` and chat's ``{"content": [...], "refusal": null}``, which is the neutral form."""

from typing import Any


def _dicts(value: Any) -> list[dict]:
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def read(result: Any) -> dict[str, Any] | None:
    """None when *result* holds no tokens."""
    if not isinstance(result, dict):
        return None
    tops = _dicts(result.get("topCandidates"))
    content = []
    for place, chosen in enumerate(_dicts(result.get("chosenCandidates"))):
        others = _dicts(tops[place].get("candidates")) if place < len(tops) else []
        content.append(_token(chosen) | {"top_logprobs": [_token(other) for other in others]})
    return {"content": content, "refusal": None} if content else None


def _token(raw: dict) -> dict[str, Any]:
    token = raw.get("token") if isinstance(raw.get("token"), str) else ""
    # Proto JSON leaves a probability of 0 (certainty) out.
    return {"token": token, "logprob": raw.get("logProbability", 0), "bytes": list(token.encode("utf-8", "replace"))}


def write(logprobs: Any) -> dict[str, Any] | None:
    """``logprobsResult``; None when there is nothing to tell."""
    tokens = _dicts(logprobs.get("content")) if isinstance(logprobs, dict) else []
    if not tokens:
        return None
    result: dict[str, Any] = {"chosenCandidates": [_candidate(token) for token in tokens]}
    tops = [_dicts(token.get("top_logprobs")) for token in tokens]
    if any(tops):
        result["topCandidates"] = [{"candidates": [_candidate(other) for other in others]} for others in tops]
    return result


def _candidate(token: dict) -> dict[str, Any]:
    return {"token": token.get("token"), "logProbability": token.get("logprob")}
