"""What a policy does to the text of a reply, whole or streamed: looks for patterns in it, and puts the
values back that stand behind placeholders.

In a stream, a match or a placeholder may be cut anywhere. Of each lane (see lanes) only that end of the
text is held back that could be the beginning of one; it leaves with the lane's next piece, or in
an event of its own before the lane ends. Everything else leaves at once, and bytes in which there is
nothing to change stay as they came.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace

from gateway import json_text, sse
from gateway.domain import UpstreamReply
from gateway.policies.event_bytes import Alike, data_lines, with_data
from gateway.policies.json_spans import (
    STRING,
    Splice,
    escaped,
    looks_like_json,
    read_softly,
    spliced,
    tokens,
    unescaped,
)
from gateway.policies.lanes import ALL, Piece, event_of, read_event
from gateway.policies.masking import (
    Finding,
    Masks,
    find_in_document,
    find_plainly,
    masked,
    restored,
    restored_document,
)
from gateway.policies.patterns import Pattern

# A placeholder whose brackets some server escaped, or the beginning of one at the end of a piece.
_ESCAPED_BRACKET = re.compile(rb'\\u003|\\\\(?:u0{0,2})?"')
_QUOTE = re.compile(r'\\.|\\\Z|"', re.DOTALL)
_LONGEST_PLACEHOLDER = 80  # characters, its brackets escaped
_CONTEXT = 2  # characters before a text that decide with it whether it is a match

Found = Callable[[Sequence[Finding]], None]


class _Lane:
    """One text in the making."""

    def __init__(self, patterns: Sequence[Pattern], masks: Masks, values: Mapping[str, str], found: Found):
        self._patterns = patterns
        self._masks = masks
        self._values = values
        self._found = found
        self._inside_json: bool | None = None  # None: not known yet
        self._start = ""  # by which it will be
        self._context = ""
        self._unsure = ""  # may be the beginning of a match
        self._quoted = False  # in a JSON text: whether what comes next stands inside a string
        self._slash = ""  # in a JSON text: half an escape that was seen last
        self._half = ""  # may be the beginning of a placeholder
        self.piece: Piece | None = None  # where the last text came from

    @property
    def holds(self) -> bool:
        return bool(self._unsure or self._half)

    def feed(self, text: str, ends: bool) -> str:
        """What may leave of *text* and of what was held before."""
        if self._inside_json is None:
            self._start += text
            self._inside_json = looks_like_json(self._start)
        if self._patterns:
            text = self._searched(text, ends)
        if not self._values:
            return text
        text = self._half + text
        cut = len(text) if ends else _half_placeholder(text, self._values)
        self._half = text[cut:]
        return restored(text[:cut], self._values, bool(self._inside_json))

    def _searched(self, text: str, ends: bool) -> str:
        """*text*, after what was held of it before, without what the patterns describe."""
        whole = self._context + self._unsure + text
        said, at = read_softly(whole) if self._inside_json else (whole, range(len(whole) + 1))
        begin = len(self._context)
        open_at = len(said) if ends else min(pattern.open_at(said) for pattern in self._patterns)
        cut = max(begin, len(whole) if ends else at[open_at])
        findings = []
        for one in find_plainly(whole, self._patterns, bool(self._inside_json)):
            if one.start >= cut:
                break
            if one.end > cut:  # not all of it may be here
                cut = max(begin, one.start)
                break
            if one.start >= begin:
                findings.append(one)
        if findings:
            self._found(findings)
        pieces, done = [], begin
        for one in findings:
            pieces += [self._passing(whole[done : one.start]), self._hidden(one, whole)]
            done = one.end
        pieces.append(self._passing(whole[done:cut]))
        self._context, self._unsure = _last_characters(whole[:cut], bool(self._inside_json)), whole[cut:]
        return "".join(pieces)

    def _hidden(self, finding: Finding, whole: str) -> str:
        quote = '"' if self._inside_json and not self._quoted else ""
        self._passing(whole[finding.start : finding.end])
        return self._masks.hide(replace(finding, quote=quote))

    def _passing(self, text: str) -> str:
        if self._inside_json:
            tokens_seen = _QUOTE.findall(self._slash + text)
            self._slash = "\\" if tokens_seen and tokens_seen[-1] == "\\" else ""
            self._quoted ^= tokens_seen.count('"') % 2 == 1
        return text


def _last_characters(text: str, inside_json: bool) -> str:
    """The context that *text* is for what comes next."""
    if not inside_json:
        return text[-_CONTEXT:]
    tail = text[-12 * _CONTEXT :]
    said, at = read_softly(tail)
    return tail[at[max(0, len(said) - _CONTEXT)] :]


def _half_placeholder(text: str, values: Mapping[str, str]) -> int:
    """Where in *text* the beginning of a placeholder stands that has not come whole; its length if none does."""
    if "<" not in text and "\\" not in text:
        return len(text)
    for at in range(max(0, len(text) - _LONGEST_PLACEHOLDER), len(text)):
        if text[at] in "<\\":
            begun = text[at:].replace("\\u003C", "\\u003c").replace("\\u003E", "\\u003e")
            if any(form.startswith(begun) and form != begun for value in values for form in _forms(value)):
                return at
    return len(text)


def _forms(placeholder: str) -> tuple[str, str]:
    return placeholder, f"\\u003c{placeholder[1:-1]}\\u003e"


class ReplyRewriter:
    """A filter over the reply of one call, as ``filter_reply`` gives one. The values of *masks* are put back;
    what *patterns* find in the reply is hidden behind further placeholders, for good. *found* is told of each
    find, and may raise."""

    def __init__(self, dialect: str, patterns: Sequence[Pattern], masks: Masks, found: Found):
        self._dialect = dialect
        self._patterns = patterns
        self._masks = masks
        self._values = dict(masks.values)  # the client's own; the reply's do not come back
        self._found = found
        # Whether it does not matter, to no value, if it stands in JSON.
        self._plain = all(escaped(value) == value for value in self._values.values())
        self._lanes: dict[tuple, _Lane] = {}
        self._alike = Alike()

    def whole(self, response: UpstreamReply) -> None:
        """Change a whole reply in place; one that is not JSON is left as it is."""
        try:
            text = response.body.decode()
            json_text.parse(response.body)
        except (UnicodeDecodeError, json_text.NotJson):
            return
        changed = self._document(text)
        if changed != text:
            response.body = changed.encode()

    def feed(self, events: bytes) -> bytes:
        if self._nothing_in(events):
            return events
        return b"".join([self._event(block) for block in sse.blocks(events)])

    def close(self) -> bytes:
        return b"".join(self._endings([ALL]))

    def _nothing_in(self, events: bytes) -> bool:
        if self._patterns or self._lanes or not self._plain or b"<" in events:
            return False
        return b"\\" not in events or not _ESCAPED_BRACKET.search(events)

    def _event(self, block: bytes) -> bytes:
        inside = self._alike.inside(block)
        if inside is not None:
            said = unescaped(inside)
            passed = self._fed(self._alike.piece, said, ())
            return block if passed == said else self._alike.with_inside(escaped(passed))
        lines = data_lines(block)
        if not lines:
            return block
        data = b"\n".join([block[start:end] for start, end in lines])
        try:
            document, text = json_text.parse(data), data.decode()
        except (json_text.NotJson, UnicodeDecodeError):
            return b"".join(self._endings([ALL] if data.strip() == b"[DONE]" else [])) + block
        pieces, ended = read_event(self._dialect, document)
        changes = {piece.path: self._fed(piece, piece.text, ended) for piece in pieces}
        exchanged = _exchanged(text, pieces, changes)
        changed = self._document(exchanged, changes)
        if len(pieces) == len(lines) == 1 and not ended and changed == exchanged:
            self._alike.note(block, lines[0], pieces[0])
        before = b"".join(self._endings(ended)) if ended else b""
        return before + (block if changed == text else with_data(block, lines, changed.encode()))

    def _fed(self, piece: Piece, text: str, ended: Sequence[tuple]) -> str:
        lane = self._lanes.get(piece.lane)
        if lane is None:
            lane = _Lane(self._patterns, self._masks, self._values, self._found)
        lane.piece = piece
        passed = lane.feed(text, piece.group in ended)
        if lane.holds or self._patterns or not self._plain:
            self._lanes[piece.lane] = lane
        else:  # what comes next needs no look, unless it has a sign of its own
            self._lanes.pop(piece.lane, None)
        return passed

    def _document(self, text: str, but: Container[tuple] = ()) -> str:
        """*text* with every string looked at as a whole, *but* those at these paths."""
        findings = find_in_document(text, self._patterns, self._dialect, but) if self._patterns else []
        if findings:
            self._found(findings)
            text = masked(text, findings, self._masks)
        return restored_document(text, self._values, but)

    def _endings(self, ended: Sequence[tuple]) -> Iterator[bytes]:
        """Events for what is still held of the lanes that end."""
        for key, lane in list(self._lanes.items()):
            if ALL in ended or key[:1] in ended:
                del self._lanes[key]
                rest = lane.feed("", True) if lane.holds else ""
                if rest:
                    yield event_of(lane.piece, rest)


def _exchanged(text: str, pieces: Sequence[Piece], changes: Mapping[tuple, str]) -> str:
    """An event's document with other texts in the places of its pieces."""
    changed = {piece.path for piece in pieces if changes[piece.path] != piece.text}
    if not changed:
        return text
    splices = [
        Splice(start, end, escaped(changes[tuple(path)]))
        for path, start, end, kind in tokens(text)
        if kind is STRING and tuple(path) in changed
    ]
    return spliced(text, splices)
