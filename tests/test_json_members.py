"""Single members out of documents of which nothing else is built."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.json_text import Members, NotJson, parse, write

PATHS = [("a",), ("b", "a"), ("b", "c"), ("c", 0, "a")]
NAMES = st.sampled_from("abcd")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


def walked(value, path):
    """What stands at *path* of a built document."""
    for name in path:
        found = isinstance(value, list) and len(value) > name if isinstance(name, int) else isinstance(value, dict)
        value = (value[name] if isinstance(name, int) else value.get(name)) if found else None
    return value


@given(JSON | st.dictionaries(NAMES, JSON))
def test_they_are_those_of_the_whole_document(document):
    text = write(document)
    assert Members(PATHS).read(text) == [walked(parse(text), path) for path in PATHS]


@pytest.mark.parametrize(
    "text, found",
    [
        (b'{"a": 1.50, "b": {"a": 1, "a": 2}}', [Decimal("1.50"), 2, None, None]),  # the last of two counts
        (b'{"c": [{"a": 1}, 7, "x"], "z": "\\ud83d"}', [None, None, None, 1]),  # half a UTF-16 pair elsewhere
        (b'{"c": {"a": 1}, "b": null, "a": [{}]}', [[{}], None, None, None]),
        (b'{"a": "\\ud83d"}', ["\ud83d", None, None, None]),
        (b"[1, 2]", [None] * 4),
        (b" null", [None] * 4),
    ],
)
def test_documents_of_any_shape(text, found):
    assert Members(PATHS).read(text) == found


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": nan}', b'{"a": 1} 2', b'{"z":' + b"[" * 100_000])
def test_what_is_no_json(text):
    with pytest.raises(NotJson):
        Members(PATHS).read(text)
