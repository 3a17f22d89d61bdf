"""A call's JSON body, and another in its place."""

from gateway.bodies import JsonBody
from gateway.domain import Call

# Whose replies are files or sounds: nobody could look into them, and holding them would be for nothing.
_NO_TEXT = frozenset({"files", "batches"})


def json_of(call: Call) -> bytes | None:
    """What the client wrote; None if it sent no JSON."""
    return call.body.data if isinstance(call.body, JsonBody) else None


def put_json(call: Call, data: bytes) -> None:
    """Let *data* be what every channel gets. It has to be JSON."""
    call.body = JsonBody(data, call.body.content_type)
    call.prompt = None  # it was read from what the body was


def has_text_reply(call: Call) -> bool:
    """Whether the reply to *call* can be looked into: not that of a file that is fetched, nor of speech."""
    return call.operation not in _NO_TEXT and not call.endpoint.path.endswith("/speech")
