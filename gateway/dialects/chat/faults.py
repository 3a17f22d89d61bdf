"""Errors inside answers: what an upstream says, and how chat says it.

A whole reply may be an error under status 200, and a stream may break off with an error chunk:
``{"error": {message, type, param, code}}`` (OpenAI; OpenRouter's code is a number), the same
beside ``choices``, ``{"object": "error", "message"}`` (vLLM), ``{"code", "msg"}`` (octen).
"""

from typing import Any

from gateway.dialects.chat.schema import ERROR_TYPES
from gateway.dialects.chat.shapes import count, said
from gateway.errors import Fault, kind_of

# An error's code or type -> the HTTP status that it would have had outside an answer.
_STATUS_OF = {
    "rate_limit_exceeded": 429, "rate_limit_error": 429, "insufficient_quota": 429,
    "invalid_request_error": 400, "context_length_exceeded": 400, "content_policy_violation": 400,
    "authentication_error": 401, "invalid_api_key": 401, "permission_error": 403,
    "not_found_error": 404, "model_not_found": 404, "service_unavailable_error": 503, "overloaded_error": 529,
}  # fmt: skip
_MESSAGES = ("message", "msg", "err", "error_msg", "detail")


def read_fault(document: dict[str, Any], event_name: str = "") -> Fault | None:
    """The error that *document* is or holds; None when it is none."""
    error = document.get("error")
    if isinstance(error, dict) and error:
        return _fault(error, error.get("metadata"))
    if error and isinstance(error, str):
        return _fault({**document, "message": error})
    if event_name == "error" or document.get("object") == "error" or document.get("type") == "error":
        return _fault(document)
    if "choices" not in document and (count(document.get("code")) or 0) >= 400 and said(document.get("msg")):
        return _fault(document)
    return None


def _fault(error: dict[str, Any], details: Any = None) -> Fault:
    code = error.get("code")
    said_status = _status(code) or _status(error.get("status")) or _status(error.get("status_code"))
    status = said_status or _STATUS_OF.get(said(code)) or _STATUS_OF.get(said(error.get("type"))) or 502
    message = next((error[name] for name in _MESSAGES if said(error.get(name))), "the upstream reported an error")
    return Fault(
        status=status,
        kind=kind_of(status),
        message=message,
        code=str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) and code != "" else None,
        param=said(error.get("param")),
        type=said(error.get("type")),
        details=details,
    )


def _status(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    number = count(value)
    return number if number is not None and 400 <= number <= 599 else None


def stream_fault(code: str, message: str) -> Fault:
    """The upstream broke its stream, in our own words."""
    return Fault(status=502, kind=kind_of(502), message=message, code=code)


def write_fault(fault: Fault) -> dict[str, Any]:
    """``{"error": {...}}`` with the upstream's own type, code and param where it gave them."""
    return {
        "error": {
            "message": fault.message,
            "type": fault.type or ERROR_TYPES.get(fault.kind, "upstream_error"),
            "param": fault.param,
            "code": fault.code,
        }
    }
