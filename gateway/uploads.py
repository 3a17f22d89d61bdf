"""Resumable uploads of the Gemini Files API, whose addresses lead back through the gateway.

The vendor answers the start of an upload with the address that the bytes go to (``x-goog-upload-url``).
That address alone says whose they are: Google's SDK sends no key along. So the client is given one of the
gateway's own, which holds the vendor's, the channel and which of its keys, and what the client came in with,
sealed with that key: every worker and machine with the same configuration can open it, and nobody else
can make one. Whoever sends it comes in as if with the client's own key: one that was revoked or has expired
opens nothing any more, and its limits hold. Source: ai.google.dev/api/files,
media.upload.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from gateway import json_text
from gateway.config.kinds import Secret
from gateway.domain import Call, Candidate, Channel, Principal, Route
from gateway.errors import ChannelFailed, Forbidden, NotFound

_ADDRESS, _CONTROL = "x-goog-upload-url", "x-goog-upload-control-url"
_MEMBER = "gateway_upload"
_LASTS = 6 * 3600  # seconds
_HOST = re.compile(r"[\w.-]+(?::\d+)?|\[[0-9a-fA-F:.]+\](?::\d+)?")


@dataclass(frozen=True, slots=True)
class Upload:
    """What a call goes on with that sends bytes: *position* is that of the channel's key, *who* the name of the
    client's and *credentials* what it began with."""

    url: str
    channel: Channel
    position: int
    who: str
    credentials: tuple[Secret, ...]

    def route(self) -> Route:
        return Route([Candidate(self.channel, "", "its upload began here", "gemini")])

    def check(self, principal: Principal) -> None:
        """Raises Forbidden for somebody else than the one who began it."""
        if principal.name != self.who:
            raise Forbidden("this upload was begun with another key", code="upload_of_another")


def is_upload(path: str) -> bool:
    """Whether the endpoint at *path* takes uploads."""
    return path.startswith("/upload/")


def takes_bytes(path: str, command: str) -> bool:
    """Whether a request's body is a piece of a file, whatever its type: *command* is its x-goog-upload-command."""
    return is_upload(path) and command.strip().lower() != "start"


def led_back(headers: Iterable[tuple[str, str]], call: Call, channel: Channel, now: float) -> list[tuple[str, str]]:
    """A reply's *headers*, with the gateway's address in place of the vendor's. Raises ChannelFailed for an
    address that is not the channel's."""
    passed = []
    for name, value in headers:
        if name == _ADDRESS:
            passed.append((name, _own_address(value, call, channel, now)))
        elif name != _CONTROL:
            passed.append((name, value))
    return passed


def _own_address(url: str, call: Call, channel: Channel, now: float) -> str:
    if not channel.keys or _origin(url) != _origin(channel.base_url):
        raise ChannelFailed("the channel wants the file at an address that is not its own", code="upload_elsewhere")
    position = call.attempts[-1].key
    key, nonce = channel.keys[position], secrets.token_bytes(16)
    given = json_text.write([each.reveal() for each in call.credentials])
    said = [_without_key(url, channel.keys), channel.name, position, call.principal.name, int(now) + _LASTS]
    sealed = json_text.write([*said, _packed(nonce), _packed(_veiled(key, nonce, given))])
    token = f"{_packed(sealed)}.{_packed(_mac(key, sealed))}"
    host, proto = call.headers.get("host", ""), call.headers.get("x-forwarded-proto", "")
    place = f"{'https' if proto == 'https' else 'http'}://{host}" if _HOST.fullmatch(host) else ""
    return f"{place}{call.endpoint.path}?{_MEMBER}={token}"


def upload_of(path: str, query: str, channels: Iterable[Channel], now: float) -> Upload | None:
    """The upload that a request goes on with, by its endpoint's *path* and its *query*. Raises NotFound for one
    that this gateway did not begin, or too long ago."""
    token = dict(parse_qsl(query)).get(_MEMBER) if is_upload(path) else None
    if token is None:
        return None
    try:
        sealed, mac = map(_unpacked, token.split("."))
        url, name, position, who, until, nonce, given = json_text.parse(sealed)
        channel = next(each for each in channels if each.name == name and each.settings.enabled)
        key = channel.keys[position]
        good = hmac.compare_digest(mac, _mac(key, sealed)) and now < until
    except (binascii.Error, ValueError, TypeError, IndexError, StopIteration):
        good = False
    if not good:
        raise NotFound("there is no such upload; it may have been begun too long ago", code="upload_unknown")
    found = json_text.parse(_veiled(key, _unpacked(nonce), _unpacked(given)))
    return Upload(url, channel, position, who, tuple(map(Secret, found)))


def _mac(key: Secret, sealed: bytes) -> bytes:
    return hmac.digest(_derived(key, b"gateway upload"), sealed, "sha256")


def _veiled(key: Secret, nonce: bytes, data: bytes) -> bytes:
    """*data*, to be read with the channel's key only, and back: no nonce is used twice, and ``_mac`` covers it."""
    pad = hashlib.shake_256(_derived(key, b"gateway upload's client") + nonce).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, pad, strict=True))


def _derived(key: Secret, purpose: bytes) -> bytes:
    return hmac.digest(key.reveal().encode(), purpose, "sha256")


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text + "==", altchars=b"-_")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _without_key(url: str, keys: Iterable[Secret]) -> str:
    """*url* as it was before it was signed, where a channel signs by its query."""
    secrets, parts = {key.reveal() for key in keys}, urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if not any(value in secrets for _, value in pairs):
        return url
    return parts._replace(query=urlencode([pair for pair in pairs if pair[1] not in secrets])).geturl()
