"""Cases of dialect pairs as data: loading, playing and comparing them (test_pairs says the format)."""

import functools
import itertools
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from gateway import json_text, sse
from gateway.dialects.registry import DIALECTS
from gateway.dialects.translation import StreamTranslation, Translation
from gateway.dialects.vocabulary import Asked, Prompt, Target
from gateway.errors import Fault

CASES = Path(__file__).parent / "cases"
CUTS = (1, 2, 7, 65536)
CREATED = 1735689600
BROKEN = Fault(502, "upstream", "the upstream closed the connection", code="upstream_stream_cut")
PAIRS = [f"{client}-{channel}" for client, channel in itertools.permutations(DIALECTS, 2)]

# What a client said when a case only shows an answer.
_HI = {
    "chat": {"messages": [{"role": "user", "content": "hi"}], "stream_options": {"include_usage": True}},
    "responses": {"input": "hi", "store": False},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 64},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}


class _JsonLoader(yaml.SafeLoader):
    """YAML in which a plain word is what it would be in JSON, or text: no dates, no ``on``."""

    yaml_implicit_resolvers = {}


_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"null$|$"), ["n", ""])
_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), list("tf"))
_JsonLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?\d+$"), list("-0123456789"))
_JsonLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$"), list("-0123456789")
)
_JsonLoader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
_JsonLoader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: Decimal(node.value))


class Case:
    """One file of cases/CLIENT-CHANNEL/."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.said = yaml.load(path.read_text(encoding="utf-8"), _JsonLoader)
        except yaml.YAMLError as error:  # fails in this case's own test, not all cases' collection
            self.said = {"about": "", "not YAML": str(error)}
        self.names = client, channel = path.parent.name.split("-")
        self.client, self.channel = DIALECTS[client], DIALECTS[channel]
        self.about = f"{path.stem}: {self.said['about']}"

    def __str__(self) -> str:
        return case_id(self)

    def __contains__(self, member: str) -> bool:
        return member in self.said

    def document(self, member: str) -> Any:
        """What a member says; a text is JSON as it stands (for what YAML would tidy up)."""
        value = self.said[member]
        return json_text.parse(value.encode() if isinstance(value, str) else json_text.write(value))

    def prompt(self, member: str = "request") -> Prompt:
        document, stream = {"model": "public", **_HI[self.names[0]]}, "stream" in self
        if member in self:
            document = self.document(member)
        elif self.names[0] != "gemini":
            document["stream"] = stream
        return self.read(document, stream)

    def read(self, document: Any, stream: bool = False) -> Prompt:
        in_url = {"model": self.said.get("model", "public"), "stream": self.said.get("streaming", stream)}
        return self.client.read_request(document, **(in_url if self.names[0] == "gemini" else {}))

    def write(self, prompt: Prompt) -> tuple[dict, list[str]]:
        """The channel's document and what was dropped, media fetched where the channel wants bytes."""
        for media in self.channel.to_fetch(prompt, self._target()):
            fetched = self.said.get("fetched", {})[media.url]
            media.url, media.data, media.media_type = None, fetched["data"], fetched["media_type"]
        written = Translation(self.client, self.channel).write(prompt, self._target())
        return as_json(written.document), written.dropped

    def _target(self) -> Target:
        return Target(self.said.get("upstream_model", "up"), frozenset(self.said.get("traits", [])))

    def _translation(self, prompt: Prompt) -> Translation:
        """One that has written the request, as it must before it can read the answer."""
        translation = Translation(self.client, self.channel)
        translation.write(prompt, self._target())
        return translation

    def reply(self, prompt: Prompt) -> dict:
        translation = self._translation(prompt)
        return as_json(translation.reply(self.document("upstream_reply"), asked(prompt)))

    def left_out(self, prompt: Prompt) -> list[str]:
        translation = self._translation(prompt)
        return translation.left_out(translation.read_reply(self.document("upstream_reply")))

    def stream(self, prompt: Prompt, size: int, writer: str = "StreamWriter") -> bytes:
        """What the client gets when the upstream's stream comes in pieces of *size* bytes."""
        upstream = self.said["upstream_stream"].encode()
        reader = self._translation(prompt).reader()
        translation = StreamTranslation(reader, getattr(self.client, writer)(asked(prompt)))
        written, splitter = b"", sse.Splitter()
        for start in range(0, len(upstream), size):
            written += feed(translation, splitter.feed(upstream[start : start + size]))
        written += feed(translation, splitter.rest())
        return written + translation.close(BROKEN if self.said.get("broken") else None)


def feed(translation: StreamTranslation, whole: bytes) -> bytes:
    return b"".join([translation.feed(event) for event in sse.events(whole)])


def cases(pair: str = "*", member: str = "about") -> list[Case]:
    """The cases of a pair (of all pairs) that say *member*."""
    return [case for case in _all() if member in case and pair in ("*", case.path.parent.name)]


@functools.cache
def _all() -> list[Case]:
    return [Case(path) for name in PAIRS for path in sorted((CASES / name).glob("*.yaml"))]


def case_id(case: Case) -> str:
    return f"{case.path.parent.name}/{case.path.stem}"


def asked(prompt: Prompt) -> Asked:
    """The clock stands still, ids count from 1 whatever they are for."""
    count = itertools.count(1)
    return Asked(prompt.model, CREATED, lambda prefix: f"{prefix}{next(count)}", prompt)


def as_json(value: Any) -> Any:
    """*value* as it is behind the wire."""
    return json_text.parse(json_text.write(value))


def told(stream: bytes) -> list[tuple[str, Any]]:
    """The events of a stream: their names and what their data says."""
    return [(event.name, _data(event.data)) for event in sse.events(stream)]


def _data(data: bytes) -> Any:
    try:
        return json_text.parse(data)
    except json_text.NotJson:
        return data.decode()


def matched(expected: Any, found: Any) -> Any:
    """*expected*, with the members of *found* that a ``...`` in it stands for: equal to *found*
    if and only if *found* is as expected."""
    if isinstance(expected, dict) and isinstance(found, dict):
        whole = {name: matched(value, found.get(name)) for name, value in expected.items() if name != "..."}
        return {**found, **whole} if "..." in expected else whole
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        rest = expected[len(found) :]
        return type(expected)([matched(*pair) for pair in zip(expected, found, strict=False)] + list(rest))
    return expected


def with_reply(value: Any, reply: list) -> Any:
    """*value* with each ``$reply`` in a list replaced by what the answer adds to the history."""
    if isinstance(value, dict):
        return {name: with_reply(member, reply) for name, member in value.items()}
    if isinstance(value, list):
        return [new for member in value for new in (reply if member == "$reply" else [with_reply(member, reply)])]
    return value
