"""Where a response body ends, however its bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ChannelUnreachable
from gateway.transport.framing import Chunked, Sized, UntilClose


def chunked(pieces, extension=b"", trailer=b""):
    return b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces if p) + b"0\r\n" + trailer + b"\r\n"


def fed(framing, text, cuts):
    borders = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    return b"".join(framing.feed(text[start:end]) for start, end in zip(borders, borders[1:], strict=False))


@given(
    st.lists(st.binary(max_size=40), max_size=5),
    st.lists(st.integers(0, 300)),
    st.sampled_from([b"", b";a=b", b" "]),
    st.sampled_from([b"", b"X-Sum: 1\r\nY: 2\r\n"]),
)
def test_chunks_at_any_cut(pieces, cuts, extension, trailer):
    framing = Chunked()
    assert fed(framing, chunked(pieces, extension, trailer), cuts) == b"".join(pieces)
    assert framing.done


def test_chunks_at_every_cut():
    text = chunked([b"hello\r\n", b"0\r\n\r\n", b"\n", b"x" * 300], trailer=b"T: 1\r\n")
    for cut in range(1, len(text)):
        framing = Chunked()
        assert fed(framing, text, [cut]) == b"hello\r\n0\r\n\r\n\n" + b"x" * 300
        assert framing.done


def test_a_body_is_done_only_with_its_last_byte():
    text = chunked([b"hello"], trailer=b"T: 1\r\n")
    framing = Chunked()
    for position in range(len(text)):
        assert not framing.done
        framing.feed(text[position : position + 1])
    assert framing.done


def test_chunks_leave_before_they_are_whole():
    framing = Chunked()
    assert framing.feed(b"5\r\nhe") == b"he"
    assert framing.feed(b"llo\r\n3\r\nx") == b"llox"


def test_bare_line_feeds_and_large_sizes_are_read():
    framing = Chunked()
    assert framing.feed(b"A\n0123456789\n0\n\n") == b"0123456789"
    assert framing.done
    assert Chunked().feed(b"ffffffffffff\r\nabc") == b"abc"


@pytest.mark.parametrize("text", [
    b"x\r\n", b"\r\n", b"-1\r\n", b"+5\r\nhello", b"0x5\r\nhello", b"5\r\nhelloX\r\n", b"5\r\nhello5\r\n", b"1_0\r\n",
    b"; ext\r\n", b"<html>\r\n", b"\xff\r\n", b"5" * 5000,
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 7, 65536])
def test_broken_chunks_are_refused(text, size):
    framing = Chunked()
    with pytest.raises(ChannelUnreachable, match="chunked framing"):
        for start in range(0, len(text), size):
            framing.feed(text[start : start + size])


@given(st.binary(max_size=50), st.binary(max_size=10), st.lists(st.integers(0, 60)))
def test_a_length_holds_at_any_cut(body, beyond, cuts):
    framing = Sized(len(body))
    assert fed(framing, body + beyond, cuts) == body
    assert framing.done


def test_a_length_of_nothing_is_done_at_once():
    assert Sized(0).done
    assert not Sized(1).done


def test_without_a_length_only_the_connection_ends_it():
    framing = UntilClose()
    assert fed(framing, b"anything", [1, 5]) == b"anything"
    assert (framing.done, framing.ends_with_connection) == (False, True)
    assert not Chunked.ends_with_connection
    assert not Sized.ends_with_connection
