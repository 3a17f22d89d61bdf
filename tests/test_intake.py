"""A request's body: bounded, unpacked, and far enough understood to be routed."""

import gzip
import io
import os
import tracemalloc
import zlib

import brotli
import pytest
import zstandard

from gateway.arrival.intake import form_field, is_json, read_file, read_head, read_json
from gateway.arrival.unpacking import UNPACKERS
from gateway.bodies import FileBody
from gateway.errors import BadRequest, BodyTooLarge, UnsupportedMedia

PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
}
DOCUMENT = b'{"model": "m", "x": 1e400}\n'
BOUNDARY = "----x(1)+b"


class Slow(io.BytesIO):
    """Gives its bytes in small pieces, as sockets do."""

    def read(self, size=-1):
        return super().read(min(size, 7) if size >= 0 else 7)


def field(name, value, extra=b"", more=b""):
    return (b"--" + BOUNDARY.encode() + b'\r\nContent-Disposition: form-data; name="' + name + b'"' + extra + b"\r\n"
            + more + b"\r\n" + value + b"\r\n")  # fmt: skip


def form(*fields, boundary=BOUNDARY):
    data = b"".join(fields) + b"--" + BOUNDARY.encode() + b"--\r\n"
    return read_file(io.BytesIO(data), f'multipart/form-data; boundary="{boundary}"', "", 10**6)


# --- JSON --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [io.BytesIO, Slow])
@pytest.mark.parametrize("encoding", ["", "identity", "IDENTITY", *PACKERS, " GZip "])
def test_a_body_is_unpacked_and_otherwise_untouched(encoding, stream):
    packed = PACKERS.get(encoding.strip().lower(), bytes)(DOCUMENT)
    assert read_json(stream(packed), "application/json", encoding, 10**6).data == DOCUMENT


def test_every_packing_is_tested():
    assert set(UNPACKERS) == set(PACKERS)


@pytest.mark.parametrize("content_type, json", [
    ("application/json", True), ("Application/JSON; charset=utf-8", True), ("", True), ("application/vnd.x+json", True),
    ("text/plain", False), ("multipart/form-data; boundary=x", False), ("application/x-www-form-urlencoded", False),
    ("application/jsonx", False),
])  # fmt: skip
def test_what_counts_as_json(content_type, json):
    assert is_json(content_type) is json


def test_another_type_is_refused_without_reading_it():
    stream = io.BytesIO(DOCUMENT)
    with pytest.raises(UnsupportedMedia, match="found 'text/plain'"):
        read_json(stream, "text/plain", "", 100)
    assert stream.tell() == 0


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "nosuch"])
def test_an_unknown_packing_is_refused_and_the_known_ones_named(encoding):
    with pytest.raises(UnsupportedMedia, match="gzip, x-gzip, deflate, br, zstd"):
        read_json(io.BytesIO(DOCUMENT), "", encoding, 100)


