"""Which headers travel on, in either direction."""

import re
from collections.abc import Iterable, Mapping
from typing import Any


class Headers(dict):
    """Header fields by lower-case name."""

    def __init__(self, items: Iterable[tuple[str, str]] | Mapping[str, str] = ()):
        super().__init__()
        for name, value in items.items() if isinstance(items, Mapping) else items:
            self[name] = value

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name.lower(), value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name.lower())

    def __contains__(self, name: Any) -> bool:
        return super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)

    def pop(self, name: str, *default: Any) -> Any:
        return super().pop(name.lower(), *default)

    def setdefault(self, name: str, default: str = "") -> str:
        return super().setdefault(name.lower(), default)

    def update(self, other: Any = (), **more: str) -> None:
        for name, value in dict(other, **more).items():
            self[name] = value

    def __repr__(self) -> str:  # values may be credentials
        return f"Headers({', '.join(self)})"


# Everywhere a client may put its key. None of these ever travels upstream.
CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")

# What of a client's headers goes upstream: an allow-list, so that neither credentials, cookies nor
# the addresses that proxies in front add can leak to a vendor. A channel's `headers.forward` adds.
_FORWARDED = frozenset(
    "accept accept-language content-type idempotency-key originator session_id conversation_id traceparent "
    "tracestate user-agent openai-beta openai-safety-identifier x-app x-session-id x-client-request-id "
    "x-goog-api-client x-goog-user-project x-title http-referer".split()
)
_FORWARDED_PREFIXES = ("anthropic-", "x-stainless-", "x-codex-", "x-claude-", "openai-sentinel-")

# What of an upstream's headers does not reach the client: hop-by-hop (RFC 9110, 7.6.1), framing,
# cookies and CORS of another origin, and what describes the upstream's own front.
_WITHHELD = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade "
    "proxy-connection content-length date server set-cookie set-cookie2 via alt-svc strict-transport-security "
    "x-request-id x-powered-by x-accel-buffering x-accel-expires x-accel-redirect x-accel-limit-rate report-to "
    "nel cf-ray cf-cache-status vary x-frame-options content-security-policy".split()
)
_WITHHELD_PREFIXES = ("access-control-", "x-gateway-")

_SANE_ID = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")


def forwarded(headers: Mapping[str, str], also: Iterable[str] = ()) -> Headers:
    """The client's headers that go upstream; *also* names further ones (never credentials)."""
    chosen = Headers()
    for name, value in headers.items():
        if name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES):
            chosen[name] = value
    for name in also:
        if name.lower() in headers and name.lower() not in CREDENTIAL_HEADERS:
            chosen[name] = headers[name.lower()]
    return chosen


def returned(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The upstream's headers that reach the client; its ``x-request-id`` under another name,
    because that name carries ours."""
    headers = list(headers)
    named = {t.strip().lower() for k, v in headers if k.lower() == "connection" for t in v.split(",")}
    chosen = []
    for name, value in headers:
        lower = name.lower()
        if lower == "x-request-id":
            chosen.append(("x-upstream-request-id", value))
        elif lower not in _WITHHELD and lower not in named and not lower.startswith(_WITHHELD_PREFIXES):
            chosen.append((lower, value))
    return chosen


def sane_id(value: str | None) -> bool:
    """Whether a client's request id may be taken over: short, printable, no surprises in a log."""
    return bool(value and _SANE_ID.fullmatch(value))
