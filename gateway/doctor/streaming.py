"""A real stream through the public address, on the clock: whether each event arrives when it was sent, and,
if not, what holds it back.

http.client, not the transport: what counts is what a client with no special care gets to see.
"""

import http.client
import json
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gateway.doctor.findings import Finding, failed, ok, skipped, warning

_PATIENCE = 60.0  # seconds of silence
_PAUSE = 0.2  # seconds between two words that the echo provider sends
_WORDS = "one two three four five six seven eight"
_APART = 0.03  # seconds: what comes closer together came at one moment
_LINGERING = 0.15  # share of the whole span that may get lost on the way
_FEW_DAYS = 14
# Headers that show who stands in between: header -> what it tells.
_TRACES = {
    "cf-ray": "Cloudflare", "x-amz-cf-id": "Amazon CloudFront", "x-served-by": "Fastly or Varnish",
    "x-varnish": "Varnish", "x-envoy-upstream-service-time": "Envoy", "x-azure-ref": "Azure Front Door",
    "x-cache": "a cache",
}  # fmt: skip


@dataclass(slots=True)
class Timed:
    """A stream as it came. Times in seconds since the request left; an arrival is what one read gave."""

    status: int = 0
    version: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[float] = field(default_factory=list)
    reads: list[tuple[float, int]] = field(default_factory=list)
    text: bytes = b""
    days_left: float | None = None  # of the certificate

    @property
    def moments(self) -> int:
        """At how many different moments events arrived."""
        times = self.events
        return bool(times) + sum(after - before > _APART for before, after in zip(times, times[1:], strict=False))

    @property
    def span(self) -> float:
        return self.events[-1] - self.events[0] if self.events else 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: *paced* for a model of the echo provider, whose pauses are known."""

    model: str
    key: str = field(default="", repr=False)
    paced: bool = True

    def body(self) -> bytes:
        said = f"[[delay {_PAUSE}]] {_WORDS}" if self.paced else "Count from 1 to 40, one number a line."
        document = {"model": self.model, "stream": True, "messages": [{"role": "user", "content": said}]}
        return json.dumps(document).encode()

    def headers(self) -> dict[str, str]:
        # gzip, because browsers and SDKs take it, and who compresses holds events back.
        given = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "gzip"}
        return given | ({"authorization": f"Bearer {self.key}"} if self.key else {})


class _LocalConnection(http.client.HTTPConnection):
    """Over a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def ask(address: str, question: Question) -> Timed:
    """Time the stream at *address* (``https://host[:port][/path]``, ``unix:/path``). Raises OSError and
    http.client.HTTPException."""
    connection, path = _connection(address)
    found = Timed()
    try:
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            ends = str((connection.sock.getpeercert() or {}).get("notAfter", ""))
            found.days_left = (ssl.cert_time_to_seconds(ends) - time.time()) / 86400 if ends else None
        began = time.monotonic()
        connection.request("POST", f"{path}/v1/chat/completions", question.body(), question.headers())
        reply = connection.getresponse()
        found.status, found.version = reply.status, reply.version
        found.headers = {name.lower(): value for name, value in reply.getheaders()}
        unpack: Any = zlib.decompressobj(47) if "content-encoding" in found.headers else None  # 47: gzip or zlib
        while piece := reply.read1(65536):
            now = time.monotonic() - began
            found.reads.append((now, len(piece)))
            before = found.text.count(b"\n\n")
            found.text += unpack.decompress(piece) if unpack else piece
            found.events += [now] * (found.text.count(b"\n\n") - before)
    except zlib.error:
        raise http.client.HTTPException("it is compressed in a way that nobody asked for") from None
    finally:
        connection.close()
    return found


def _connection(address: str) -> tuple[http.client.HTTPConnection, str]:
    if address.startswith("unix:"):
        return _LocalConnection(address.removeprefix("unix:"), timeout=_PATIENCE), ""
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=_PATIENCE), parts.path.rstrip("/")


def check_stream(public: str, direct: str, question: Question) -> list[Finding]:
    """Compares the stream at *public* with its known pauses, or with the one at *direct*, both at once."""
    with ThreadPoolExecutor(1) as beside:
        asking = beside.submit(_reached, direct, question)
        try:
            outside = ask(public, question)
        except ssl.SSLCertVerificationError as error:
            remedy = "clients see the same: renew it, or send the whole chain (ssl_certificate fullchain.pem)"
            return [failed("stream", f"the certificate of {public} is not good: {error.verify_message}", remedy)]
        except (OSError, http.client.HTTPException) as error:
            remedy = "look whether the proxy runs, and at its error log"
            return [failed("stream", f"no stream from {public}: {error or type(error).__name__}", remedy)]
        inside = asking.result()
    if outside.status != 200:
        return [*_certificate(outside), _refused(public, outside)]
    return [*_certificate(outside), _judged(outside, inside, question.paced)]


