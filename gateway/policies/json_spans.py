"""Where the strings of a JSON text stand, so that a few of its characters can be exchanged and all
others stay as they are.

Works on str: a JSON text that came as UTF-8 is decoded once, which costs less than everything else
here. The text must be known to be JSON; a key that comes twice is met twice.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway import json_text

KEY, STRING, ATOM = "key", "string", "atom"

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],]|[^\s{}\[\]:,"]+', re.DOTALL)
# What one character of the decoded string was written as; a pair of surrogates is one character.
_WRITTEN = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)
_HALF_PAIR = re.compile(r"\\u[dD][89abAB]..")
_JSON_START = re.compile(r'\s*(?:\{\s*["}]|\[\s*[{\["])')
_JSON_START_OF_START = re.compile(r"\s*[{\[]?\s*")

Path = list[str | int]
Token = tuple[Path, int, int, str]


def tokens(text: str) -> Iterator[Token]:
    """(path, start, end, kind) of each key, string and atom (number, true, false, null) in *text*. Strings and keys
    are given without their quotes. The path is one list that changes from token to token; a key's own path ends with
    the key before it."""
    path: Path = []
    objects: list[bool] = []
    key_next = False
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        first = text[start]
        if first == '"':
            if key_next:
                yield path, start + 1, end - 1, KEY
                path[-1] = unescaped(text[start + 1 : end - 1])
                key_next = False
            else:
                yield path, start + 1, end - 1, STRING
        elif first == ",":
            key_next = objects[-1]
            if not key_next:
                path[-1] += 1  # type: ignore[operator]
        elif first == "{":
            path.append("")
            objects.append(True)
            key_next = True
        elif first == "[":
            path.append(0)
            objects.append(False)
        elif first in "}]":
            path.pop()
            objects.pop()
            key_next = False
        else:
            yield path, start, end, ATOM


def unescaped(raw: str) -> str:
    """What the inside of a JSON string says; lone surrogates stay such."""
    return json_text.parse(f'"{raw}"') if "\\" in raw else raw


def escaped(value: str) -> str:
    """*value* as the inside of a JSON string, safe in any SSE parser."""
    return json_text.write(value).decode()[1:-1]


def written_at(raw: str) -> Sequence[int]:
    """For each character of ``unescaped(raw)``, and for its end, where in *raw* it is written."""
    if "\\" not in raw:
        return range(len(raw) + 1)
    return [*(match.start() for match in _WRITTEN.finditer(raw)), len(raw)]


def read_softly(text: str) -> tuple[str, Sequence[int]]:
    """(what a piece of a JSON text says where its escapes are read, where in *text* each character of that is
    written). Half an escape at the end is left out; the last place is where it begins."""
    if "\\" not in text:
        return text, range(len(text) + 1)
    pieces = list(_WRITTEN.finditer(text))
    for back in range(1, min(len(pieces), 4) + 1):
        if pieces[-back][0] == "\\u":  # not all of its digits are here
            del pieces[-back:]
            break
    if pieces and _HALF_PAIR.fullmatch(pieces[-1][0]):
        del pieces[-1]
    said = "".join([_character(match[0]) for match in pieces])
    return said, [*(match.start() for match in pieces), pieces[-1].end() if pieces else 0]


def _character(raw: str) -> str:
    if len(raw) == 1:
        return raw
    try:
        return json_text.parse(f'"{raw}"')
    except json_text.NotJson:
        return raw[1]


def looks_like_json(text: str) -> bool | None:
    """Whether *text*, itself the value of a string or the beginning of one, seems to be JSON; None if it is
    too short to tell."""
    if _JSON_START.match(text):
        return True
    return None if _JSON_START_OF_START.fullmatch(text) else False


def is_json(text: str) -> bool:
    """Whether the whole of *text* is a JSON object or list."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Splice:
    """*text* in place of what stands from *start* to *end*."""

    start: int
    end: int
    text: str


def spliced(text: str, splices: Sequence[Splice]) -> str:
    """*text* with all of *splices*, which are in order and do not overlap."""
    pieces, at = [], 0
    for splice in splices:
        pieces += [text[at : splice.start], splice.text]
        at = splice.end
    pieces.append(text[at:])
    return "".join(pieces)
