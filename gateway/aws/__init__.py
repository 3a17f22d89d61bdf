"""What is AWS's own: signatures, the framing of streams, the Converse API, a machine's credentials. Pure, but for
what reads these."""

from gateway.aws.converse import to_converse
from gateway.aws.converse_reply import ConverseStream, fault_event, from_converse
from gateway.aws.event_stream import MEDIA_TYPE, Corrupt, FrameReader, Message, write_message
from gateway.aws.identity import find_credentials, identity_places
from gateway.aws.sigv4 import Credentials, Signer

__all__ = [
    "ConverseStream", "Corrupt", "Credentials", "FrameReader", "MEDIA_TYPE", "Message", "Signer", "fault_event",
    "find_credentials", "from_converse", "identity_places", "to_converse", "write_message",
]  # fmt: skip
