"""Whether a key may be used now, from here."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from gateway.config.settings import KeySettings
from gateway.errors import Forbidden, Unauthorized


def check_rights(key: KeySettings, address: Any, now: datetime | None = None) -> None:
    """Raises Unauthorized when the key has ended, Forbidden when *address* (an ``ipaddress`` object, or
    None behind a Unix socket) is none of its own."""
    if key.expires is not None and (now or datetime.now(UTC)) >= key.expires:
        raise Unauthorized("this API key has expired", code="expired_api_key")
    if key.allow_ips and not within(address, key.allow_ips):
        raise Forbidden("this API key may not be used from this address", code="address_not_allowed")


def within(address: Any, networks: Iterable[Any]) -> bool:
    """Also for an IPv4 address in IPv6 clothes."""
    address = getattr(address, "ipv4_mapped", None) or address
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )
