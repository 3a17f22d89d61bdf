"""How OpenAI's Responses look from outside."""

import re

from gateway import json_text, sse
from gateway.dialects.chat.face import error_body, model_entry, model_list, read_error
from gateway.errors import Fault

__all__ = ["END", "ERROR", "KEEP_ALIVE", "NAME", "SEALED", "error_body", "error_event", "event_fault", "model_entry",
           "model_list", "read_error"]  # fmt: skip

NAME = "responses"
KEEP_ALIVE = sse.KEEP_ALIVE
# How a conversation shows that other dialects' proofs of thinking travel in it: sealed by us, for us.
SEALED = b'"gateway.1.'

END = sse.Sign(
    (b"response.completed", rb'(?:^|[\r\n])(?:event: ?|data: ?\{\s*"type"\s*:\s*")response\.completed\b'),
    (b"response.incomplete", rb'(?:^|[\r\n])(?:event: ?|data: ?\{\s*"type"\s*:\s*")response\.incomplete\b'),
)
ERROR = re.compile(rb'(?:^|[\r\n])(?:event: ?|data: ?\{\s*"type"\s*:\s*")(?:error|response\.failed)\b')


def error_event(fault: Fault, request_id: str) -> bytes:
    """An ``error`` event. Its members stand both flat (OpenAI's reference) and under ``error``
    (Open Responses, and what the SDKs raise on). The sequence goes on from nowhere known: 0."""
    error = error_body(fault, request_id)["error"]
    event = {
        "type": "error", "sequence_number": 0, "code": fault.code, "message": fault.message,
        "param": fault.param, "error": error, "request_id": request_id,
    }  # fmt: skip
    return sse.write_event(json_text.write(event), "error")


def event_fault(event: sse.Event) -> Fault | None:
    """The fault that an ``error`` or ``response.failed`` event says."""
    if b'"error"' not in event.data:
        return None
    document = json_text.object_of(event.data)
    if not document or document.get("type", event.name) not in ("error", "response.failed"):
        return None
    inner = document.get("response")
    error = inner.get("error") if isinstance(inner, dict) else document.get("error") or document
    return read_error(502, {"error": error})
