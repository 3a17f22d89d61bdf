"""How Anthropic's Messages look from outside."""

import re
from typing import Any

from gateway import json_text, sse
from gateway.errors import Fault, kind_of

NAME = "messages"
KEEP_ALIVE = sse.KEEP_ALIVE
# How a conversation shows that other dialects' proofs of thinking travel in it: sealed by us, for us.
SEALED = b'"gateway1.'

END = sse.Sign(
    (b"message_stop", rb'(?:^|[\r\n])(?:event: ?|data: ?\{\s*"type"\s*:\s*")message_stop\b'),
    (b'"stop_reason"', rb'"stop_reason"\s*:\s*"'),
)
ERROR = re.compile(rb'(?:^|[\r\n])(?:event: ?|data: ?\{\s*"type"\s*:\s*")error\b')

_TYPES = {
    "invalid_request": "invalid_request_error", "authentication": "authentication_error",
    "payment": "billing_error", "permission": "permission_error", "not_found": "not_found_error",
    "too_large": "request_too_large", "rate_limited": "rate_limit_error", "timeout": "timeout_error",
    "overloaded": "overloaded_error", "unavailable": "overloaded_error", "conflict": "invalid_request_error",
}  # fmt: skip
_STATUS = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500,
    "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip


def error_body(fault: Fault, request_id: str) -> dict[str, Any]:
    """``{"type": "error", "error": {type, message}, "request_id": ...}``."""
    # An upstream's type is kept when it is one of Anthropic's; the SDK's unions know no others.
    kind = fault.type if fault.type in _STATUS else _TYPES.get(fault.kind, "api_error")
    error: dict[str, Any] = {"type": kind, "message": fault.message}
    if fault.details is not None:
        error["details"] = fault.details
    if fault.code:
        error["code"] = fault.code
    return {"type": "error", "error": error, "request_id": request_id}


def error_event(fault: Fault, request_id: str) -> bytes:
    """``event: error``."""
    return sse.write_event(json_text.write(error_body(fault, request_id)), "error")


def read_error(status: int, document: Any) -> Fault:
    """An upstream's error body as a Fault that keeps its words."""
    error = document.get("error", document) if isinstance(document, dict) else {}
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else {}
    kind = error.get("type")
    return Fault(
        status, kind_of(status), str(error.get("message") or f"the upstream answered {status}"),
        type=kind if isinstance(kind, str) else None, details=error.get("details"),
    )  # fmt: skip


def event_fault(event: sse.Event) -> Fault | None:
    """The fault that an ``error`` event says."""
    if event.name != "error" and not re.match(rb'\{\s*"type"\s*:\s*"error"', event.data):
        return None
    document = json_text.object_of(event.data)
    error = document.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    return read_error(_STATUS.get(kind, 502) if isinstance(kind, str) else 502, document)


def model_entry(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z"}


def model_list(names: list[str]) -> dict[str, Any]:
    """One page with everything; ``first_id`` and ``last_id`` are null on an empty list."""
    return {
        "data": [model_entry(name) for name in names],
        "first_id": names[0] if names else None,
        "has_more": False,
        "last_id": names[-1] if names else None,
    }
