"""Everything that can go wrong, split by whose fault it is.

GatewayError
├── ClientError            the caller must change something
│   ├── BadRequest 400     ├── Unauthorized 401    ├── PaymentRequired 402
│   ├── Forbidden 403      ├── NotFound 404        ├── MethodNotAllowed 405
│   ├── BodyTooLarge 413   ├── UnsupportedMedia 415
│   └── TooManyRequests 429
├── ChannelFailed 502      one channel failed; the relay tries the next
│   ├── ChannelUnreachable, ChannelTimeout 504, ChannelAnswered (its own status)
│   └── StreamCut          it broke after the answer had begun
├── NoChannel 503          no channel is left that could serve the call
│   └── ChannelsFull 429   all of them are at a limit
├── ClientGone 499         the client left; nobody is to blame
├── PluginError 500        a plugin raised something that is not one of these
└── ConfigError            the operator's; carries every complaint at once
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """An error in neutral words, which every dialect can say in its own shape.

    ``kind`` is one of KINDS; ``type``, ``code`` and ``param`` are the words of whoever raised it
    (an upstream's are kept); ``retry_after`` is in seconds; ``details`` is any JSON value.
    """

    status: int
    kind: str
    message: str
    code: str | None = None
    param: str | None = None
    type: str | None = None
    retry_after: float | None = None
    details: Any = None


KINDS = {
    400: "invalid_request", 401: "authentication", 402: "payment", 403: "permission",
    404: "not_found", 405: "invalid_request", 408: "timeout", 409: "conflict",
    413: "too_large", 415: "invalid_request", 422: "invalid_request", 429: "rate_limited",
    499: "client_gone", 500: "internal", 502: "upstream", 503: "unavailable",
    504: "timeout", 529: "overloaded",
}  # fmt: skip


def kind_of(status: int) -> str:
    """The neutral kind that an HTTP status stands for."""
    return KINDS.get(status) or ("invalid_request" if status < 500 else "upstream")


class GatewayError(Exception):
    """Base of all; ``status`` is what the client gets."""

    status = 500
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None,
                 retry_after: float | None = None, details: Any = None):
        super().__init__(message)
        self.fault = Fault(self.status, kind_of(self.status), message, code or self.code, param,
                           None, retry_after, details)  # fmt: skip


class ClientError(GatewayError):
    """The caller must change something; never retried, never a channel's failure."""

    status = 400


class BadRequest(ClientError):
    """The request cannot be understood or carried out as it is."""

    code = "invalid_request"


class Unauthorized(ClientError):
    """No key, a wrong one, an expired one, or two different ones."""

    status = 401
    code = "invalid_api_key"


class PaymentRequired(ClientError):
    """The caller's budget is spent."""

    status = 402
    code = "budget_exceeded"


class Forbidden(ClientError):
    """The key is good but may not do this."""

    status = 403
    code = "access_denied"


class NotFound(ClientError):
    """No such path, model or thing."""

    status = 404
    code = "not_found"


class MethodNotAllowed(ClientError):
    """The path exists, with other methods."""

    status = 405
    code = "method_not_allowed"


class BodyTooLarge(ClientError):
    """The body is over ``max_body``, packed or unpacked."""

    status = 413
    code = "request_too_large"


class UnsupportedMedia(ClientError):
    """The body's type or encoding is not one the path takes."""

    status = 415
    code = "unsupported_media_type"


class TooManyRequests(ClientError):
    """Over a limit of the caller's."""

    status = 429
    code = "rate_limit_exceeded"


class ChannelFailed(GatewayError):
    """One channel could not serve the call; another may."""

    status = 502
    code = "upstream_error"


class ChannelUnreachable(ChannelFailed):
    """No connection, or it broke before an answer began."""

    code = "upstream_unreachable"


class ChannelTimeout(ChannelFailed):
    """The channel was slower than one of its timeouts."""

    status = 504
    code = "upstream_timeout"


class ChannelAnswered(ChannelFailed):
    """The channel answered with a failure of its own; ``fault`` keeps its words, ``headers`` and
    ``body`` its answer as it came, ``document`` what of it the client may be shown (if it can)."""

    def __init__(self, fault: Fault, headers: Sequence[tuple[str, str]] = (), document: bytes = b"", body: bytes = b""):
        super().__init__(fault.message)
        self.status = fault.status
        self.fault = fault
        self.headers = headers
        self.document = document
        self.body = body
        self.secrets: tuple[str, ...] = ()  # what it was signed with: vendors like to repeat it


class StreamCut(ChannelFailed):
    """The upstream broke after the answer had begun: nothing can be retried any more."""

    code = "upstream_stream_cut"


class NoChannel(GatewayError):
    """No channel is left; ``reasons`` says per channel why."""

    status = 503
    code = "no_channel"


class ChannelsFull(NoChannel):
    """Every channel that could serve the call is at a limit, its own or the upstream's."""

    status = 429
    code = "channels_full"


class ClientGone(GatewayError):
    """The client closed its connection."""

    status = 499
    code = "client_closed"


class PluginError(GatewayError):
    """A plugin raised; the message names it, the trace is in the log only."""

    code = "plugin_error"


class ConfigError(GatewayError):
    """The configuration cannot be used; ``complaints`` are ready to print, one a line."""

    code = "configuration"

    def __init__(self, complaints: list[str]):
        super().__init__("\n".join(complaints))
        self.complaints = complaints


def with_status(fault: Fault, status: int, message: str) -> Fault:
    """The same fault under another HTTP status (and the kind that goes with it) in other words."""
    return replace(fault, status=status, kind=kind_of(status), message=message)
