"""A lightweight reverse proxy for LLM APIs.

This module is what plugins import, and all that they import.
"""

from gateway import json_text as JsonText
from gateway.config.checker import option
from gateway.config.kinds import Secret
from gateway.dialects import vocabulary
from gateway.dialects.registry import DIALECTS, FACES
from gateway.domain import (
    REMOVED,
    Answered,
    Attempt,
    Call,
    Candidate,
    Channel,
    Endpoint,
    Inbound,
    Principal,
    Provider,
    Record,
    Route,
    UpstreamRequest,
)
from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    ChannelFailed,
    ClientError,
    Fault,
    Forbidden,
    GatewayError,
    NotFound,
    PaymentRequired,
    TooManyRequests,
    Unauthorized,
)
from gateway.hookspecs import hookimpl
from gateway.usage import Usage

__version__ = "0.1.0"

__all__ = [
    "Answered", "Attempt", "BadRequest", "BodyTooLarge", "Call", "Candidate", "Channel", "ChannelFailed",
    "ClientError", "DIALECTS", "Endpoint", "FACES", "Fault", "Forbidden", "GatewayError", "Inbound", "JsonText",
    "NotFound", "PaymentRequired", "Principal", "Provider", "REMOVED", "Record", "Route", "Secret",
    "TooManyRequests", "Unauthorized", "UpstreamRequest", "Usage", "hookimpl", "option", "vocabulary",
]  # fmt: skip
