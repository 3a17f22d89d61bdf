"""One member changes, every other byte stays."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import json_text
from gateway.domain import REMOVED
from gateway.errors import BadRequest
from gateway.json_edit import edit, top_level

NAMES = st.text(max_size=6) | st.sampled_from(["model", "a/b", "a~1", 'q"uote', "back\\slash", "{", "]", "é", "\ud83d"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text(max_size=8)
    | st.sampled_from(['"}{', "\\", ","]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)


class Writing:
    """A document as JSON text, with white space and escapes wherever the grammar lets them stand,
    and where in it each value begins and ends."""

    def __init__(self, document, draw):
        self.text, self.spans, self._draw = b"", {}, draw
        self._gap()
        self._value(document, ())
        self._gap()

    def _gap(self):
        self.text += self._draw(st.text(" \t\r\n", max_size=3)).encode()

    def _value(self, value, path):
        start = len(self.text)
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            self.text += b"{" if isinstance(value, dict) else b"["
            self._gap()
            for count, (token, inner) in enumerate(items):
                self.text += b"," if count else b""
                self._gap()
                if isinstance(value, dict):
                    self._word(token)
                    self._gap()
                    self.text += b":"
                    self._gap()
                self._value(inner, (*path, token))
                self._gap()
            self.text += b"}" if isinstance(value, dict) else b"]"
        elif isinstance(value, str):
            self._word(value)
        else:
            self.text += json.dumps(value).encode()
        self.spans[path] = (start, len(self.text))

    def _word(self, text):
        escaped = not _sayable(text) or self._draw(st.booleans())
        self.text += json.dumps(text, ensure_ascii=escaped).encode()


def _sayable(text):
    return not any("\ud800" <= character <= "\udfff" for character in text)


@st.composite
def writings(draw):
    """(document, its Writing, the path of one of its members)"""
    document = draw(OBJECTS)
    written = Writing(document, draw)
    return document, written, draw(st.sampled_from(sorted((path for path in written.spans if path), key=repr)))


def pointer(path):
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in path)


def parent_of(document, path):
    for token in path[:-1]:
        document = document[token]
    return document


@given(writings(), VALUES)
def test_a_replaced_member_changes_and_no_other_byte_does(case, value):
    document, written, path = case
    edited = edit(written.text, [(pointer(path), value)])
    start, end = written.spans[path]
    assert edited == written.text[:start] + json_text.write(value) + written.text[end:]
    expected = copy.deepcopy(document)
    parent_of(expected, path)[path[-1]] = value
    assert json.loads(edited) == expected


@given(writings())
def test_a_removed_member_is_gone_and_all_others_keep_their_bytes(case):
    document, written, path = case
    edited = edit(written.text, [(pointer(path), REMOVED)])
    expected = copy.deepcopy(document)
    del parent_of(expected, path)[path[-1]]
    assert json.loads(edited) == expected
    start, end = written.spans[path]
    for other, (begin, stop) in written.spans.items():
        if stop <= start or begin >= end:
            assert written.text[begin:stop] in edited, other


@given(writings(), NAMES, VALUES)
def test_a_new_member_is_added_and_no_byte_is_lost(case, name, value):
    document, written, _ = case
    edited = edit(written.text, [(pointer((name,)), value)])
    assert json.loads(edited) == {**document, name: value}
    if name not in document:
        added = json_text.write(name) + b":" + json_text.write(value)
        at = edited.rfind(added)
        before, after = edited[:at].removesuffix(b","), edited[at + len(added) :]
        assert before + after == written.text


@pytest.mark.parametrize("text, edits, edited", [
    (b'{ "model" : "a" , "x":1e400}', [("/model", "b")], b'{ "model" : "b" , "x":1e400}'),
    (b'{"a":"\xe2\x80\xa8\\ud83d","b":0}', [("/b", 1)], b'{"a":"\xe2\x80\xa8\\ud83d","b":1}'),
    (b"{}", [("/user", "corp")], b'{"user":"corp"}'),
    (b"{ }", [("/user", "corp")], b'{"user":"corp" }'),
    (b'{"a":1}', [("/b/c/d", 2)], b'{"a":1,"b":{"c":{"d":2}}}'),
    (b'{"a":[1,2]}', [("/a/-", 3), ("/a/0", 0)], b'{"a":[0,2,3]}'),
    (b'{"a":[1,2]}', [("/a/1", REMOVED)], b'{"a":[1]}'),
    (b'{"a":[]}', [("/a/-", {"x": 1})], b'{"a":[{"x":1}]}'),
    (b'{"a":1,"b":2}', [("/b", REMOVED)], b'{"a":1}'),
    (b'{"a":1, "b":2}', [("/a", REMOVED)], b'{"b":2}'),
    (b'{"a":1}', [("/a", REMOVED)], b"{}"),
    (b'{"a":1}', [("/nosuch", REMOVED), ("/nor/this", REMOVED)], b'{"a":1}'),
    (b'{"model":"a","model":"b"}', [("/model", "c")], b'{"model":"c","model":"c"}'),
    (b'{"x":0,"model":"a","model":"b"}', [("/model", REMOVED)], b'{"x":0}'),
    (b'{"mod\\u0065l":"a"}', [("/model", "b")], b'{"mod\\u0065l":"b"}'),
    (b'{"a/b":{"c~d":1}}', [("/a~1b/c~0d", 2)], b'{"a/b":{"c~d":2}}'),
    (b'{"a":1}', [("/a", "\u2028")], b'{"a":"\\u2028"}'),
    (b'{"a":"}],{","b":"\\""}', [("/b", 1)], b'{"a":"}],{","b":1}'),
])  # fmt: skip
def test_edits_on_the_bytes(text, edits, edited):
    assert edit(text, edits) == edited


@pytest.mark.parametrize("text, pointer", [(b'{"a":1}', "/a/b"), (b'{"a":null}', "/a/b"), (b'{"a":"x"}', "/a/0"),
                                           (b"[1]", "/0/x"), (b'{"a":[1]}', "/a/word")])  # fmt: skip
def test_a_pointer_through_what_has_no_members_is_refused(text, pointer):
    with pytest.raises(BadRequest, match=pointer):
        edit(text, [(pointer, 1)])


def test_a_large_body_keeps_all_its_bytes():
    start = b'{"messages":[' + b",".join([b'{"role":"user","content":"' + b"x" * 1000 + b'"}'] * 5000) + b"]"
    assert edit(start + b',"model":"a"}', [("/model", "b")]) == start + b',"model":"b"}'


def test_the_top_level_values_of_a_key():
    text = b'{"model":"a","x":{"model":"inner"},"mod\\u0065l" : [1] }'
    assert top_level(text, "model") == [b'"a"', b"[1]"]
    assert top_level(b"{}", "model") == []
