"""Data files as neutral values and back, and what the tests of this dialect share.

A neutral value in a file is an object whose ``is`` names its class; members that have their
default are left out.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

from gateway import json_text, sse
from gateway.dialects import vocabulary
from gateway.dialects.responses import StreamReader, read_request
from gateway.errors import Fault
from gateway.usage import Usage

CASES = Path(__file__).parent / "cases"
CUTS = [1, 2, 7, 65536]
_CLASSES = {"Usage": Usage, "Fault": Fault}


def names(folder: str, suffix: str = ".json") -> list[str]:
    found = sorted(path.name.removesuffix(suffix) for path in (CASES / folder).glob(f"*{suffix}"))
    assert found, folder
    return found


def load(folder: str, name: str, suffix: str = ".json") -> Any:
    return json_text.parse((CASES / folder / (name + suffix)).read_bytes())


def plain(value: Any) -> Any:
    """A neutral value as JSON."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    said = {"is": type(value).__name__}
    for field in dataclasses.fields(value):
        member = getattr(value, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if member != default:
            said[field.name] = plain(member)
    return said


def build(value: Any) -> Any:
    """JSON as the neutral value it says."""
    if isinstance(value, list):
        return [build(each) for each in value]
    if not isinstance(value, dict):
        return value
    members = {key: build(each) for key, each in value.items() if key != "is"}
    if "is" not in value:
        return members
    return (_CLASSES.get(value["is"]) or getattr(vocabulary, value["is"]))(**members)


def asked(prompt: vocabulary.Prompt | None = None) -> vocabulary.Asked:
    """Ids count up per prefix, so that what a test writes can be foretold."""
    counters: dict[str, Any] = {}

    def new_id(prefix: str) -> str:
        return f"{prefix}{next(counters.setdefault(prefix, itertools.count(1)))}"

    if prompt is None:
        prompt = read_request({"model": "gpt", "input": "hi"})
    return vocabulary.Asked(prompt.model or "gpt", 1700000000, new_id, prompt)


def cut(whole: bytes, size: int) -> list[sse.Event]:
    """The events of a stream that comes in pieces of *size* bytes."""
    splitter, found = sse.Splitter(), []
    for start in range(0, len(whole), size):
        piece = splitter.feed(whole[start : start + size])
        found += sse.events(piece) if piece else []
    return found + sse.events(splitter.rest())


def read_stream(whole: bytes, size: int = 65536) -> list:
    reader, found = StreamReader(), []
    for event in cut(whole, size):
        found += reader.feed(event)
    return found + reader.close()


def written(whole: bytes) -> list[dict]:
    """The events of a stream as values, each under the name its data gives it."""
    found = []
    for event in sse.events(whole):
        data = json_text.parse(event.data)
        assert event.name == data["type"]
        found.append(data)
    return found
