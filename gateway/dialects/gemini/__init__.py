"""Google's ``generateContent``: the contract of a dialect, and the array form of its streams.

``ArrayWriter`` stands in for StreamWriter when the client asks without ``alt=sse``;
``split_array`` cuts such a stream of an upstream into the data of its events.
"""

from gateway.dialects.gemini.array_form import ArraySplitter, split_array
from gateway.dialects.gemini.reply import read_reply, write_reply
from gateway.dialects.gemini.request_reader import read_request
from gateway.dialects.gemini.request_writer import FIELDS, to_fetch, write_request
from gateway.dialects.gemini.stream_reader import StreamReader
from gateway.dialects.gemini.stream_writer import ArrayWriter, StreamWriter

# Members that stand for conversation kept at Google: without them a request means something else.
STATE = ("cachedContent", "continuationToken")

__all__ = [
    "STATE",
    "FIELDS",
    "ArraySplitter",
    "ArrayWriter",
    "StreamReader",
    "StreamWriter",
    "read_reply",
    "read_request",
    "split_array",
    "to_fetch",
    "write_reply",
    "write_request",
]
