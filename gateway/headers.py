"""Which headers travel on, in either direction."""

import email.utils
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
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

# What a trusted proxy says of the client's TLS certificate. Nobody else is believed, and nobody after sees them.
CERTIFICATE_HEADERS = ("x-client-verify", "x-client-fingerprint", "x-client-dn")

# What of a client's headers goes upstream: an allow-list, so that neither credentials, cookies nor
# the addresses that proxies in front add can leak to a vendor. A channel's `headers.forward` adds.
_FORWARDED = frozenset(
    "accept accept-language content-type idempotency-key originator session_id conversation_id traceparent "
    "tracestate user-agent openai-beta openai-safety-identifier x-app x-session-id x-client-request-id "
    "x-goog-api-client x-goog-user-project x-title http-referer".split()
)
_FORWARDED_PREFIXES = ("anthropic-", "x-stainless-", "x-codex-", "x-claude-", "openai-sentinel-", "x-goog-upload-")

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


def retry_seconds(headers: Iterable[tuple[str, str]]) -> float | None:
    """In how many seconds an upstream that has enough wants to be asked again, if it says so:
    ``retry-after`` (RFC 9110 10.2.3: seconds or a date), ``retry-after-ms``, or the time at which a
    limit with nothing remaining is reset (OpenAI's ``x-ratelimit-reset-*``, Anthropic's
    ``anthropic-ratelimit-*-reset``). At most a day."""
    named = {name.lower(): value.strip() for name, value in headers}
    found = [_milliseconds(named.get("retry-after-ms", "")), _span(named.get("retry-after", ""))]
    said = next((seconds for seconds in found if seconds is not None), None)
    if said is None:
        resets = [_span(value) for name, value in named.items() if _resets(name, named)]
        said = max((seconds for seconds in resets if seconds is not None), default=None)
    return None if said is None else min(max(said, 0.0), 86400.0)


def _resets(name: str, named: Mapping[str, str]) -> bool:
    """Whether *name* tells when a limit is reset of which nothing remains."""
    if name.startswith("x-ratelimit-reset-"):
        remaining = name.replace("-reset-", "-remaining-")
    elif name.startswith("anthropic-ratelimit-") and name.endswith("-reset"):
        remaining = name.removesuffix("-reset") + "-remaining"
    else:
        return False
    return named.get(remaining) == "0"


def _milliseconds(text: str) -> float | None:
    return float(text) / 1000 if re.fullmatch(r"\d{1,9}(\.\d+)?", text) else None


def _span(text: str) -> float | None:
    """``7``, ``0.5``, ``6m0s``, ``120ms``, an HTTP date or an RFC 3339 time, as seconds from now."""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * {"h": 3600, "m": 60, "s": 1, "ms": 0.001}[unit] for number, unit in parts)
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
        except (ValueError, TypeError):
            continue
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return None


def token(text: str) -> str:
    """*text* as a token of a header's value (RFC 9110 5.6.2)."""
    return re.sub(r"[^\w.-]", "_", text, flags=re.ASCII)


def sane_id(value: str | None) -> bool:
    """Whether a client's request id may be taken over: short, printable, no surprises in a log."""
    return bool(value and _SANE_ID.fullmatch(value))
