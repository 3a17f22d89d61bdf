"""The public keys of an OpenID Connect issuer: from its discovery document, one URL or a file.

They are fetched again every hour, and when a token names one that is not known, but no more than once in
ten seconds. See OpenID Connect Discovery 1.0 and RFC 7517 (JSON Web Keys).
"""

import json
import logging
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.errors import GatewayError, Unauthorized

log = logging.getLogger("gateway.jwt")

_REFRESH = 3600.0  # seconds between two fetches
_AGAIN = 10.0  # least seconds between two tries
_STALE = 86400.0  # seconds for which the keys are good while the issuer is away
_TIMEOUT = 5.0
_LARGEST = 1 << 20  # bytes of a document
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Key = dict[str, Any]


class IssuerAway(GatewayError):
    """No token can be checked: the issuer's keys are not known."""

    status = 503
    code = "issuer_unavailable"


def is_token(secret: str) -> bool:
    """Whether *secret* has the form of a JSON Web Token (RFC 7519), as no key has."""
    return secret.startswith("eyJ") and secret.count(".") == 2


def is_trustworthy(address: str) -> bool:
    """Whether what comes from *address* comes from there: over TLS, or from this machine."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (parts.scheme == "https" or parts.scheme == "http" and parts.hostname in _LOOPBACK)


class Issuer:
    """*address* is as its tokens spell it. The keys stand in *file*, at *url*, or where the discovery document
    says, on the issuer's own host. *opener* is direct.direct_opener's. ``edition`` is another number as soon as
    the keys are others."""

    def __init__(self, address: str, opener: urllib.request.OpenerDirector, url: str = "", file: Path | None = None):
        self.edition = 0
        self._address = address
        self._url = url
        self._file = file
        self._keys: dict[str | None, Key] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching = threading.Lock()
        self._opener = opener

    def key(self, kid: str | None) -> Key:
        """The JSON Web Key of that id; of the only one, if the token names none. Raises Unauthorized, IssuerAway."""
        if kid not in self._keys and not (kid is None and len(self._keys) == 1):
            self._fetch()
        if not self._keys or time.monotonic() - self._fetched > _STALE:
            raise IssuerAway("the issuer of tokens cannot be asked for its keys now", retry_after=_AGAIN)
        if kid is None and len(self._keys) == 1:
            kid = next(iter(self._keys))
        key = self._keys.get(kid)
        if key is None:
            raise Unauthorized("the issuer does not have this token's key", code="unknown_signing_key")
        return key

    def refresh(self) -> None:
        """Fetch the keys if it is time to; to be called every now and then."""
        if not self._keys or time.monotonic() - self._fetched > _REFRESH:
            self._fetch()

    def _fetch(self) -> None:
        """Once in a while only, whoever wants it. What goes wrong leaves the keys as they are."""
        with self._fetching:
            now = time.monotonic()
            if now - self._tried < _AGAIN:
                return
            self._tried = now
            try:
                found = _usable(self._document())
            except (OSError, ValueError) as error:
                log.error("the keys of %s cannot be fetched: %s", self._address, error)
                return
            self._fetched = now
            if found != self._keys:
                self._keys, self.edition = found, self.edition + 1

    def _document(self) -> Any:
        if self._file:
            return json.loads(self._file.read_text(encoding="utf-8"))
        return self._get(self._url or self._discovered())

    def _discovered(self) -> str:
        told = self._get(f"{self._address.rstrip('/')}/.well-known/openid-configuration")
        url = str(told.get("jwks_uri"))
        if told.get("issuer") != self._address:
            raise ValueError(f"the discovery document is about {told.get('issuer')!r}")
        if urlsplit(url)[:2] != urlsplit(self._address)[:2]:
            raise ValueError(f"its keys are on another host, {url!r}; if that is right, say so with `jwks_url`")
        return url

    def _get(self, url: str) -> dict[str, Any]:
        request = urllib.request.Request(url, headers={"Accept": "application/json"})
        with self._opener.open(request, timeout=_TIMEOUT) as answer:
            found = json.loads(answer.read(_LARGEST))
        if not isinstance(found, dict):
            raise ValueError(f"{url} holds no JSON object")
        return found


def _usable(document: Any) -> dict[str | None, Key]:
    """The public keys to sign with, by their ids."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("there are no `keys` in it")
    return {
        key.get("kid"): key for key in keys
        if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"
    }  # fmt: skip
