"""What is AWS's own: signatures, the framing of streams, the Converse API. Pure."""

from gateway.aws.converse import to_converse
from gateway.aws.converse_reply import ConverseStream, fault_event, from_converse
from gateway.aws.event_stream import MEDIA_TYPE, Corrupt, FrameReader, Message, write_message
from gateway.aws.sigv4 import Credentials, sign

__all__ = [
    "ConverseStream", "Corrupt", "Credentials", "FrameReader", "MEDIA_TYPE", "Message", "fault_event",
    "from_converse", "sign", "to_converse", "write_message",
]  # fmt: skip
