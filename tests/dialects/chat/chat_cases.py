"""Cases as data: JSON files in cases/<folder>/, neutral values written as {"_": "Text", "text": "hi"}."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from gateway import json_text
from gateway.dialects import vocabulary
from gateway.dialects.vocabulary import Asked, Prompt
from gateway.errors import Fault
from gateway.sse import Splitter, events
from gateway.usage import Usage

CASES = Path(__file__).parent / "cases"
CUTS = (1, 2, 7, 65536)
_CLASSES = {name: value for name, value in vars(vocabulary).items() if is_dataclass(value)}
_CLASSES |= {"Usage": Usage, "Fault": Fault}


def cases(folder: str) -> list:
    return sorted((CASES / folder).glob("*.json"))


def load(path: Path) -> dict:
    return json_text.parse(path.read_bytes())


def neutral(value: Any) -> Any:
    """The values that a case's JSON stands for."""
    if isinstance(value, list):
        return [neutral(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    members = {name: neutral(member) for name, member in value.items() if name != "_"}
    return _CLASSES[value["_"]](**members) if "_" in value else members


def plain(value: Any) -> Any:
    """The JSON that stands for *value*; members with their default are left out."""
    if is_dataclass(value):
        members = {f.name: getattr(value, f.name) for f in fields(value)}
        default = _defaults(type(value))
        told = {name: plain(m) for name, m in members.items() if name not in default or default[name] != m}
        return {"_": type(value).__name__, **told}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    return value


def _defaults(kind: type) -> dict[str, Any]:
    blank = {}
    for f in fields(kind):
        if f.default_factory is not f.default and callable(f.default_factory):
            blank[f.name] = f.default_factory()
        elif not repr(f.default).startswith("<dataclasses._MISSING"):
            blank[f.name] = f.default
    return blank


def asked(prompt: Prompt | None = None) -> Asked:
    """What a test's client asked: the clock stands still, ids count from 1."""
    counter = iter(range(1, 1000))
    return Asked("public-model", 1735689600, lambda prefix: f"{prefix}{next(counter)}", prompt or Prompt("chat", "m"))


def stream_bytes(chunks: list) -> bytes:
    """Chunks (objects), raw data (strings) and whole lines (strings that start with ':' or 'event')."""
    written = b""
    for chunk in chunks:
        if isinstance(chunk, str) and chunk.startswith((":", "event:", "data:")):
            written += chunk.encode() + b"\n\n"
        else:
            written += b"data: " + (chunk.encode() if isinstance(chunk, str) else json_text.write(chunk)) + b"\n\n"
    return written


def cut_events(stream: bytes, size: int) -> list:
    """The events of *stream* when it arrives in pieces of *size* bytes."""
    splitter, found = Splitter(), []
    for start in range(0, len(stream), size):
        found += events(splitter.feed(stream[start : start + size]))
    return found


def chunks_of(stream: bytes) -> list:
    """What stream_bytes was given."""
    return [event.data.decode() if event.data == b"[DONE]" else json_text.parse(event.data) for event in events(stream)]
