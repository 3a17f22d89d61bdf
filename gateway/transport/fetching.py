"""Fetches an image or file that a client named by URL, for upstreams that must have the bytes.

The URL is the client's, so this is where server-side request forgery would happen. The operator
names the hosts. Every address is checked after it was resolved, and the checked address is the one
that is connected to, also on each redirect: a name that resolves differently a moment later gains
nothing.
"""

import base64
import ipaddress
import socket
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gateway.config.origins import MediaHosts
from gateway.dialects.vocabulary import Media
from gateway.errors import BadRequest
from gateway.transport.dialling import places

_MOST_BYTES = 32 * 1024 * 1024
_MOST_SECONDS = 30.0
_MOST_REDIRECTS = 4
_PIECE = 64 * 1024


class _Forbidden(Exception):
    """The name leads to an address that clients may not reach through us."""


def fetch(media: Media, hosts: MediaHosts, allow_private: bool = False) -> None:
    """Put the bytes (base64) and type of what ``media.url`` names into *media*, and drop the URL.

    Only *hosts* are asked, on redirects too. *allow_private* is for tests of everything else here.
    Raises BadRequest with the reason.
    """
    url, deadline = media.url or "", time.monotonic() + _MOST_SECONDS
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            _check(url, hosts)
            response = _get(url, deadline, allow_private)
            try:
                if response.status not in (301, 302, 303, 307, 308):
                    data = _body(response, deadline)
                    break
                url = urljoin(url, response.headers.get("location", ""))
            finally:
                response.close()
        else:
            raise BadRequest("the media URL redirects too often", code="media_not_fetched")
    except (_Forbidden, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        reason = str(error) if isinstance(error, _Forbidden) else "it cannot be reached"
        raise BadRequest(f"the media URL cannot be fetched: {reason}", code="media_not_fetched") from None
    media.media_type = media.media_type or response.headers.get("content-type", "").partition(";")[0].strip() or None
    media.data, media.url = base64.b64encode(data).decode(), None


def _check(url: str, hosts: MediaHosts) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Forbidden("only http and https URLs are fetched")
    if not hosts.name(url):
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2][:255]}"
        raise _Forbidden(f"the channel's setting `fetch` does not name {place}; send the data itself")


def _get(url: str, deadline: float, allow_private: bool) -> Any:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    pool_class = HTTPSConnectionPool if secure else HTTPConnectionPool
    left = max(deadline - time.monotonic(), 0.1)
    pool = pool_class(parts.hostname, parts.port, timeout=left, retries=False)
    pool.ConnectionCls = _connection_class(secure, allow_private)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "gateway"}
    return pool.urlopen("GET", target, headers=headers, redirect=False, preload_content=False)


def _body(response: Any, deadline: float) -> bytes:
    if response.status != 200:
        raise _Forbidden(f"its server answered {response.status}")
    pieces, size = [], 0
    while piece := response.read(_PIECE):
        size += len(piece)
        if size > _MOST_BYTES:
            raise _Forbidden(f"it is larger than {_MOST_BYTES} bytes")
        if time.monotonic() > deadline:
            raise _Forbidden("it takes too long")
        pieces.append(piece)
    return b"".join(pieces)


def _connection_class(secure: bool, allow_private: bool) -> type:
    def connect(self: Any) -> socket.socket:
        return _connect(self._dns_host, self.port, self.timeout, allow_private)

    base = HTTPSConnection if secure else HTTPConnection
    return type("CheckedConnection", (base,), {"_new_conn": connect})


def _connect(host: str, port: int, timeout: float, allow_private: bool) -> socket.socket:
    """A connection to the first address of *host*; all of them must be public."""
    found = places(host.strip("[]"), port, timeout)
    if not allow_private and not all(is_public(info[4][0]) for info in found):
        raise _Forbidden("its address is not a public one")
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    sock.settimeout(timeout)
    try:
        sock.connect(address)
    except BaseException:  # a killed greenlet's, too: nobody else knows of the socket
        sock.close()
        raise
    return sock


def is_public(text: str) -> bool:
    """Whether an address belongs to the open internet; addresses that hide another one (IPv4 in
    IPv6, 6to4, Teredo, NAT64) are judged by that one too."""
    address = ipaddress.ip_address(text.partition("%")[0])
    hidden = []
    if isinstance(address, ipaddress.IPv6Address):
        hidden = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in ipaddress.ip_network("64:ff9b::/96"):
            hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    inner = [other for other in hidden if other is not None]
    plain = address.is_global and not address.is_multicast
    if inner and getattr(address, "ipv4_mapped", None):
        plain = True  # the clothes themselves are not global; what is in them decides
    return plain and all(other.is_global and not other.is_multicast for other in inner)
