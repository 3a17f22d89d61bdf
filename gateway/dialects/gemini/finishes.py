"""Why an answer ended: ``finishReason``, both ways."""

from typing import Any

from gateway.dialects.vocabulary import Finish

_LENGTH, _FILTER, _ERROR = "length", "content_filter", "error"

# A reason that is not here was given by a filter, as far as it is known: they are what is added.
_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": _LENGTH, "CONTINUATION": _LENGTH, "TOO_MANY_TOOL_CALLS": _LENGTH,
    "SAFETY": _FILTER, "RECITATION": _FILTER, "LANGUAGE": _FILTER, "OTHER": _FILTER, "BLOCKLIST": _FILTER,
    "PROHIBITED_CONTENT": _FILTER, "SPII": _FILTER, "IMAGE_SAFETY": _FILTER, "IMAGE_PROHIBITED_CONTENT": _FILTER,
    "IMAGE_OTHER": _FILTER, "NO_IMAGE": _FILTER, "IMAGE_RECITATION": _FILTER, "ESCALATION": _FILTER,
    "PUP_LIMITED_DISABLED": _FILTER, "MODEL_ARMOR": _FILTER,
    # The model wrote a call that cannot be used: there is no answer, and no stop to speak of.
    "MALFORMED_FUNCTION_CALL": _ERROR, "UNEXPECTED_TOOL_CALL": _ERROR, "MISSING_THOUGHT_SIGNATURE": _ERROR,
    "MALFORMED_RESPONSE": _ERROR,
}  # fmt: skip

_WORDS = {
    "stop": "STOP", "stop_sequence": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS",
    "context_length": "MAX_TOKENS", "content_filter": "SAFETY", "refusal": "SAFETY", "pause": "OTHER", "error": "OTHER",
}  # fmt: skip
# What other dialects say for an ordinary end: no news to a Gemini client.
_PLAIN = ("stop", "stop_sequence", "tool_calls", "length")
_PLAIN_WORDS = frozenset(("stop", "stop_sequence", "tool_calls", "function_call", "length", "end_turn", "tool_use",
                          "max_tokens", "completed", "max_output_tokens"))  # fmt: skip


def read(word: Any, calls: bool) -> Finish | None:
    """*word* as a Finish; None when it says nothing. Gemini says STOP also when the answer holds
    calls (*calls*); an answer that was cut or filtered stays that, calls or not."""
    if not isinstance(word, str) or word in ("", "FINISH_REASON_UNSPECIFIED"):
        return None
    reason = _REASONS.get(word, _FILTER)
    return Finish("tool_calls" if calls and reason == "stop" else reason, raw=word)


def write(finish: Finish | None, own: bool = False) -> dict[str, Any]:
    """``finishReason``, with the other dialect's own word beside it where Gemini has none like it."""
    if finish is None:
        return {} if own else {"finishReason": "OTHER"}
    if finish.raw and (own or finish.raw in _REASONS):
        return {"finishReason": finish.raw}
    written = {"finishReason": _WORDS.get(finish.reason, "OTHER")}
    if finish.reason not in _PLAIN or (finish.raw and finish.raw not in _PLAIN_WORDS):
        written["finishMessage"] = finish.raw or finish.reason
    return written