def _reached(direct: str, question: Question) -> Timed | None:
    """The stream of the gateway itself; None if there is none."""
    try:
        inside = ask(direct, question)
    except (OSError, http.client.HTTPException):
        return None
    return inside if inside.status == 200 else None


def _certificate(outside: Timed) -> list[Finding]:
    if outside.days_left is None:
        return []
    days, facts = int(outside.days_left), {"days_left": int(outside.days_left)}
    if days < _FEW_DAYS:
        remedy = "renew it (certbot renew), and reload nginx"
        return [warning("certificate", f"it ends in {days} days", remedy, **facts)]
    return [ok("certificate", f"good for {days} days", **facts)]


def _refused(public: str, outside: Timed) -> Finding:
    remedies = {
        401: "put a client key into the environment variable GATEWAY_KEY, or name its file: --key-file",
        403: "name a model that this key may use: --model; or look at its allow_ips",
        404: "name a model that is served here: --model; or look at the proxy's location",
        502: "the proxy does not reach the gateway: look whether it runs, and at proxy_pass",
    }
    remedy = remedies.get(outside.status, "look at the logs of the proxy and the gateway")
    return failed("stream", f"{public} answered {outside.status}", remedy, status=outside.status)


def _judged(outside: Timed, inside: Timed | None, paced: bool) -> Finding:
    facts = _facts(outside) | ({"direct": _facts(inside)} if inside else {})
    if outside.headers.get("content-type", "").partition(";")[0] != "text/event-stream" or not outside.events:
        said = "what came is no event stream: somebody in between has rewritten the reply"
        return failed("stream", said, f"look at {_suspect(outside)}", **facts)
    expected = _PAUSE * (len(_WORDS.split()) - 1) if paced else inside.span if inside else 0.0
    if not paced and (expected < 1 or len(outside.events) < 8):
        said = "the model's stream is too short to be timed, or cannot be had directly"
        remedy = "try a channel of the provider echo: {name: doctor, provider: echo, models: [doctor]}"
        return skipped("stream", said, remedy, **facts)
    moments = len(_WORDS.split()) if paced else inside.moments if inside else 1
    if _is_timely(outside, expected, moments):
        return ok("stream", f"{_told(outside)}: none is held back", **facts)
    if paced and inside and not _is_timely(inside, expected, moments):
        said = f"events are held back by the gateway itself, or its machine is overloaded: {_told(inside)}"
        remedy = "look at the worker class, the load, and slow plugins (`show_timing: true` of a key tells)"
        return failed("stream", said, remedy, **facts)
    who, remedy = _culprit(outside)
    where = f"; asked directly, {_told(inside)}" if inside else ""
    return failed("stream", f"events are held back: {_told(outside)}{where}. {who}", remedy, **facts)


def _is_timely(timed: Timed, expected: float, moments: int) -> bool:
    return timed.span >= expected * (1 - _LINGERING) and timed.moments >= moments // 2


def _told(timed: Timed) -> str:
    return f"{len(timed.events)} events came at {timed.moments} moments over {timed.span:.2f} s"


def _facts(timed: Timed) -> dict[str, Any]:
    return {
        "events": len(timed.events),
        "moments": timed.moments,
        "first": round(timed.events[0], 3) if timed.events else None,
        "span": round(timed.span, 3),
        "server": timed.headers.get("server", ""),
        "via": timed.headers.get("via", ""),
    }


def _culprit(outside: Timed) -> tuple[str, str]:
    """(who holds events back, by the traces in the reply, what to do about it)."""
    encoding = outside.headers.get("content-encoding", "")
    suspect = _suspect(outside)
    if encoding:
        return f"{suspect} compresses them ({encoding}), and gathers them for that", (
            "nginx: `gzip off;` (and `brotli off;`) in the location; elsewhere: no compression of text/event-stream"
        )
    if "content-length" in outside.headers:
        return f"{suspect} reads the whole reply first (it has a content-length)", (
            "switch off response buffering and caching there for this address"
        )
    if outside.version == 10:
        return f"{suspect} answers in HTTP/1.0", "nginx: `proxy_http_version 1.1;` at each nginx on the way"
    blocks = f", in blocks of up to {max(size for _, size in outside.reads)} bytes" if outside.reads else ""
    if "nginx" in suspect or "openresty" in suspect:
        return f"{suspect} buffers them{blocks}", (
            "`proxy_buffering off;` in the location, and no `proxy_ignore_headers X-Accel-Buffering` (conf/nginx.conf)"
        )
    return f"{suspect} buffers them{blocks}", "switch off response buffering there; docs/behind-nginx.md has a list"


def _suspect(outside: Timed) -> str:
    """Who stands in between, by what they write into replies."""
    headers: Mapping[str, str] = outside.headers
    named = [name for header, name in _TRACES.items() if header in headers]
    server = headers.get("server", "")
    if server and "gunicorn" not in server:
        named.append(server)
    if "via" in headers:
        named.append(f"via {headers['via']}")
    return ", ".join(dict.fromkeys(named)) or "something in front of the gateway that does not name itself"
