"""Where a response's head ends and what it says, however its bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ChannelUnreachable
from gateway.transport.framing import Chunked, Sized, UntilClose
from gateway.transport.response_head import HeadReader

OK = b"HTTP/1.1 200 OK\r\n"


def read(text, method="POST"):
    return HeadReader(method).feed(text)


def said(*lines, method="POST", status=OK):
    return read(status + b"".join(line + b"\r\n" for line in lines) + b"\r\n", method)


@given(st.lists(st.integers(1, 120)))
def test_a_head_at_any_cut(cuts):
    text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 \r\nContent-Length: 9\r\nX-A: b\xe9\r\nX-A: c\r\n\r\nthe body"
    end = text.index(b"the body")
    borders = [0, *sorted({cut for cut in cuts if cut < len(text)}), len(text)]
    reader = HeadReader("POST")
    for start, stop in zip(borders, borders[1:], strict=False):
        head = reader.feed(text[start:stop])
        assert (head is not None) == (stop >= end)
        if head is not None:
            break
    assert (head.status, head.kept) == (201, True)
    assert head.headers == [("Content-Length", "9"), ("X-A", "b\xe9"), ("X-A", "c")]
    assert head.rest == text[end:stop]


@pytest.mark.parametrize(
    ("lines", "framing"),
    [
        ([b"Content-Length: 5"], Sized),
        ([b"content-length:5", b"Content-Length: 5"], Sized),
        ([b"Transfer-Encoding: Chunked", b"Content-Length: 5"], Chunked),
        ([b"Transfer-Encoding : gzip, chunked"], Chunked),
        ([b"Transfer-Encoding: chunked, gzip"], UntilClose),
        ([], UntilClose),
    ],
)
def test_how_the_body_ends(lines, framing):
    assert isinstance(said(*lines).framing, framing)


@pytest.mark.parametrize(
    ("status", "method"),
    [(OK, "HEAD"), (b"HTTP/1.1 204 No Content\r\n", "POST"), (b"HTTP/1.1 304 Not Modified\r\n", "GET")],
)
def test_answers_without_a_body(status, method):
    head = said(b"Content-Length: 5", method=method, status=status)
    assert head.framing.done


@pytest.mark.parametrize(
    ("status", "lines", "kept"),
    [
        (OK, [b"Content-Length: 0"], True),
        (OK, [b"Content-Length: 0", b"Connection: Close"], False),
        (OK, [b"Content-Length: 0", b"Connection: x, close"], False),
        (OK, [b"Connection: keep-alive"], False),  # only the connection's end is the body's
        (b"HTTP/1.0 200 OK\r\n", [b"Content-Length: 0"], False),
        (b"HTTP/1.0 200 OK\r\n", [b"Content-Length: 0", b"Connection: Keep-Alive"], True),
    ],
)
def test_whether_the_connection_may_be_used_again(status, lines, kept):
    assert said(*lines, status=status).kept is kept


def test_bare_line_feeds_folds_and_lines_that_are_no_field():
    head = read(b"HTTP/1.1 200\nX-A:  b\n  c \nnonsense\nX Y: z\nX-Null: a\0b\nX-Empty:\n\nrest")
    assert head.headers == [("X-A", "b c"), ("X-Empty", "")]
    assert head.rest == b"rest"


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/2 200\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"<html>", b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n", OK + b"Content-Length: -5\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", OK + b"Content-Length: \xb2\r\n\r\n",
        OK + b"X: " + b"y" * 140_000,
    ],
)  # fmt: skip
def test_what_is_no_sane_http_is_refused(text):
    with pytest.raises(ChannelUnreachable):
        read(text)
