"""The way to a channel's upstream, step by step: its address, a connection, the proxy, TLS.

The connections are the check's own and carry nothing. Certificates are judged in the context that
the channel's calls use.
"""

import base64
import contextlib
import ipaddress
import math
import socket
import ssl
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.domain import Channel
from gateway.errors import ChannelUnreachable
from gateway.live_check.findings import FAILED, OK, SKIPPED, UNKNOWN, WARNING, Findings
from gateway.transport.connections import ChannelAdapter
from gateway.transport.listening import Listener, read_head
from gateway.transport.response_head import HeadReader

_FEW_DAYS = 14  # of a certificate: time to see to it
_AFTERTHOUGHT = 0.25  # seconds, at least, for an alert behind the handshake
_PORTS = {"http": 80, "https": 443}
_CLIENT_CERTIFICATE = ": the server wants (another) client certificate, `tls: {cert: FILE, key: FILE}`"

Found = tuple[str, str, dict[str, Any]]  # state, text, facts


class NoWay(Exception):
    """The text says where it ends, and what may mend it."""


def reach(channel: Channel, url: str, findings: Findings, ends_at: float) -> bool:
    """Note the steps ``dns``, ``tcp``, ``proxy`` and ``tls`` of the way to *url*; whether one gets through.
    *ends_at* is a moment of time.monotonic()."""
    if channel.provider.respond is not None:
        for name in ("dns", "tcp", "proxy", "tls"):
            findings.note(name, SKIPPED, "the provider lives inside the gateway")
        return True
    way = _Way(channel, url, ends_at)
    try:
        for name, step in (("dns", way.resolve), ("tcp", way.connect), ("proxy", way.tunnel), ("tls", way.secure)):
            findings.begin(name)
            state, text, facts = step()
            findings.note(name, state, text, **facts)
    except NoWay as error:
        findings.note(name, FAILED, str(error))
        return False
    finally:
        way.close()
    return True


