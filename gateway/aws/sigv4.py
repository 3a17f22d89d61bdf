"""AWS Signature Version 4, in headers.

Source: "Signature Version 4 signing process" in AWS's IAM user guide. Pure: the time is given.
"""

import hashlib
import hmac
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

_UNRESERVED = "-_.~"
_SPACES = re.compile(r" +")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key; ``token`` is there when it is a temporary one."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one AWS service in one region."""

    credentials: Credentials
    region: str
    service: str

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes, now: datetime) -> dict[str, str]:
        """The headers to add to a request of *method* to *url* with *body*. Those in *headers* are
        signed too, so they have to arrive as they are given; ``host`` is signed in any case."""
        own, stamp = self.credentials, now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        added = {"x-amz-date": stamp} | ({"x-amz-security-token": own.token} if own.token else {})
        signed = {"host": _host(url)} | {name.lower(): value for name, value in headers.items()} | added
        names = ";".join(sorted(signed))
        request = canonical_request(method, url, signed, hashlib.sha256(body).hexdigest())
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = f"AWS4{own.secret_key}".encode()
        for part in [*scope.split("/"), to_sign]:
            key = hmac.digest(key, part.encode(), "sha256")
        credential = f"Credential={own.access_key}/{scope}"
        added["authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={key.hex()}"
        return added


def canonical_request(method: str, url: str, headers: Mapping[str, str], digest: str) -> str:
    """The request in the one form that both sides sign; *digest* is the body's SHA-256 in hex."""
    parts = urlsplit(url)
    lines = [f"{name}:{_SPACES.sub(' ', headers[name].strip())}\n" for name in sorted(headers)]
    # What stands in the path is quoted once more, quoted or not (for every service but S3).
    path = quote(_normal(parts.path), safe="/" + _UNRESERVED)
    return "\n".join([method, path, _query(parts.query), "".join(lines), ";".join(sorted(headers)), digest])


def _normal(path: str) -> str:
    if not path:
        return "/"
    normal = posixpath.normpath(re.sub(r"/+", "/", path))
    return normal + "/" if path.endswith(("/", "/.", "/..")) and normal != "/" else normal


def _query(query: str) -> str:
    pairs = (text.partition("=") for text in query.split("&") if text)
    encoded = [(_encoded(name), _encoded(value)) for name, _, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _encoded(text: str) -> str:
    return quote(unquote(text), safe=_UNRESERVED)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2].removesuffix(":443" if parts.scheme == "https" else ":80")
