"""Google's error object, both ways: ``{"error": {code, message, status, details}}``."""

import re
from typing import Any

from gateway.dialects.gemini import proto_json
from gateway.errors import Fault, kind_of

# google.rpc.Code by HTTP status.
_STATUS_WORDS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED",
    404: "NOT_FOUND", 405: "INVALID_ARGUMENT", 408: "DEADLINE_EXCEEDED", 409: "ABORTED", 413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT", 422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL",
    501: "UNIMPLEMENTED", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED", 529: "UNAVAILABLE",
}  # fmt: skip
_STATUSES = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499, "INTERNAL": 500, "UNKNOWN": 500, "DATA_LOSS": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_INFO, _RETRY = "type.googleapis.com/google.rpc.ErrorInfo", "type.googleapis.com/google.rpc.RetryInfo"


def read(error: Any) -> Fault:
    """What stands in an upstream's ``error`` member, whatever it is, as a Fault."""
    if isinstance(error, list) and len(error) == 1:
        error = error[0]
    if not isinstance(error, dict):
        return Fault(502, "upstream", error if isinstance(error, str) and error else "the upstream reported an error")
    word = error.get("status") if isinstance(error.get("status"), str) else None
    message = error.get("message")
    details = error.get("details")
    status = _status(error.get("code"), word)
    return Fault(
        status=status,
        kind=kind_of(status),
        message=message if isinstance(message, str) and message else word or "the upstream reported an error",
        code=_reason(details),
        type=word,
        retry_after=_retry_after(details),
        details=details,
    )


def _status(code: Any, word: str | None) -> int:
    try:
        status = proto_json.integer(code, "code")
    except proto_json.Malformed:
        status = 0
    return status if 400 <= status <= 599 else _STATUSES.get(word or "", 502)


def _detail(details: Any, kind: str) -> dict:
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and detail.get("@type") == kind:
            return detail
    return {}


def _reason(details: Any) -> str | None:
    reason = _detail(details, _INFO).get("reason")
    return reason if isinstance(reason, str) else None


def _retry_after(details: Any) -> float | None:
    delay = _detail(details, _RETRY).get("retryDelay")
    found = _DELAY.fullmatch(delay) if isinstance(delay, str) else None
    return float(found[1]) if found else None


def write(fault: Fault) -> dict[str, Any]:
    """*fault* as ``{"error": ...}``; the words of whoever raised it are kept in an ErrorInfo.

    ``error`` is the document's first member: Google's Python SDK looks for exactly that.
    """
    word = fault.type if fault.type in _STATUSES else _STATUS_WORDS.get(fault.status, "UNKNOWN")
    error: dict[str, Any] = {"code": fault.status, "message": fault.message, "status": word}
    details = fault.details if isinstance(fault.details, list) else _details(fault)
    if details:
        error["details"] = details
    return {"error": error}


def _details(fault: Fault) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    words = {key: getattr(fault, key) for key in ("type", "code", "param") if getattr(fault, key)}
    if words:
        reason = fault.code or fault.type or fault.kind
        details.append({"@type": _INFO, "reason": reason, "domain": "gateway", "metadata": words})
    if fault.retry_after is not None:
        details.append({"@type": _RETRY, "retryDelay": f"{fault.retry_after:g}s"})
    return details