class _Way:
    def __init__(self, channel: Channel, url: str, ends_at: float):
        self._channel = channel
        self._ends_at = ends_at
        parts = urlsplit(url)
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._proxy = urlsplit(channel.settings.proxy) if channel.settings.proxy else None
        self._addresses: list[Any] = []
        self._sock: socket.socket | None = None

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()

    def _left(self) -> float:
        return max(min(self._channel.timeouts.connect, self._ends_at - time.monotonic()), 0.001)

    def _first(self) -> tuple[str, int, str]:
        """(host, port, what it is) of the first machine on the way."""
        if self._proxy is None:
            return self._host, self._port, "base_url"
        try:
            host, port = self._proxy.hostname, self._proxy.port or _PORTS[self._proxy.scheme]
        except (KeyError, ValueError):
            host = None
        if not host:
            raise NoWay("`proxy` is no address such as http://egress.corp:3128")
        return host, port, "proxy"

    def resolve(self) -> Found:
        host, port, what = self._first()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "not a host's name"
            raise NoWay(f"{host} has no address ({reason.lower()}): is `{what}` right, and the name server?") from None
        self._addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        shown = ", ".join(address[0] for _, address in self._addresses[:3])
        more = f" and {len(self._addresses) - 3} more" if len(self._addresses) > 3 else ""
        return OK, f"{host} is {shown}{more}" if shown != host else shown, {}

    def connect(self) -> Found:
        self._sock = self._connected()
        host, port, what = self._first()
        return OK, f"connected to the proxy {host}:{port}" if what == "proxy" else f"connected to {host}:{port}", {}

    def _connected(self) -> socket.socket:
        host, port, what = self._first()
        whom = f"the proxy {host}:{port}" if what == "proxy" else f"{host}:{port}"
        refused: OSError | None = None
        for family, address in self._addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(self._left())
                sock.connect(address)
                return sock
            except OSError as error:
                sock.close()
                refused = error
        if isinstance(refused, TimeoutError):
            raise NoWay(f"no connection to {whom} within {self._channel.timeouts.connect:g} s (timeout.connect): "
                        "a firewall, a wrong port, or a missing `proxy`?")  # fmt: skip
        reason = (refused.strerror or "failed").lower() if refused else "no address"
        raise NoWay(f"no connection to {whom} ({reason}): does it run there, and is `{what}` right?")

    def tunnel(self) -> Found:
        if self._proxy is None:
            return SKIPPED, "no proxy", {}
        if self._proxy.scheme == "https":
            return UNKNOWN, "a proxy behind TLS: the request itself will tell", {}
        if not self._tls:
            return SKIPPED, "no tunnel: without TLS, the proxy gets the request itself", {}
        assert self._sock is not None
        self._tunnelled(self._sock)
        return OK, f"opens a tunnel to {self._host}:{self._port}", {}

    def _tunnelled(self, sock: socket.socket) -> None:
        """Ask the proxy at the other end of *sock* for a tunnel (RFC 9110, 9.3.6)."""
        assert self._proxy is not None
        host = f"[{self._host}]" if ":" in self._host else self._host
        lines = [f"CONNECT {host}:{self._port} HTTP/1.1", f"Host: {host}:{self._port}"]
        if self._proxy.username:
            user = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(user.encode()).decode()}")
        try:
            sock.settimeout(self._left())
            sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            # Of a tunnel, as of HEAD, no body follows.
            status = read_head(Listener(sock), HeadReader("HEAD"), self._left()).status
        except TimeoutError:
            raise NoWay(f"the proxy did not answer within {self._channel.timeouts.connect:g} s") from None
        except (OSError, ChannelUnreachable) as error:
            raise NoWay(f"the proxy broke off ({_reason(error)}): is `proxy` a forward proxy for HTTP?") from None
        if status == 407:
            raise NoWay("the proxy wants a user and a password (407): `proxy: http://USER:PASSWORD@HOST:PORT`")
        if status >= 300:
            raise NoWay(f"the proxy refuses a tunnel to {self._host}:{self._port} ({status}): it must allow that host")

    def secure(self) -> Found:
        if not self._tls:
            return self._in_the_clear()
        if self._proxy is not None and self._proxy.scheme == "https":
            return UNKNOWN, "inside a proxy's TLS: the request itself will tell", {}
        try:
            context = ChannelAdapter(self._channel)._tls_context()
        except OSError as error:  # SSLError is one
            raise NoWay(f"the files of `tls` cannot be used ({_reason(error)})") from None
        assert self._sock is not None
        began = time.monotonic()
        try:
            self._sock = sock = context.wrap_socket(self._sock, server_hostname=self._host)
        except ssl.SSLCertVerificationError as error:
            raise NoWay(f"the certificate is refused: {error.verify_message}{self._advice(error, context)}") from None
        except TimeoutError:
            raise NoWay(f"no TLS handshake within {self._channel.timeouts.connect:g} s") from None
        except OSError as error:
            hint = _CLIENT_CERTIFICATE if "certificate" in _reason(error) else ": is it https that is spoken there?"
            raise NoWay(f"no TLS ({_reason(error)}){hint}") from None
        self._hear_afterthought(sock, time.monotonic() - began)
        return _certificate(sock)

    def _hear_afterthought(self, sock: ssl.SSLSocket, round_trip: float) -> None:
        """In TLS 1.3 a server judges the client's certificate when the client takes the handshake for done."""
        sock.settimeout(min(max(round_trip, _AFTERTHOUGHT), self._left()))
        try:
            sock.recv(1)
        except TimeoutError:
            pass
        except ssl.SSLError as error:
            raise NoWay(f"TLS was ended ({_reason(error)}){_CLIENT_CERTIFICATE}") from None
        except OSError:
            pass  # whoever closes connections that say nothing

    def _in_the_clear(self) -> Found:
        outside = (ipaddress.ip_address(address[0].partition("%")[0]).is_global for _, address in self._addresses)
        if self._proxy is None and self._channel.keys and any(outside):
            return WARNING, "no TLS: the key travels in the clear", {}
        return SKIPPED, "no TLS", {}

    def _advice(self, error: ssl.SSLCertVerificationError, context: ssl.SSLContext) -> str:
        if "pinned" in error.verify_message:
            return "; if its owner has changed it, give the new one's SHA-256 as `tls: {fingerprint: ...}`"
        if "expired" in error.verify_message:
            return "; its owner has to renew it (or this machine's clock is wrong)"
        if "Hostname mismatch" in error.verify_message or "IP address mismatch" in error.verify_message:
            return "; is `base_url` right?"
        issuer = self._stranger()
        whose = f"; issued by {issuer}" if issuer else ""
        return f"{whose}; if that is right (a company's proxy, say), give its CA as `tls: {{ca: FILE}}`"

    def _stranger(self) -> str:
        """Whose CA an untrusted certificate is of. The library tells that of verified ones only: so the
        certificate is fetched, and then verified by itself."""
        look, again = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
        look.check_hostname = again.check_hostname = False
        look.verify_mode = ssl.CERT_NONE
        with contextlib.suppress(OSError, NoWay):
            with self._another(look) as sock:
                again.load_verify_locations(cadata=sock.getpeercert(binary_form=True))
            again.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            with self._another(again) as sock:
                return _issuer(sock.getpeercert())
        return ""

    def _another(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        sock = self._connected()
        try:
            if self._proxy is not None:
                self._tunnelled(sock)
            sock.settimeout(self._left())
            return context.wrap_socket(sock, server_hostname=self._host)
        except BaseException:  # also Ctrl-C: nobody else knows of it
            sock.close()
            raise


def _certificate(sock: ssl.SSLSocket) -> Found:
    told = sock.getpeercert() or {}
    seconds = ssl.cert_time_to_seconds(told["notAfter"]) - time.time()
    days, issuer = math.floor(seconds / 86400), _issuer(told)
    text = f"{days} day{'s' * (days != 1)} left, issued by {issuer}, {sock.version()}"
    facts = {"days_left": days, "issuer": issuer, "version": sock.version()}
    return (WARNING if days < _FEW_DAYS else OK), text, facts


def _issuer(told: Any) -> str:
    names = {name: value for pairs in told.get("issuer", ()) for name, value in pairs}
    known = [names[name] for name in ("organizationName", "commonName") if name in names]
    return " / ".join(dict.fromkeys(known)) or "nobody with a name"


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").lower().replace("_", " ")
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
