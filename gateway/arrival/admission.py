"""Who calls, from where, and may they come in."""

import functools
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from gateway.config.kinds import Secret
from gateway.domain import ANONYMOUS, Certificate, Inbound, Principal
from gateway.errors import Forbidden, Unauthorized
from gateway.headers import CERTIFICATE_HEADERS, CREDENTIAL_HEADERS, Headers
from gateway.loading import Gateway
from gateway.plugin_manager import ask
from gateway.rights import within

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_NOBODY = ipaddress.ip_address("0.0.0.0")


def authenticate(gateway: Gateway, inbound: Inbound) -> Principal:
    """The principal behind *inbound*. Raises Unauthorized or Forbidden.

    Without any plugin that authenticates (no ``keys:``), only clients on this machine are served.
    """
    askers = gateway.plugins.on("authenticate")
    if len(inbound.credentials) > 1 and askers:
        raise Unauthorized("two different API keys in one request; send one")
    for plugin in askers:
        principal = ask(plugin, "authenticate", request=inbound)
        if principal is not None:
            return principal
    if askers:
        raise Unauthorized(_unknown(inbound))
    if inbound.address is not None and not is_loopback(inbound.address):
        raise Forbidden("this gateway has no client keys, so it serves its own machine only; configure `keys:`")
    return ANONYMOUS


def _unknown(inbound: Inbound) -> str:
    if inbound.credentials:
        return "this API key is not known"
    if inbound.certificate is not None:
        return f"the client certificate of {inbound.certificate.subject!r} stands for no key, and there is no API key"
    return "no API key; send 'Authorization: Bearer KEY' or 'x-api-key: KEY'"


def is_loopback(address: Address) -> bool:
    """Also for an IPv4 address in IPv6 clothes."""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def credentials(headers: Mapping[str, str], query: str) -> tuple[Secret, ...]:
    """The distinct keys a request carries, wherever clients of any dialect put them."""
    found: list[str] = []
    for name in CREDENTIAL_HEADERS:
        value = headers.get(name)
        if not value:
            continue
        if name == "authorization":
            scheme, _, rest = value.strip().partition(" ")
            value = rest if scheme.lower() == "bearer" else value
        found.append(value.strip())
    if "key=" in query:
        found += [value for name, value in parse_qsl(query) if name == "key"]
    distinct: list[str] = []
    for value in found:
        if value and not any(hmac.compare_digest(value.encode(), other.encode()) for other in distinct):
            distinct.append(value)
    return tuple(Secret(value) for value in distinct)


def without_key(query: str) -> str:
    """The query string without the client's ``key``; untouched when it has none."""
    if "key=" not in query:
        return query
    return urlencode([pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "key"])


def client_address(peer: str, headers: Mapping[str, str], trusted: Iterable[Any]) -> Address | None:
    """The client's own address. X-Forwarded-For is believed as far as trusted proxies wrote it:
    read from the right, the first address that is no trusted proxy's is the client's, and what
    cannot be read is nobody's. None when the peer is a Unix socket without any such header."""
    networks = list(trusted) or list(_LOOPBACK)
    address = _parse(peer)
    if not is_trusted(peer, networks):
        return address
    forwarded = headers.get("x-forwarded-for", "").strip()
    for text in reversed(forwarded.split(",") if forwarded else ()):
        address = hop = _parse(text.strip()) or _NOBODY
        if not within(hop, networks):
            break
    return address


def is_trusted(peer: str, trusted: Iterable[Any]) -> bool:
    """Whether *peer*, who connected, is a trusted proxy; a Unix socket (an empty one) is."""
    return not peer or within(_parse(peer) or _NOBODY, list(trusted) or _LOOPBACK)


def take_certificate(headers: Headers, peer: str, trusted: Iterable[Any]) -> Certificate | None:
    """The client's certificate, if one of the *trusted* has verified it (``X-Client-Verify: SUCCESS``, as nginx's
    ``$ssl_client_verify`` says it). Takes those headers away, whoever sent them."""
    verdict, fingerprint, subject = (headers.pop(name, "") for name in CERTIFICATE_HEADERS)
    if verdict != "SUCCESS" or not is_trusted(peer, trusted):
        return None
    return Certificate(fingerprint.replace(":", "").lower(), subject)


@functools.lru_cache(maxsize=4096)  # most calls come from few proxies
def _parse(text: str) -> Address | None:
    if text.startswith("[") and "]" in text:
        text = text[1 : text.index("]")]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
