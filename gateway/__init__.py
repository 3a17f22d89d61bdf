"""A lightweight reverse proxy for LLM APIs.

This module is what plugins import, and all that they import.
"""

from gateway import json_text as JsonText
from gateway.config.checker import option
from gateway.config.kinds import Secret, Size
from gateway.config.settings import Budget, KeySettings, Limits
from gateway.dialects import vocabulary
from gateway.dialects.registry import DIALECTS, FACES
from gateway.direct import direct_opener
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
    UpstreamReply,
    UpstreamRequest,
)
from gateway.errors import (
    BadRequest,
    BodyTooLarge,
    ChannelFailed,
    ClientError,
    ConfigError,
    Fault,
    Forbidden,
    GatewayError,
    NotFound,
    PaymentRequired,
    TooManyRequests,
    Unauthorized,
)
from gateway.hookspecs import hookimpl
from gateway.json_edit import edit_body
from gateway.rights import check_rights
from gateway.temporary import private_folder
from gateway.usage import Usage

__version__ = "0.1.0"

# Packages among these are loaded by whoever asks for them.
__all__ = [  # noqa: F822
    "Answered", "Attempt", "BadRequest", "BodyTooLarge", "Budget", "Call", "Candidate", "Channel", "ChannelFailed",
    "ClientError", "ConfigError", "DIALECTS", "Endpoint", "FACES", "Fault", "Forbidden", "GatewayError", "Inbound",
    "JsonText", "KeySettings", "Limits", "NotFound", "PaymentRequired", "Principal", "Provider", "Record",
    "REMOVED", "Route", "Secret", "Size", "TooManyRequests", "Unauthorized", "UpstreamReply", "UpstreamRequest",
    "Usage", "allowances", "aws", "check_rights", "direct_opener",
    "edit_body", "hookimpl", "issuer", "ledger", "option", "policies", "private_folder", "vocabulary",
]  # fmt: skip
