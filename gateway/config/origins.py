"""Where something may be fetched from: a scheme, a host and a port."""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from gateway.config.document import Node
from gateway.config.kinds import scalar_text

_PORTS = {"https": 443, "http": 80}
_ODD = re.compile(r"[\x00-\x20\x7f\\]")
_OF_AWS = ipaddress.ip_network("fd00:ec2::/32")  # what AWS has at link-local addresses, by version 6
_PLACE = re.compile(r"(https?://)?(\*\.)?[\w-]+(\.[\w-]+)*(:\d{1,5})?", re.ASCII)


def origin(address: str) -> str:
    """``https://host:443`` of a URL, or of a bare ``host`` or ``host:port`` (https). Raises ValueError."""
    parts = urlsplit(address if "://" in address else f"https://{address}")
    if parts.scheme not in _PORTS or not parts.hostname or _ODD.search(address):
        raise ValueError(f"expected a host or an http(s) address, found {address!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host.lower()}:{parts.port or _PORTS[parts.scheme]}"


def is_own(address: str) -> bool:
    """Whether the URL leads to this machine, or to what its cloud tells machines of themselves: no proxy
    stands between, and one that did would be told of itself."""
    host = urlsplit(address).hostname or ""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host in ("localhost", "metadata.google.internal")
    return found.is_loopback or found.is_link_local or found in _OF_AWS


class MediaHosts(tuple):
    """A list of hosts (``*.name`` for all below it; ``host:port`` or ``http://host`` for other ports than that of
    https), ``any``, or ``false`` for none. Holds their origins."""

    schema: dict[str, Any] = {
        "anyOf": [{"enum": [False, "any"]}, {"type": "array", "items": {"type": "string"}}],
        "examples": [["cdn.example.com", "*.images.example"]],
    }

    @classmethod
    def read(cls, node: Node) -> "MediaHosts":
        expected = "hosts such as [cdn.example.com, '*.images.example'], or any"
        if node.value is False or node.value == "any":
            return cls([] if node.value is False else ["any"])
        if not isinstance(node.value, list):
            raise ValueError(expected)
        return cls(_origin(scalar_text(item, expected), expected) for item in node.value)

    @property
    def everywhere(self) -> bool:
        return self == ("any",)

    def name(self, url: str) -> bool:
        """Whether *url* is on one of them. Raises ValueError for what is no http(s) URL."""
        asked = origin(url)
        return self.everywhere or any(_fits(asked, known) for known in self)


def _origin(place: str, expected: str) -> str:
    try:
        found = origin(place) if _PLACE.fullmatch(place) else ""
    except ValueError:  # its port is none
        found = ""
    if not found:
        raise ValueError(f"{expected} ({place!r} is neither)")
    return found


def _fits(asked: str, known: str) -> bool:
    scheme, _, place = known.partition("://")
    if not place.startswith("*."):
        return asked == known
    return asked.startswith(f"{scheme}://") and asked.endswith(place[1:])
