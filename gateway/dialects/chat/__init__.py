"""OpenAI's Chat Completions: requests, replies and streams <-> neutral words.

``schema`` holds the tables. A request's history is read by message_reader and written by
message_writer (assistant turns: assistant, assistant_writer), a stream by stream_reader
(delta_reader, open_parts, open_calls) and stream_writer (chunk_parts); thinking, citations,
content and tool_words know both directions of what they are named after.
"""

from gateway.dialects.chat.reply_reader import read_reply
from gateway.dialects.chat.reply_writer import write_reply
from gateway.dialects.chat.request_reader import read_request
from gateway.dialects.chat.request_writer import to_fetch, write_request
from gateway.dialects.chat.schema import FIELDS, TRAITS
from gateway.dialects.chat.stream_reader import StreamReader
from gateway.dialects.chat.stream_writer import StreamWriter

# A member that octen's clients name a turn by which the upstream keeps: only Responses has a word for it.
STATE = ("previous_response_id",)

__all__ = [
    "FIELDS", "STATE", "TRAITS", "StreamReader", "StreamWriter",
    "read_reply", "read_request", "to_fetch", "write_reply", "write_request",
]  # fmt: skip
