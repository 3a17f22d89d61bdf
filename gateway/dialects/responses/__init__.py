"""OpenAI Responses, and Open Responses."""

from gateway.dialects.responses.reply import read_reply, write_reply
from gateway.dialects.responses.request_reader import read_request
from gateway.dialects.responses.request_writer import to_fetch, write_request
from gateway.dialects.responses.schema import FIELDS
from gateway.dialects.responses.stream_reader import StreamReader
from gateway.dialects.responses.stream_writer import StreamWriter

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
