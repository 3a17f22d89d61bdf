"""How Google's generateContent looks from outside."""

import re
from typing import Any

from gateway import json_text, sse
from gateway.errors import Fault, kind_of

NAME = "gemini"
KEEP_ALIVE = b""  # Google's Python SDK dies on SSE comments
# How a conversation shows that other dialects' proofs of thinking travel in it: sealed by us, for us.
SEALED = b'"Z2F0ZXdheTE6'

END = sse.Sign(
    (b'"finishReason"', rb'"finishReason"\s*:\s*"'),
    (b'"blockReason"', rb'"blockReason"\s*:\s*"'),
)
ERROR = re.compile(rb'(?:^|[\r\n])(?:data:)?[ \t]*(?:[\[,]\s*)?\{\s*"error"\s*:\s*\{')

# google.rpc.Code names by HTTP status
_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED",
    404: "NOT_FOUND", 405: "INVALID_ARGUMENT", 409: "ABORTED", 413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL",
    502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED", 529: "UNAVAILABLE",
}  # fmt: skip
_REASON = {"authentication": "API_KEY_INVALID"}


def error_body(fault: Fault, request_id: str) -> dict[str, Any]:
    """``{"error": {code, message, status, details}}`` (google.rpc.Status in JSON)."""
    # An upstream's own type is kept when it is one of Google's codes.
    status = fault.type if fault.type in _STATUS.values() else _STATUS.get(fault.status, "UNKNOWN")
    reason = fault.code or _REASON.get(fault.kind) or fault.kind
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": str(reason).upper(), "domain": "gateway",
        "metadata": {"request_id": request_id},
    }  # fmt: skip
    details = fault.details if isinstance(fault.details, list) else []
    return {"error": {"code": fault.status, "message": fault.message, "status": status, "details": [info, *details]}}


def error_event(fault: Fault, request_id: str) -> bytes:
    """A data event with the error object, as Google's own streams end."""
    return sse.write_event(json_text.write(error_body(fault, request_id)))


def read_error(status: int, document: Any) -> Fault:
    """An upstream's error body as a Fault that keeps its words."""
    if isinstance(document, list) and document:  # the array form of a stream
        document = document[0]
    error = document.get("error", document) if isinstance(document, dict) else {}
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else {}
    name = error.get("status")
    return Fault(
        status, kind_of(status), str(error.get("message") or f"the upstream answered {status}"),
        type=name if isinstance(name, str) else None, details=error.get("details"),
    )  # fmt: skip


def event_fault(event: sse.Event) -> Fault | None:
    """The fault that a data event says."""
    if b'"error"' not in event.data:
        return None
    document = json_text.object_of(event.data)
    error = document.get("error")
    if not isinstance(error, dict):
        return None
    code = error.get("code")
    return read_error(code if isinstance(code, int) and 400 <= code < 600 else 502, document)


def model_entry(name: str) -> dict[str, Any]:
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}


def model_list(names: list[str]) -> dict[str, Any]:
    return {"models": [model_entry(name) for name in names]}
