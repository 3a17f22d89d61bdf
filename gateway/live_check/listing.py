"""A channel's own list of models, and which of them to try."""

import difflib
import fnmatch
import re
from dataclasses import dataclass
from typing import Any

from gateway import json_text
from gateway.domain import Channel

# Lists name everything that an account may use; these words are of models that do not answer in text.
_OTHER_KIND = re.compile(
    r"embed|whisper|tts|dall-e|image|imagen|veo|sora|audio|realtime|transcribe|moderation|rerank|speech|video|live|"
    r"babbage|davinci|instruct-\d|aqa|ocr|guard", re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """``names`` is None when there is no list, and ``why`` tells why; ``whole`` is False for the
    first page of a longer one."""

    names: tuple[str, ...] | None
    whole: bool = True
    why: str = ""

    def near(self, model: str) -> str:
        """What the list has instead of *model*, for people: the nearest names, else the first."""
        if not self.names:
            return "the channel lists no model at all" if self.names is not None else ""
        near = difflib.get_close_matches(model, self.names, 3, 0.6)
        if near:
            return f"did you mean {' or '.join(repr(name) for name in near)}?"
        more = f" and {len(self.names) - 5} more" if len(self.names) > 5 else ""
        return f"the channel lists: {', '.join(self.names[:5])}{more}"


def read_listing(data: bytes) -> Listing:
    """The list in any of the vendors' shapes: ``{"data": [{"id"}]}`` (OpenAI, Anthropic), ``{"models":
    [{"name": "models/..."}]}`` (Google), or the bare list (Together). Never raises."""
    try:
        document = json_text.parse(data)
    except json_text.NotJson:
        return Listing(None, why="what came instead is no JSON")
    found: Any = document
    if isinstance(document, dict):
        found = next((document[name] for name in ("data", "models") if name in document), None)
    if not isinstance(found, list):
        return Listing(None, why="what came instead is no list")
    names = [name for name in map(_name, found) if name]
    whole = not (isinstance(document, dict) and (document.get("has_more") or document.get("nextPageToken")))
    return Listing(tuple(dict.fromkeys(names)), whole)


def _name(entry: Any) -> str:
    name = entry.get("id") or entry.get("name") if isinstance(entry, dict) else entry
    return name.removeprefix("models/") if isinstance(name, str) else ""


def model_to_try(channel: Channel, wished: str, listing: Listing) -> str:
    """The name, as the upstream knows it: *wished* if the channel serves it, else the channel's
    first exact name, else the first of its list that a pattern matches; empty if there is none."""
    exact = {public: upstream or public for public, upstream in channel.models if not _is_pattern(public)}
    patterns = [public for public, _ in channel.models if _is_pattern(public)]
    if wished in exact:
        return exact[wished]
    if wished and _matches(wished, patterns):
        return wished
    if exact:
        return next((name for name in exact.values() if not _OTHER_KIND.search(name)), next(iter(exact.values())))
    listed = [name for name in listing.names or () if _matches(name, patterns)]
    return next((name for name in listed if not _OTHER_KIND.search(name)), listed[0] if listed else "")


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
