"""Finds what patterns describe in the strings of a JSON document, and hides it behind placeholders.

A placeholder (``<EMAIL_1>``) stands for one value throughout a call, numbered as the values come, so that
a conversation that grows keeps its numbers. JSON inside a string (the arguments of a tool call) is
looked into as JSON. Nothing but what was found is changed, not a byte.
"""

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.policies.json_spans import (
    ATOM,
    KEY,
    Splice,
    escaped,
    is_json,
    looks_like_json,
    read_softly,
    spliced,
    tokens,
    unescaped,
    written_at,
)
from gateway.policies.patterns import Pattern

# Members that are names, kinds and proofs, and no text. Inside the free members below everything is text.
_FIXED = frozenset(
    """model role type id signature thoughtSignature thought_signature encrypted_content media_type mime_type mimeType
    mimeTypes fileUri""".split()
)
# Members whose inner names and values are the client's or the model's own.
_FREE = {
    "chat": frozenset({"metadata"}),
    "responses": frozenset({"metadata"}),
    "messages": frozenset({"metadata", "input"}),
    "gemini": frozenset({"args", "response", "labels"}),
}
_DEPTH = 4  # of JSON inside strings of JSON


@dataclass(frozen=True, slots=True)
class Finding:
    """A match from *start* to *end* in a text. *value* is what it says; *quote* is what its placeholder has to
    be put in where it takes the place of a number."""

    start: int
    end: int
    label: str
    value: str
    quote: str = ""


class Masks:
    """The placeholders of one call. *taken* is a text whose own words none of them may be."""

    def __init__(self, taken: str):
        self.values: dict[str, str] = {}  # placeholder -> value
        self.found: Counter[str] = Counter()  # label -> places
        self._taken = taken
        self._placeholders: dict[str, str] = {}  # value -> placeholder
        self._last: Counter[str] = Counter()

    def hide(self, finding: Finding) -> str:
        """The text to put in the place of *finding*."""
        self.found[finding.label] += 1
        placeholder = self._placeholders.get(finding.value) or self._new(finding)
        return f"{finding.quote}{placeholder}{finding.quote}"

    def _new(self, finding: Finding) -> str:
        word = ""
        while not word or word in self._taken:
            self._last[finding.label] += 1
            word = f"{finding.label}_{self._last[finding.label]}"
        placeholder = f"<{word}>"
        self.values[placeholder] = finding.value
        self._placeholders[finding.value] = placeholder
        return placeholder


def find_in_document(
    text: str, patterns: Sequence[Pattern], dialect: str, but: Container[tuple] = ()
) -> list[Finding]:
    """Everything in the document *text* (a JSON text) that *patterns* describe, in order, none overlapping;
    *but* are paths of strings that are not looked at."""
    # Escapes of plain characters could hide what is looked for: then each string has to be read.
    if "\\u00" not in text:
        patterns = [pattern for pattern in patterns if pattern.may(text)]
    if not patterns:
        return []
    found: list[Finding] = []
    free = _FREE[dialect]
    for path, start, end, kind in tokens(text):
        if kind is ATOM:
            if end - start > 6 and not free.isdisjoint(path):
                found += _in_number(text, start, end, patterns)
            continue
        raw = text[start:end]
        if ("\\" not in raw and not any(pattern.may(raw) for pattern in patterns)) or (but and tuple(path) in but):
            continue
        is_free = not free.isdisjoint(path[:-1] if kind is KEY else path)
        if kind is KEY and not is_free:
            continue
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        if is_free or not (name in _FIXED or name.endswith("_id")):
            found += _in_written(raw, start, patterns, 0)
    return found


def masked(text: str, findings: Sequence[Finding], masks: Masks) -> str:
    """*text* with the placeholders of *masks* in place of *findings*."""
    return spliced(text, [Splice(one.start, one.end, masks.hide(one)) for one in findings])


