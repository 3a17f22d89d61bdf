"""How OpenAI's Chat Completions (and OpenAI's other operations) look from outside."""

import re
from typing import Any

from gateway import json_text, sse
from gateway.errors import Fault, kind_of

NAME = "chat"
KEEP_ALIVE = sse.KEEP_ALIVE
# A conversation that other dialects' proofs travel in shows it like this; chat has a form of its own for them.
SEALED = b""

# Seen in a piece of whole events: the model said why it stopped, or the stream said it is done.
# Text inside a JSON string cannot look like this: its quotes are escaped.
END = sse.Sign(
    (b'"finish_reason"', rb'"finish_reason"\s*:\s*"'),
    (b"[DONE]", rb"(?:^|[\r\n])data: ?\[DONE\]"),
)
ERROR = re.compile(rb'(?:^|[\r\n])data: ?\{\s*"error"\s*:\s*[{"]')

_TYPES = {
    "invalid_request": "invalid_request_error", "authentication": "authentication_error",
    "payment": "insufficient_quota", "permission": "permission_error", "not_found": "invalid_request_error",
    "too_large": "invalid_request_error", "rate_limited": "rate_limit_error", "conflict": "conflict_error",
    "timeout": "timeout_error", "overloaded": "overloaded_error", "unavailable": "service_unavailable_error",
    "upstream": "upstream_error",
}  # fmt: skip


def error_body(fault: Fault, request_id: str) -> dict[str, Any]:
    """``{"error": {message, type, param, code}}``; the request id stands beside it."""
    error = {
        "message": fault.message,
        "type": fault.type or _TYPES.get(fault.kind, "server_error"),
        "param": fault.param,
        "code": fault.code,
    }
    if fault.details is not None:
        error["details"] = fault.details
    return {"error": error, "request_id": request_id}


def error_event(fault: Fault, request_id: str) -> bytes:
    """The chunk that clients of this dialect take for an error, whatever came before."""
    return sse.write_event(json_text.write(error_body(fault, request_id)))


def read_error(status: int, document: Any) -> Fault:
    """An upstream's error body as a Fault that keeps its words."""
    error = document.get("error", document) if isinstance(document, dict) else document
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else {}
    message = error.get("message") or error.get("msg") or error.get("detail") or f"the upstream answered {status}"
    return Fault(
        status, kind_of(status), str(message), _word(error.get("code")), _word(error.get("param")),
        _word(error.get("type")),
    )  # fmt: skip


def _word(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def event_fault(event: sse.Event) -> Fault | None:
    """The fault that an event says, if it says one."""
    if b'"error"' not in event.data:
        return None
    document = json_text.object_of(event.data)
    if not document.get("error") or document.get("choices"):
        return None
    code = document["error"].get("code") if isinstance(document["error"], dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 502
    return read_error(status, document)


def model_entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1735689600, "owned_by": "gateway"}


def model_list(names: list[str]) -> dict[str, Any]:
    return {"object": "list", "data": [model_entry(name) for name in names]}
