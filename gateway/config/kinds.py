"""The kinds of value a configuration may hold beside plain numbers and words.

Each kind is a type with ``read(node) -> value`` (ValueError says what was expected) and
``schema`` (its JSON Schema). New kinds are added here and nowhere else.
"""

import datetime
import ipaddress
import re
from pathlib import Path
from typing import Any

from gateway.config.document import Node

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_FINGERPRINT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SUBJECT = re.compile(r"[A-Za-z0-9][\w.]*=[^\s,]")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class Secret:
    """A value that shows itself to nobody; ``reveal()`` gives it to whoever signs with it."""

    __slots__ = ("_value",)
    hidden = True
    schema = {"type": "string", "description": "the secret itself, ${NAME}, or file:/path"}

    def __init__(self, value: str):
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")

    @classmethod
    def read(cls, node: Node) -> "Secret":
        text = scalar_text(node, "a secret")
        if text.startswith("file:"):
            try:
                text = Path(text[5:]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8"
                raise ValueError(f"a readable file ({reason})") from None
            if text.startswith("{"):  # a credentials file: line ends are but white space in JSON
                text = " ".join(text.splitlines())
        if not text.isascii() or not text.isprintable() or not text.strip():
            raise ValueError("a secret of printable ASCII characters (it travels in a header)")
        return cls(text)


class ChannelKey(Secret):
    """One of a channel's keys: a secret, or ``{key: secret, weight: number}``."""

    __slots__ = ("weight",)
    schema = {
        "oneOf": [
            Secret.schema,
            {
                "type": "object",
                "properties": {"key": Secret.schema, "weight": {"type": "number", "minimum": 0}},
                "required": ["key"],
                "additionalProperties": False,
            },
        ]
    }

    def __init__(self, value: str, weight: float = 1):
        super().__init__(value)
        self.weight = weight

    @classmethod
    def read(cls, node: Node) -> "ChannelKey":
        if not isinstance(node.value, dict):
            return cls(Secret.read(node).reveal())
        weight = node.value["weight"].value if "weight" in node.value else 1
        if not set(node.value) <= {"key", "weight"} or "key" not in node.value:
            raise ValueError("a secret, or {key: secret, weight: number}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
            raise ValueError("a weight of 0 or more")
        return cls(Secret.read(node.value["key"]).reveal(), weight)


class Size(int):
    """Bytes: ``64MB``, ``1GiB`` or a number."""

    schema = {"type": ["string", "integer"], "examples": ["64MB", "1GiB"]}

    @classmethod
    def read(cls, node: Node) -> "Size":
        match = _SIZE.fullmatch(scalar_text(node, "a size such as 64MB"))
        if not match or match[2].upper() not in _UNITS:
            raise ValueError("a size such as 64MB")
        return cls(float(match[1]) * _UNITS[match[2].upper()])


class Seconds(float):
    """A time span in seconds, above 0."""

    schema = {"type": "number", "exclusiveMinimum": 0}

    @classmethod
    def read(cls, node: Node) -> "Seconds":
        if isinstance(node.value, bool) or not isinstance(node.value, int | float) or not 0 < node.value < 1e9:
            raise ValueError("a number of seconds above 0")
        return cls(node.value)


class CertificateName(str):
    """A client's certificate: its fingerprint (SHA-1 or SHA-256) as plain small digits, or its subject as RFC 4514
    writes it."""

    schema = {"type": "string", "examples": ["CN=batch,O=Corp", "ab12cd34ef56ab12cd34ef56ab12cd34ef56ab12"]}

    @classmethod
    def read(cls, node: Node) -> "CertificateName":
        text = scalar_text(node, "a certificate's fingerprint or subject").strip()
        digits = text.replace(":", "").lower()
        if _FINGERPRINT.fullmatch(digits):
            return cls(digits)
        if not _SUBJECT.match(text):
            raise ValueError("a fingerprint of 40 or 64 hexadecimal digits, or a subject such as CN=batch,O=Corp "
                             "(openssl x509 -noout -fingerprint -subject -nameopt RFC2253)")  # fmt: skip
        return cls(text)


class Fingerprint(str):
    """A certificate's SHA-256, as plain small digits."""

    schema = {"type": "string", "pattern": "^([0-9a-fA-F]{2}:?){32}$"}

    @classmethod
    def read(cls, node: Node) -> "Fingerprint":
        digits = scalar_text(node, "a fingerprint").replace(":", "").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", digits):
            raise ValueError("64 hexadecimal digits (openssl x509 -noout -fingerprint -sha256)")
        return cls(digits)


class Network:
    """An address or a network in CIDR form."""

    schema = {"type": "string", "examples": ["10.0.0.0/8", "::1"]}

    @classmethod
    def read(cls, node: Node) -> Any:
        try:
            return ipaddress.ip_network(scalar_text(node, "an address or network"), strict=False)
        except ValueError:
            raise ValueError("an address or a network such as 10.0.0.0/8") from None


class Address:
    """A single address; of networks, loopback's only."""

    schema = {"type": "string", "examples": ["10.0.0.7", "::1"]}

    @classmethod
    def read(cls, node: Node) -> Any:
        expected = "one address such as 10.0.0.7"
        try:
            found = ipaddress.ip_network(scalar_text(node, expected), strict=False)
        except ValueError:
            raise ValueError(expected) from None
        if found.num_addresses > 1 and not found.is_loopback:
            raise ValueError(f"{expected}, since whoever has it can be anybody")
        return found


class Moment:
    """A date (its first second, UTC) or a time."""

    schema = {"type": "string", "examples": ["2027-01-01", "2027-01-01T12:00:00Z"]}

    @classmethod
    def read(cls, node: Node) -> datetime.datetime:
        value = node.value
        try:
            if isinstance(value, str):
                value = datetime.datetime.fromisoformat(value)
            if not isinstance(value, datetime.datetime):
                value = datetime.datetime(value.year, value.month, value.day)
        except (ValueError, AttributeError):
            raise ValueError("a date such as 2027-01-01") from None
        return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)


class HttpUrl(str):
    """An http or https address without credentials, query or fragment."""

    schema = {"type": "string", "format": "uri", "pattern": "^https?://"}
    _FORM = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")

    @classmethod
    def read(cls, node: Node) -> "HttpUrl":
        text = scalar_text(node, "an address")
        if not cls._FORM.fullmatch(text):
            raise ValueError("an address such as https://api.example.com/v1")
        return cls(text.rstrip("/"))


class Sha256(str):
    """A SHA-256 digest in hexadecimal."""

    hidden = True  # where a digest is asked for, a key may have been put
    schema = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}

    @classmethod
    def read(cls, node: Node) -> "Sha256":
        text = scalar_text(node, "a digest")
        if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
            raise ValueError("64 hexadecimal digits (printf %s KEY | sha256sum)")
        return cls(text.lower())


class Options(dict):
    """A mapping whose members somebody else declares (a plugin's options): kept as nodes."""

    schema = {"type": "object"}

    @classmethod
    def read(cls, node: Node) -> "Options":
        if not isinstance(node.value, dict):
            raise ValueError("a mapping")
        options = cls(node.value)
        options.line = node.line
        return options

    line = 0


class AnyJson:
    """Any value that JSON can say."""

    schema: dict[str, Any] = {}

    @classmethod
    def read(cls, node: Node) -> Any:
        if isinstance(node.value, dict):
            return {name: cls.read(child) for name, child in node.value.items()}
        if isinstance(node.value, list):
            return [cls.read(child) for child in node.value]
        if isinstance(node.value, datetime.date | bytes):
            return node.text
        return node.value


def scalar_text(node: Node, what: str) -> str:
    """The text of a scalar, also of one that YAML takes for a number. ValueError for others."""
    if isinstance(node.value, dict | list | bool) or node.value is None:
        raise ValueError(what)
    return node.text
