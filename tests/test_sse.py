"""Server-sent events on bytes, however they arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sse import KEEP_ALIVE, Event, Splitter, events, last_end, parse_event, write_event

LINE_ENDS = [b"\n", b"\r\n", b"\r"]
SIZES = [1, 2, 3, 7, 65536]
DATA = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ["\u2028", "a\u0085b\u000bc\u000cd\u001ce", " leading", "data: inner", ":", "\x00"]
)

OTHER_LINES = [[], [b": comment"], [b"id: 7"], [b"retry: 1", b"nonsense"], [b": x", b""], [b""]]


@st.composite
def streams(draw):
    """(the events, their bytes) with one kind of line end, comments and unknown fields between."""
    end = draw(st.sampled_from(LINE_ENDS))
    told, lines = [], []
    for data in draw(st.lists(st.lists(DATA, min_size=1, max_size=3), max_size=5)):
        name = draw(st.sampled_from(["", "delta", "error"]))
        lines += draw(st.sampled_from(OTHER_LINES))
        lines += [b"event: " + name.encode()] if name else []
        for piece in data:
            space = b"" if draw(st.booleans()) and not piece.startswith(" ") else b" "
            lines.append(b"data:" + space + piece.encode())
        lines.append(b"")
        told.append(Event(name, "\n".join(data).encode()))
    return told, b"".join(line + end for line in lines)


def fed(pieces):
    splitter = Splitter()
    wholes = [whole for piece in pieces if (whole := splitter.feed(piece))]
    return wholes, splitter.rest()


@given(streams(), st.lists(st.integers(0, 400)))
def test_any_cut_gives_the_same_events_and_keeps_every_byte(stream, cuts):
    told, text = stream
    borders = [0, *sorted({cut for cut in cuts if cut < len(text)}), len(text)]
    wholes, rest = fed([text[start:end] for start, end in zip(borders, borders[1:], strict=False)])
    assert b"".join(wholes) + rest == text
    assert [event for whole in wholes for event in events(whole)] == told


@given(st.binary(max_size=60).map(lambda b: bytes(b"\r\n:d"[c % 4] for c in b)), st.integers(1, 5))
def test_no_byte_is_lost_of_any_mixture_of_line_ends(text, size):
    wholes, rest = fed([text[i : i + size] for i in range(0, len(text), size)])
    assert b"".join(wholes) + rest == text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("end", LINE_ENDS)
def test_events_leave_as_soon_as_they_are_whole(end, size):
    text = end.join([b"data: one", b"", b"data: two", b"", b"data: thr"])
    wholes, rest = fed([text[i : i + size] for i in range(0, len(text), size)])
    assert [event.data for whole in wholes for event in events(whole)] == [b"one", b"two"]
    assert rest.strip(b"\r\n") == b"data: thr"


def test_a_whole_event_does_not_wait_for_the_next_piece():
    splitter = Splitter()
    for end in LINE_ENDS:
        assert splitter.feed(b"data: x" + end) == b""
        assert events(splitter.feed(end)) == [Event("", b"x")]
        assert splitter.held == 0


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\u000b", "\u000c", "\u001c", "\u001d"])
def test_what_only_looks_like_a_line_end_is_none(separator):
    data = f"a{separator}{separator}b".encode()
    assert events(b"data: " + data + b"\n\n") == [Event("", data)]


@pytest.mark.parametrize("block, event", [
    (b"data: x", Event("", b"x")),
    (b"data:x", Event("", b"x")),
    (b"data:  x", Event("", b" x")),
    (b"data", Event("", b"")),
    (b"data:", Event("", b"")),
    (b"data: a\ndata: b\r\ndata:c\rdata: d", Event("", b"a\nb\nc\nd")),
    (b"event: e\ndata: x", Event("e", b"x")),
    (b"event:e\nevent: f\ndata: x", Event("f", b"x")),
    (b"event: \xff\ndata: \xff", Event("\ufffd", b"\xff")),
    (b": comment", None),
    (b"event: e", None),
    (b"id: 1\nretry: 5", None),
    (b"Data: x", None),
    (b" data: x", None),
    (b"", None),
])  # fmt: skip
def test_one_event_is_read(block, event):
    assert parse_event(block) == event


def test_a_large_event_can_be_handed_over_while_it_arrives():
    splitter, text = Splitter(), b"data: " + b"x" * 1000 + b"\r\n\r\ndata: next\n\n"
    out = b""
    for start in range(0, len(text), 100):
        out += splitter.feed(text[start : start + 100])
        if splitter.held > 300:
            assert splitter.held < 500
            out += splitter.overflow()
    assert out + splitter.rest() == text


@pytest.mark.parametrize("buffer, end", [
    (b"", 0), (b"data: x\n", 0), (b"a\n\nb", 3), (b"a\r\n\r\nb", 5), (b"a\r\rb", 3), (b"a\n\nb\r\n\r\n", 8),
    (b"a\n\n\n", 4), (b"a\nb\rc\r\n", 0),
])  # fmt: skip
def test_where_the_last_whole_event_ends(buffer, end):
    assert last_end(buffer) == end


def test_what_is_written_reads_the_same():
    assert events(write_event(b'{"a":1}')) == [Event("", b'{"a":1}')]
    assert events(write_event(b"{}", "error")) == [Event("error", b"{}")]
    assert events(KEEP_ALIVE) == []
