"""What ``authorize`` may use to fetch a token: an HTTP client that reaches named addresses only, and a
cache that asks for each value once.

Pure but for the clock: the bytes are sent by whatever the transport passes in.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.bodies import JsonBody
from gateway.config.origins import origin
from gateway.domain import UpstreamReply, UpstreamRequest
from gateway.errors import ChannelFailed, ChannelTimeout, ChannelUnreachable, StreamCut
from gateway.headers import Headers
from gateway.transport.upstream_body import Answer, Silence

MOST_BYTES = 1024 * 1024
_MOST_AHEAD = 300  # seconds before a value expires from which a new one is asked for
_PAUSE = 10  # seconds between two such questions
_ODD = re.compile(r"[\x00-\x20\x7f\\]")

Send = Callable[[UpstreamRequest, float], Answer]  # raises ChannelFailed


class NotAllowed(ChannelFailed):
    """The plugin wanted to reach what nobody named."""

    code = "egress_refused"


def origins(base_url: str, declared: Iterable[str], options: Mapping[str, Any]) -> frozenset[str]:
    """Where a channel's plugin may go: the channel's own address, what the provider declares, and
    those of the channel's options that are addresses. Raises ValueError for a declared one that is none."""
    found = {origin(base_url), *(origin(address) for address in declared if address)}
    for value in options.values():
        if isinstance(value, str) and value.startswith(("https://", "http://")):
            found.add(origin(value))
    return frozenset(found)


class HttpClient:
    """Sends small requests to the *allowed* origins, with the channel's proxy and TLS settings."""

    def __init__(self, allowed: frozenset[str], send: Send):
        self._allowed = allowed
        self._send = send

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"", timeout: float = 10
    ) -> UpstreamReply:
        """The whole answer, whatever its status; redirects are not followed.

        Raises NotAllowed, ChannelUnreachable, ChannelTimeout (after *timeout* seconds in all), and
        ChannelFailed for an answer over 1 MiB. The URL's query is in none of their messages.
        """
        parts = urlsplit(url)
        try:
            allowed = "@" not in parts.netloc and not _ODD.search(url) and origin(url) in self._allowed
        except ValueError:
            allowed = False
        if not allowed:
            raise NotAllowed(f"the plugin may not reach {parts.scheme}://{parts.hostname}: no `egress` names it")
        ends_at = time.monotonic() + timeout
        named = Headers({"accept": "application/json", "accept-encoding": "identity", "user-agent": "gateway"})
        named.update(headers or {})
        target = url if parts.path else f"{parts.scheme}://{parts.netloc}/{'?' + parts.query if parts.query else ''}"
        payload = JsonBody(body, named.get("content-type", "")) if body or method not in ("GET", "HEAD") else None
        answer = self._send(UpstreamRequest(method, target.partition("#")[0], named, payload), timeout)
        return UpstreamReply(answer.status, Headers(answer.headers), _whole(answer, ends_at))


def _whole(answer: Answer, ends_at: float) -> bytes:
    pieces, size = [], 0
    try:
        while piece := answer.body.receive(max(ends_at - time.monotonic(), 0.001)):
            size += len(piece)
            if size > MOST_BYTES:
                raise ChannelFailed(f"an answer to the plugin is larger than {MOST_BYTES} bytes")
            if time.monotonic() > ends_at:
                raise Silence
            pieces.append(piece)
    except Silence:
        raise ChannelTimeout("an answer to the plugin took too long") from None
    except StreamCut as error:
        raise ChannelUnreachable(f"an answer to the plugin broke off ({error})") from None
    finally:
        answer.body.close()
    return b"".join(pieces)


class Cache:
    """Values that are made once and kept until they expire, by this worker, for one channel.

    Shows no value in a repr or a log.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, log: logging.Logger | None = None):
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._kept: dict[str, _Making] = {}

    def fetch(self, name: str, make: Callable[[], tuple[Any, float]], refresh: bool = False) -> Any:
        """The value called *name*; ``make() -> (value, seconds)`` is asked when there is none, when those
        seconds are over, or with *refresh*. Whoever comes meanwhile waits for the same answer. What
        ``make`` raises reaches all who wait, and is not kept.

        Shortly before the seconds are over one call asks ``make`` again while all others go on with what
        there is; if that fails, the one does so too, and ``make`` is asked again a little later.
        """
        with self._lock:
            found, now = self._kept.get(name), self._clock()
            if found is not None and not found.done.is_set():
                mine = None
            elif found is not None and not refresh and now < found.renews:
                return found.value
            else:
                mine = _Making()
                if found is not None and not refresh and now < found.expires:
                    found.renews = now + _PAUSE
                else:
                    self._kept[name], found = mine, None
        if mine is not None:
            return self._made(name, mine, make, found)
        assert found is not None
        found.done.wait()
        return found.result()

    def _made(self, name: str, mine: "_Making", make: Callable[[], tuple[Any, float]], still: "_Making | None") -> Any:
        """What ``make`` gives; the value that *still* is good, if it gives none."""
        try:
            mine.value, seconds = make()
            mine.expires = self._clock() + seconds
            mine.renews = mine.expires - min(seconds / 5, _MOST_AHEAD)
        except BaseException as error:  # a killed greenlet's, too: those that wait for it must be told
            mine.error = error
            if still is not None and isinstance(error, ChannelFailed):
                if self._log is not None:
                    self._log.warning("what is about to expire could not be fetched anew yet: %s", error)
                return still.value
            with self._lock:
                if self._kept.get(name) is mine:
                    del self._kept[name]
            raise
        finally:
            mine.done.set()
        if still is not None:
            with self._lock:
                self._kept[name] = mine
        return mine.value


class _Making:
    """One value while it is made, and after."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self.renews = self.expires = 0.0

    def result(self) -> Any:
        if self.error is None:
            return self.value
        if isinstance(self.error, ChannelFailed):
            raise self.error
        raise ChannelFailed("what another call had begun to fetch could not be had")


@dataclass(frozen=True, slots=True)
class Tools:
    """What ``authorize`` is given beside the secret."""

    http: HttpClient = field(repr=False)
    cache: Cache = field(repr=False)
    log: logging.Logger = field(repr=False)

    @staticmethod
    def read(path: str) -> str:
        """What stands in a file that somebody else keeps up to date, such as a pod's token, without the
        white space around it. Raises ChannelFailed."""
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ChannelFailed(f"the file {path!r} cannot be read: {reason}", code="token_refused") from None