@pytest.mark.parametrize("limit, fits", [(len(DOCUMENT), True), (len(DOCUMENT) - 1, False)])
@pytest.mark.parametrize("encoding", ["", *PACKERS])
def test_the_limit_holds_to_the_byte_packed_and_unpacked(encoding, limit, fits):
    # Of a packed body that is larger than its contents, the packed size counts as well.
    document = DOCUMENT * 100
    limit += len(document) - len(DOCUMENT)
    packed = PACKERS.get(encoding, bytes)(document)
    if fits:
        assert read_json(io.BytesIO(packed), "", encoding, limit).data == document
    else:
        with pytest.raises(BodyTooLarge, match=f"larger than {limit} bytes"):
            read_json(io.BytesIO(packed), "", encoding, limit)


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_bomb_is_refused_before_it_fills_the_memory(encoding):
    bomb = PACKERS[encoding](b"\0" * 200_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            read_json(io.BytesIO(bomb), "", encoding, 2_000_000)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("harm", [
    lambda packed: b"no such packing at all",
    lambda packed: packed[: len(packed) // 2],
    lambda packed: packed[:-1],
    lambda packed: packed + b"trailing bytes that are no packing",
    lambda packed: b"",
])  # fmt: skip
def test_what_is_harmed_is_refused_instead_of_shortened(encoding, harm):
    packed = PACKERS[encoding](os.urandom(500))
    with pytest.raises(BadRequest, match="cannot be unpacked"):
        read_json(Slow(harm(packed)), "", encoding, 10**6)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_checksum_that_does_not_fit_is_noticed(encoding):
    packed = bytearray(PACKERS[encoding](os.urandom(500)))
    packed[100] ^= 1
    with pytest.raises(BadRequest, match="cannot be unpacked"):
        read_json(Slow(packed), "", encoding, 10**6)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_several_packed_members_are_one_body(encoding):
    packed = PACKERS[encoding](DOCUMENT[:9]) + PACKERS[encoding](DOCUMENT[9:])
    assert read_json(Slow(packed), "", encoding, 10**6).data == DOCUMENT
    with pytest.raises(BodyTooLarge):
        read_json(Slow(packed), "", encoding, len(DOCUMENT) - 1 if len(packed) < len(DOCUMENT) else 12)


@pytest.mark.parametrize("text, problem", [
    (b"", "not valid JSON"), (b"{", "not valid JSON"), (b"[]", "expected an object"), (b"\xff", "not UTF-8 at byte 0"),
    (b'{"model":"a","model":"b"}', "two different models"), (b'{"model":"a","mod\\u0065l":"b"}', None),
    (b'{"model":"a", "model": "a"}', None), (b'{"model":"a","x":{"model":"b"}}', None),
])  # fmt: skip
def test_a_head_is_read_or_the_problem_told(text, problem):
    body = read_json(io.BytesIO(text), "", "", 1000)
    if problem is None:
        assert read_head(body)["model"] in ("a", "b")
        return
    with pytest.raises(BadRequest, match=problem):
        read_head(body)


# --- forms and files ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, spelled", [(b"whisper-1", "whisper-1"), (b"", ""), (b"\xc3\xa9", "é"), (b"\xff", "\ufffd")]
)
def test_a_forms_field_is_found(text, spelled):
    body = form(field(b"file", b"\0\1\r\n--not-the-boundary", b'; filename="a.mp3"'), field(b"model", text))
    value, (start, end) = form_field(body, "model")
    assert value == spelled
    assert b"".join(body)[start:end] == text


@pytest.mark.parametrize("part", [
    field(b"model", b"m", more=b"Content-Type: text/plain\r\n"),
    field(b"model", b"m", extra=b"; x=y"),
    field(b"model", b"m").replace(b"Content-Disposition", b"Content-Type: a/b\r\ncontent-disposition"),
    field(b"model", b"m").replace(b'"model"', b"model"),
])  # fmt: skip
def test_a_field_is_found_in_every_spelling(part):
    assert form_field(form(field(b"a", b"b"), part), "model")[0] == "m"


@pytest.mark.parametrize("part", [
    field(b"xmodel", b"m"), field(b"modelx", b"m"), field(b"file", b'name="model"\r\n\r\nm'),
    field(b"file", b"m", extra=b'; filename="model"'), b"",
])  # fmt: skip
def test_what_only_looks_like_the_field_is_not_it(part):
    assert form_field(form(part), "model") is None


def test_a_form_with_two_models_is_refused():
    """Parsers differ in which of them holds."""
    with pytest.raises(BadRequest, match="'model' twice"):
        form_field(form(field(b"model", b"cheap"), field(b"file", b"x"), field(b"model", b"dear")), "model")


def test_a_field_that_is_too_long_or_never_ends_is_refused():
    with pytest.raises(BadRequest, match="too long or does not end"):
        form_field(form(field(b"model", b"m" * 5000)), "model")
    endless = read_file(io.BytesIO(field(b"model", b"m")[:-2]), f"multipart/form-data; boundary={BOUNDARY}", "", 999)
    with pytest.raises(BadRequest, match="too long or does not end"):
        form_field(endless, "model")


def test_a_form_without_a_boundary_is_refused_and_another_body_has_no_fields():
    data = field(b"model", b"m")
    with pytest.raises(BadRequest, match="no boundary"):
        form_field(read_file(io.BytesIO(data), "multipart/form-data", "", 999), "model")
    assert form_field(read_file(io.BytesIO(data), "audio/mpeg", "", 999), "model") is None
    assert form_field(read_file(io.BytesIO(b""), f"multipart/form-data; boundary={BOUNDARY}", "", 999), "model") is None


@pytest.mark.parametrize("encoding", ["", *PACKERS])
def test_a_file_is_unpacked_to_disk_and_bounded(encoding):
    data = os.urandom(200_000)
    packed = PACKERS.get(encoding, bytes)(data)
    body = read_file(io.BytesIO(packed), "audio/mpeg", encoding, 300_000)
    assert (len(body), b"".join(body)) == (len(data), data)
    with pytest.raises(BodyTooLarge):
        read_file(io.BytesIO(packed), "audio/mpeg", encoding, 150_000)


# --- bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["m", "a-much-longer-name", "é", ""])
def test_a_rename_changes_the_fields_bytes_and_no_others(model):
    parts = field(b"file", os.urandom(100_000), b'; filename="a"'), field(b"model", b"public"), field(b"n", b"1")
    body = form(*parts)
    body.model_span = form_field(body, "model")[1]
    renamed = body.renamed(model)
    data = b"".join(renamed)
    assert data == b"".join(body).replace(b"\r\n\r\npublic\r\n", b"\r\n\r\n" + model.encode() + b"\r\n")
    assert len(renamed) == len(data)


def test_a_file_can_be_sent_more_than_once():
    body = FileBody(io.BytesIO(b"abc"), 3, "x")
    assert b"".join(body) == b"".join(body) == b"abc"
    body.close()
    assert body.file.closed
