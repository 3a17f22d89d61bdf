"""Uploads travel through a file, byte for byte, and do not grow the worker."""

import hashlib
import re
import threading
import uuid
from pathlib import Path

import pytest
from live_cases import all_ways
from live_servers import CLIENT_KEY, until

pytestmark = pytest.mark.live

BOUNDARY = "----gateway\u0027s(boundary)_+,-./:=?"
MB = 1024 * 1024


def form(*parts):
    """A multipart form of (headers, content) pairs, preamble and epilogue included."""
    body = b"a preamble\r\n"
    for headers, content in parts:
        body += b"--" + BOUNDARY.encode() + b"\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"
    return body + b"--" + BOUNDARY.encode() + b"--\r\nan epilogue\r\n"


def field(name, value):
    return b'Content-Disposition: form-data; name="%b"' % name, value


def file(content):
    return b'Content-Disposition: form-data; name="file"; filename="model.wav"\r\nContent-Type: audio/wav', content


SOUND = hashlib.shake_128(b"sound").digest(1000) + b'\r\n--not the boundary\r\nname="model"\r\n\r\n'
SMALL = form(field(b"language", b"no"), file(SOUND), field(b"model", b"up"), field(b"temperature", b"0"))
CONTENT_TYPE = f'multipart/form-data; boundary="{BOUNDARY}"'


def private_mb(pid):
    """The memory of a process that is its own: no mapped files, no page cache."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


@all_ways
def test_a_form_passes_as_it_is(upstream, connect):
    upstream.answer(lambda exchange: exchange.reply(b'{"text":"hi"}'))
    client = connect().post("/v1/audio/transcriptions", SMALL, content_type=CONTENT_TYPE).head()
    assert client.rest() == (b'{"text":"hi"}', True)
    (exchange,) = upstream.exchanges
    assert exchange.body == SMALL
    assert exchange.headers["content-type"] == CONTENT_TYPE


@all_ways
def test_a_model_is_renamed_inside_a_form(upstream, connect):
    upstream.answer(lambda exchange: exchange.reply(b'{"text":"hi"}'))
    body = SMALL.replace(b"\r\n\r\nup\r\n", b"\r\n\r\nrenamed\r\n")
    client = connect().post("/v1/audio/transcriptions", body, content_type=CONTENT_TYPE).head()
    assert client.status == 200
    assert upstream.exchanges[0].body == SMALL.replace(b"\r\n\r\nup\r\n", b"\r\n\r\nup/stream\r\n")


def test_a_form_without_a_model_means_the_usual_one(upstream, connect):
    client = connect().post("/v1/audio/transcriptions", form(file(SOUND)), content_type=CONTENT_TYPE).head()
    assert client.status == 404
    assert "whisper-1" in client.json()["error"]["message"]
    assert upstream.exchanges == []


@all_ways
def test_a_second_channel_gets_the_whole_form_again(upstream, spare, connect):
    upstream.answer(lambda exchange: exchange.reply(b"{}", status="503 Full"))
    spare.answer(lambda exchange: exchange.reply(b'{"text":"hi"}'))
    body = SMALL.replace(b"\r\n\r\nup\r\n", b"\r\n\r\neither\r\n")
    client = connect().post("/v1/audio/transcriptions", body, content_type=CONTENT_TYPE).head()
    assert client.rest() == (b'{"text":"hi"}', True)
    assert upstream.exchanges[0].body == spare.exchanges[0].body == body


@all_ways
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_thirty_megabytes_stream_through(framing, upstream, connect, gateway):
    worker = gateway.workers()[0]
    sound = hashlib.shake_128(b"sound").digest(MB) * 30
    body = form(file(sound), field(b"model", b"renamed"))
    before = most = private_mb(worker)
    taken = []
    waiting = threading.Thread(target=lambda: taken.append(upstream.take()))
    waiting.start()
    client = connect(timeout=30)
    length = f"Content-Length: {len(body)}" if framing == "sized" else "Transfer-Encoding: chunked"
    client.send(
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\n{length}\r\n\r\n".encode()
    )
    for start in range(0, len(body), MB):
        piece = body[start : start + MB]
        client.send(piece if framing == "sized" else b"%x\r\n%b\r\n" % (len(piece), piece))
        most = max(most, private_mb(worker))
    if framing == "chunked":
        client.send(b"0\r\n\r\n")
    while waiting.is_alive():
        most = max(most, private_mb(worker))
        waiting.join(0.005)
    with taken[0] as exchange:
        most = max(most, private_mb(worker))
        exchange.reply(b'{"text":"hi"}')
    assert client.head().rest() == (b'{"text":"hi"}', True)
    assert exchange.headers["content-length"] == str(len(body) + 2)
    assert exchange.body == body.replace(b"\r\n\r\nrenamed\r\n", b"\r\n\r\nup/stream\r\n")
    assert most - before < 10, f"the worker grew by {most - before:.0f} MB"


def test_nothing_stays_open_behind_an_upload(upstream, connect, gateway):
    """Also not behind one whose client left in its middle."""
    worker = gateway.workers()[0]

    def deleted_files():
        links = list(Path(f"/proc/{worker}/fd").iterdir())
        return sum(1 for link in links if link.is_symlink() and "(deleted)" in str(link.readlink()))

    before = deleted_files()
    upstream.answer(lambda exchange: exchange.reply(b"{}"))
    for _ in range(5):
        assert connect().post("/v1/audio/transcriptions", SMALL, content_type=CONTENT_TYPE).head().status == 200
        client = connect().send(
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\nContent-Type: {CONTENT_TYPE}\r\n"
            f"Content-Length: {len(SMALL)}\r\n\r\n".encode() + SMALL[:-10]
        )
        client.leave()
    until(lambda: deleted_files() <= before, "the temporary files are closed", 3)
    assert len(upstream.exchanges) == 5


def test_a_binary_upload_passes(upstream, connect):
    data, name = hashlib.shake_128(b"data").digest(3 * MB), f"binary-{uuid.uuid4()}"
    client = connect().post("/v1/files", data, content_type="application/octet-stream", x_gateway_channel="up",
                            x_request_id=name)  # fmt: skip
    with upstream.take() as exchange:
        exchange.reply(b'{"id":"file-1"}')
    assert exchange.body == data
    assert client.head().json() == {"id": "file-1"}
