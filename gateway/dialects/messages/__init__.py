"""Anthropic Messages, as a client's dialect and as an upstream's.

Decisions that a reader of the code would ask about:

* Tool arguments that are no JSON object go out as ``{"_raw": text}``, because ``input`` must be
  an object; in a request this is named ``part.tool_call.arguments``.
* Thinking that Anthropic did not sign is not sent to it (``part.reasoning``); proofs of other
  dialects go through a Messages client sealed in the ``signature`` (envelope.py).
* A conversation may begin with the assistant: today's API takes it. One of system words only
  becomes a user message.
* Where the API refuses two wishes together, the promise wins over the wish: a forced tool call
  over thinking, the client's own ``max_tokens`` over the budget.
"""

from gateway.dialects.messages.reply import read_reply, write_reply
from gateway.dialects.messages.request_reader import read_request
from gateway.dialects.messages.request_writer import to_fetch, write_request
from gateway.dialects.messages.schema import FIELDS
from gateway.dialects.messages.stream_reader import StreamReader
from gateway.dialects.messages.stream_writer import StreamWriter

__all__ = [
    "FIELDS",
    "StreamReader",
    "StreamWriter",
    "read_reply",
    "read_request",
    "to_fetch",
    "write_reply",
    "write_request",
]
