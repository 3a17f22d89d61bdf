"""A vendor's real answers, recorded once and played back ever after.

To the gateway it is an upstream: put ``cassette.url`` where the channel's ``base_url`` stands. Live,
it passes everything on to the vendor and writes down both sides, without their secrets.
"""

import base64
import contextlib
import http.client
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.testing.masking import Masker
from gateway.testing.upstream import CUT, Scripted, ScriptedUpstream, Sent, document

_PATIENCE = 120.0  # seconds for the vendor
_HOPS = frozenset("host connection content-length transfer-encoding keep-alive accept-encoding date server".split())


class CassetteRefused(AssertionError):
    """A secret would have been written down; nothing was."""


class Cassette:
    """Plays the file *path*; with *live* records it, from *vendor* (an http or https address).

    ``close()`` ends it: live, it writes the file, and raises CassetteRefused if a secret stands in
    what is to be written (one of *secrets*, of ``key()``, or whatever stood where secrets stand);
    played, it raises AssertionError if the gateway asked for what was not recorded.
    """

    def __init__(self, path: Path, vendor: str, *, live: bool = False, secrets: Iterable[str] = ()):
        self.live = live
        self._path = path
        self._vendor = vendor
        self._masker = Masker(secrets)
        self._exchanges: list[dict[str, Any]] = [] if live else self._recorded()
        self._missed: list[str] = []
        self._upstream = ScriptedUpstream(self._record if live else self._play)
        self.url = self._upstream.url + urlsplit(vendor).path.rstrip("/")

    def key(self, variable: str) -> str:
        """The vendor's key: live, what the environment's *variable* says; else something that is none."""
        if not self.live:
            return "played-back"
        value = os.environ[variable]
        self._masker.learn(value)
        return value

    def close(self) -> None:
        self._upstream.close()
        if self.live:
            self._write()
        elif self._missed:
            missed = "; ".join(self._missed)
            raise AssertionError(f"{self._path} has no answer to: {missed}. Record it anew: pytest --live")

    def __enter__(self) -> "Cassette":
        return self

    def __exit__(self, kind: Any, *error: object) -> None:
        with contextlib.suppress(AssertionError) if kind is not None else contextlib.nullcontext():
            self.close()

    def _recorded(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            raise AssertionError(f"{self._path} is not recorded yet: run pytest --live once, with the vendor's key")
        return json.loads(self._path.read_text(encoding="utf-8"))["exchanges"]

    def _play(self, sent: Sent) -> Scripted:
        asked = self._request(sent)
        for number, exchange in enumerate(self._exchanges):
            if _same(exchange["request"], asked):
                del self._exchanges[number]
                return _scripted(exchange["response"])
        self._missed.append(f"{asked['method']} {asked['target']} {str(asked['body'])[:500]}")
        return document({"error": {"message": "the cassette has no answer to this"}}, 501)

    def _record(self, sent: Sent) -> Scripted:
        parts = urlsplit(self._vendor)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE)
        headers = {name: value for name, value in sent.headers.items() if name not in _HOPS}
        connection.request(sent.method, sent.target, sent.body, headers | {"accept-encoding": "identity"})
        response = connection.getresponse()
        passed = [(name.lower(), value) for name, value in response.getheaders() if name.lower() not in _HOPS]
        said: dict[str, Any] = {"status": response.status, "headers": passed, "pieces": []}
        self._exchanges.append({"request": self._request(sent), "response": said})
        return Scripted(_pieces(connection, response, said["pieces"]), response.status, dict(passed))

    def _request(self, sent: Sent) -> dict[str, Any]:
        """What is kept of a request: no secret, and of the headers those that say what it is."""
        headers = [(name, value) for name, value in sent.headers.items() if name not in _HOPS]
        return {
            "method": sent.method,
            "target": self._masker.target(sent.target),
            "headers": dict(self._masker.headers(headers)),
            "body": _text(self._masker.body(sent.body)),
        }

    def _write(self) -> None:
        for exchange in self._exchanges:
            said = exchange["response"]
            said["headers"] = dict(self._masker.headers(said["headers"]))
            said["pieces"] = self._masked(said["pieces"], said["headers"].get("content-type", ""))
        for number, exchange in enumerate(self._exchanges, 1):
            whole = "".join(str(_bytes(piece), "latin-1") for piece in exchange["response"]["pieces"])
            if self._masker.found_in(json.dumps(exchange, ensure_ascii=False) + whole):
                asked = f"{exchange['request']['method']} {urlsplit(exchange['request']['target']).path}"
                raise CassetteRefused(f"a secret stands in exchange {number} ({asked}); {self._path} is not written")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"vendor": self._vendor, "exchanges": self._exchanges}
        self._path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _masked(self, pieces: list[Any], media_type: str) -> list[Any]:
        """A stream keeps its pieces; of anything else the members that are secrets are masked."""
        if media_type.startswith("text/event-stream") or CUT in pieces:
            return [None if piece is CUT else _text(piece) for piece in pieces]
        return [_text(self._masker.body(b"".join(pieces)))]


def _pieces(connection: Any, response: http.client.HTTPResponse, kept: list[Any]) -> Iterator[Any]:
    """The vendor's body in the pieces that it comes in, each kept."""
    try:
        while piece := response.read1(65536):
            kept.append(piece)
            yield piece
    except (http.client.HTTPException, OSError):
        kept.append(CUT)
        yield CUT
    finally:
        connection.close()


def _scripted(said: dict[str, Any]) -> Scripted:
    pieces = [CUT if piece is None else _bytes(piece) for piece in said["pieces"]]
    return Scripted(pieces, said["status"], said["headers"])


def _same(recorded: dict[str, Any], asked: dict[str, Any]) -> bool:
    if (recorded["method"], recorded["target"]) != (asked["method"], asked["target"]):
        return False
    return _value(recorded["body"]) == _value(asked["body"])


def _value(body: Any) -> Any:
    try:
        return json.loads(body)
    except (ValueError, TypeError):
        return body


def _text(data: bytes) -> Any:
    """Bytes as JSON can say them: text if they are UTF-8, else base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes(kept: Any) -> bytes:
    if kept is None:
        return b""
    return base64.b64decode(kept["base64"]) if isinstance(kept, dict) else kept.encode()
