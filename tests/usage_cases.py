"""The cases of tests/cases/usage: an answer in a channel's dialect, and the usage it comes to."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.bodies import JsonBody
from gateway.domain import Call, Endpoint
from gateway.sse import Splitter
from gateway.usage import Usage
from gateway.usage_reading import UsageTap

FOLDER = Path(__file__).parent / "cases" / "usage"


@dataclass(frozen=True)
class Case:
    """``data`` arrives as ``form``: stream (of events), document (at once) or parts (of one)."""

    name: str
    dialect: str
    operation: str
    form: str
    streamed: bool
    data: bytes
    request: Any
    complete: bool
    usage: Usage

    def tap(self, **more):
        return UsageTap(call_of(self.dialect, self.operation, self.streamed, self.request), self.dialect, **more)

    def measured(self, size, **more):
        """The usage of the answer in pieces of *size* bytes, through the stream's own Splitter."""
        tap = self.tap(**more)
        if self.form == "document":
            tap.look(self.data)
            return tap.usage(self.complete)
        pieces = [self.data[i : i + size] for i in range(0, len(self.data), size)]
        if self.form == "parts":
            assert all(tap.part(piece) is piece for piece in pieces)
            return tap.usage(self.complete)
        splitter = Splitter()
        for piece in pieces:
            if whole := splitter.feed(piece):
                assert tap.feed(whole) is whole
        if rest := splitter.rest():
            assert tap.feed(rest) is rest
        return tap.usage(self.complete)


def call_of(dialect, operation="generate", stream=True, request=None):
    body = None if request is None else JsonBody(json.dumps(request).encode())
    return Call("req_1", Endpoint(dialect, operation, ""), "POST", "", {}, body, "m", stream)


def _read(path):
    given = yaml.safe_load(path.read_text())
    (form,) = {"stream", "document", "parts"} & set(given)
    data = json.dumps(given[form]).encode() if form == "document" else given[form].encode()
    data = data.replace(b"\n", b"\r\n") if given.get("crlf") else data
    usage = Usage(**given["usage"])
    dialect, operation = given["dialect"], given.get("operation", "generate")
    request, complete = given.get("request"), given.get("complete", True)
    return Case(path.stem, dialect, operation, form, form != "document", data, request, complete, usage)


CASES = [_read(path) for path in sorted(FOLDER.glob("*.yaml"))]
