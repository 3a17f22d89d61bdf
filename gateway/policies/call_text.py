"""A call's JSON body as text, and another text in its place."""

from gateway.bodies import JsonBody
from gateway.domain import Call

# Whose replies are files or sounds: nobody could look into them, and holding them would be for nothing.
_NO_TEXT = frozenset({"files", "batches"})


def text_of(call: Call) -> str | None:
    """What the client wrote; None if it sent no JSON."""
    return call.body.data.decode() if isinstance(call.body, JsonBody) else None


def put_text(call: Call, text: str) -> None:
    """Let *text* be what every channel gets. It has to be JSON."""
    call.body = JsonBody(text.encode(), call.body.content_type)
    call.prompt = None  # it was read from what the body was


def has_text_reply(call: Call) -> bool:
    """Whether the reply to *call* can be looked into: not that of a file that is fetched, nor of speech."""
    return call.operation not in _NO_TEXT and not call.endpoint.path.endswith("/speech")
