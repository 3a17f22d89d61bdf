"""JSON in and out without loss."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.json_text import NotJson, parse, read_head, write

# Any text, lone halves of UTF-16 pairs included.
ANY_TEXT = st.text(st.characters(exclude_categories=()))
NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


def as_read(value):
    """What a written value is when read: decimals without a fraction may come back as whole numbers."""
    if isinstance(value, dict):
        return {name: as_read(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_read(inner) for inner in value]
    return Decimal(value) if type(value) in (int, Decimal) else value


@given(JSON)
def test_what_was_written_reads_the_same(value):
    assert as_read(parse(write(value))) == as_read(value)


@given(JSON)
def test_what_is_written_is_one_line_for_every_reader(value):
    written = write(value).decode()
    assert len(written.splitlines()) == 1  # str.splitlines also cuts at U+2028, U+2029 and U+0085
    json.loads(written, parse_constant=pytest.fail)


@pytest.mark.parametrize("text", [
    b'"\\ud83d"', b'{"\\udc00":1}', b"0.1000000000000000055", b"1e400", b"-0.0", b"12345678901234567890123",
    b'"\\ud83d\\ude00"', b'["\\ud83d",0.1000000000000000055,1e400]', b"9" * 5000, b'["\\ud800",' + b"9" * 5000 + b"]",
])  # fmt: skip
def test_rare_values_pass_unharmed(text):
    assert as_read(parse(write(parse(text)))) == as_read(parse(text))


@pytest.mark.parametrize("text", [
    b"", b"{", b"nul", b"NaN", b"-Infinity", b"01", b"'a'", b'{"a":1,}', b"[1 2]", b'"\xff"', b'"\n"', b"{} {}",
    b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 100_000, b"1e", b'"\\x"',
])  # fmt: skip
def test_what_is_not_json_is_said_to_be_none(text):
    with pytest.raises(NotJson):
        parse(text)


def test_where_the_bytes_are_wrong_is_said_and_not_which():
    with pytest.raises(NotJson, match="not UTF-8 at byte 8") as caught:
        parse(b'{"key":"\xff-hush"}')
    assert "hush" not in str(caught.value)


def test_of_a_key_that_comes_twice_the_last_wins():
    assert parse(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize("text, head", [
    (b'{"model":"m","stream":true}', {"model": "m", "stream": True}),
    (b'{"stream":null,"model":7,"x":{"model":"inner"}}', {"model": 7, "stream": None}),
    (b'{"x":1e400,"y":"\\ud83d"}', {}),
    (b'{"model":"\\ud83d"}', {"model": "\ud83d"}),
    (b'{"model":"a","model":"b"}', {"model": "b"}),
    (b'{"m\\u006fdel":"escaped"}', {"model": "escaped"}),
    (b' {\r\n"model" : "spaced" } ', {"model": "spaced"}),
])  # fmt: skip
def test_the_head_is_read_without_the_rest(text, head):
    assert read_head(text) == head


@pytest.mark.parametrize("text", [
    b"", b"[]", b'"model"', b"7", b"null", b'{"model":"m","x":}', b'{"model":"m","x":"\xff"}', b'{"x":' * 100_000,
    b'{"model":"m"} trailing', b'{"x":NaN}', b'{"x":"\\uZZZZ"}', b'{"x":01}',
])  # fmt: skip
def test_a_head_is_only_read_of_what_is_an_object_throughout(text):
    with pytest.raises(NotJson):
        read_head(text)


def test_what_json_cannot_say_is_refused():
    with pytest.raises(TypeError):
        write({"lone": "\ud83d", "odd": object()})
