"""Resumable uploads of the Gemini Files API, whose addresses lead back through the gateway.

The vendor answers the start of an upload with the address that the bytes go to (``x-goog-upload-url``).
That address alone says whose they are: Google's SDK sends no key along. So the client is given one of the
gateway's own, which holds the vendor's, the channel and which of its keys, and who began the upload,
sealed with that key: every worker and machine with the same configuration can open it, and nobody else
can make one. Pure: the time is given. Source: ai.google.dev/api/files, media.upload.
"""

import base64
import binascii
import hmac
import re
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
    """What a call goes on with that sends bytes: *position* is that of the channel's key."""

    url: str
    channel: Channel
    position: int
    principal: Principal

    def route(self) -> Route:
        return Route([Candidate(self.channel, "", "its upload began here", "gemini")])

    def check(self, principal: Principal) -> None:
        """Raises Forbidden for somebody else than the one who began it."""
        if principal.name != self.principal.name:
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
    key, principal = channel.keys[position], call.principal
    who = [principal.name, principal.team, principal.owner, list(principal.tags)]
    sealed = json_text.write([_without_key(url, channel.keys), channel.name, position, who, int(now) + _LASTS])
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
        sealed, mac = (base64.b64decode(part + "==", altchars=b"-_") for part in token.split("."))
        url, name, position, (who, team, owner, tags), until = json_text.parse(sealed)
        channel = next(each for each in channels if each.name == name and each.settings.enabled)
        good = hmac.compare_digest(mac, _mac(channel.keys[position], sealed)) and now < until
    except (binascii.Error, ValueError, TypeError, IndexError, StopIteration):
        good = False
    if not good:
        raise NotFound("there is no such upload; it may have been begun too long ago", code="upload_unknown")
    return Upload(url, channel, position, Principal(who, tags=tuple(tags), team=team, owner=owner))


def _mac(key: Secret, sealed: bytes) -> bytes:
    return hmac.digest(hmac.digest(key.reveal().encode(), b"gateway upload", "sha256"), sealed, "sha256")


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


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