def find_in_text(text: str, patterns: Sequence[Pattern], depth: int = 0) -> list[Finding]:
    """Everything in the value of a string."""
    looking = patterns if "\\u00" in text else [pattern for pattern in patterns if pattern.may(text)]
    if not looking:
        return []
    if depth < _DEPTH and is_json(text):
        return list(_in_inner_document(text, looking, depth + 1))
    return find_plainly(text, looking, bool(looks_like_json(text)))


def find_plainly(text: str, patterns: Sequence[Pattern], inside_json: bool) -> list[Finding]:
    """Everything in *text* as it stands, which may be a piece of a JSON text: its escapes are read then."""
    said, at = read_softly(text) if inside_json else (text, range(len(text) + 1))
    found = [
        Finding(at[start], at[end], pattern.name, said[start:end])
        for pattern in patterns
        if pattern.may(said)
        for start, end in pattern.find(said)
    ]
    return _united(text, found)


def _in_inner_document(text: str, patterns: Sequence[Pattern], depth: int) -> Iterator[Finding]:
    for _, start, end, kind in tokens(text):
        if kind is ATOM:
            yield from _in_number(text, start, end, patterns)
        else:
            yield from _in_written(text[start:end], start, patterns, depth)


def _in_written(raw: str, offset: int, patterns: Sequence[Pattern], depth: int) -> list[Finding]:
    """What there is in a string of which *raw* is the inside, as it is written at *offset*."""
    found = find_in_text(unescaped(raw), patterns, depth)
    if not found:
        return []
    at = written_at(raw)
    return [
        replace(
            one, start=offset + at[one.start], end=offset + at[one.end], quote=escaped(one.quote) if one.quote else ""
        )
        for one in found
    ]


def _in_number(text: str, start: int, end: int, patterns: Sequence[Pattern]) -> list[Finding]:
    number = text[start:end]
    for pattern in patterns:
        if number[0] not in "tfn" and next(pattern.find(number), None) is not None:
            return [Finding(start, end, pattern.name, number, '"')]
    return []


def _united(text: str, found: list[Finding]) -> list[Finding]:
    """In order; what overlaps becomes one."""
    if len(found) < 2:
        return found
    united: list[Finding] = []
    for one in sorted(found, key=lambda finding: (finding.start, -finding.end)):
        last = united[-1] if united else None
        if last is None or one.start >= last.end:
            united.append(one)
        elif one.end > last.end:
            united[-1] = replace(last, end=one.end, value=text[last.start : one.end])
    return united


# A placeholder as a model may write it; inside JSON some servers escape its brackets.
_PLACEHOLDER = re.compile(r"(?:<|\\u003[cC])([A-Z][A-Z0-9_]*_[0-9]+)(?:>|\\u003[eE])")


def restored(text: str, values: Mapping[str, str], inside_json: bool) -> str:
    """*text* with values in place of the placeholders (keys of *values*) that it holds."""

    def value(match: re.Match) -> str:
        found = values.get(f"<{match[1]}>")
        if found is None:
            return match[0]
        return escaped(found) if inside_json else found

    return _PLACEHOLDER.sub(value, text)


def restored_document(text: str, values: Mapping[str, str], but: Container[tuple] = ()) -> str:
    """The JSON text *text* with values in place of placeholders in all its keys and strings but those at
    the paths *but*."""
    if not values or ("_" not in text) or ("<" not in text and "\\u003" not in text):
        return text
    splices = []
    for path, start, end, kind in tokens(text):
        raw = text[start:end]
        if kind is ATOM or "_" not in raw or ("<" not in raw and "\\u003" not in raw):
            continue
        if but and tuple(path) in but:
            continue
        at = written_at(raw)
        said = unescaped(raw)
        inside_json = looks_like_json(said)
        for match in _PLACEHOLDER.finditer(said):
            value = values.get(f"<{match[1]}>")
            if value is not None:
                value = escaped(value) if inside_json else value
                splices.append(Splice(start + at[match.start()], start + at[match.end()], escaped(value)))
    return spliced(text, splices)
