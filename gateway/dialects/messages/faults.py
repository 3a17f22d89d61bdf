"""Anthropic's error object both ways: ``{"type": "error", "error": {"type", "message"}}``."""

from typing import Any

from gateway import json_text, sse
from gateway.dialects.messages.schema import ERROR_STATUS, ERROR_TYPES
from gateway.errors import Fault, kind_of


def read_fault(document: Any, status: int = 502) -> Fault:
    """The fault that an error document or event tells; *status* when its type is unknown."""
    error = document.get("error") if isinstance(document, dict) else None
    error = error if isinstance(error, dict) else {}
    kind, message, details = error.get("type"), error.get("message"), error.get("details")
    status = ERROR_STATUS.get(kind, status) if isinstance(kind, str) else status
    code = details.get("error_code") if isinstance(details, dict) else None
    return Fault(
        status=status,
        kind=kind_of(status),
        message=message if isinstance(message, str) and message else "the upstream sent an error without words",
        code=code if isinstance(code, str) else None,
        type=kind if isinstance(kind, str) else None,
        details=details,
    )


def write_fault(fault: Fault) -> bytes:
    """The ``error`` event. ``type`` is one of Anthropic's; what an upstream of another dialect
    called it stands beside it."""
    kind = fault.type if fault.type in ERROR_STATUS else ERROR_TYPES.get(fault.kind, "api_error")
    error: dict[str, Any] = {"type": kind, "message": fault.message}
    told = {"details": fault.details, "code": fault.code}
    if fault.type != kind:
        told["upstream_type"] = fault.type
    error |= {name: value for name, value in told.items() if value is not None}
    return sse.write_event(json_text.write({"type": "error", "error": error}), "error")
