"""Google's SDK uploads files: begun, sent and finished through the gateway, on the channel and key that began them."""

import io
import json
import re
import signal
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from google import genai
from google.genai import types
from live_client import Client
from live_servers import CLIENT_KEY, UPSTREAM_KEY

pytestmark = pytest.mark.live

YAML = """
keys: [{{name: alice, key: "${{CLIENT_KEY}}"}}]
channels:
  - &up {{name: first, provider: google, base_url: "{first}", keys: ["${{UPSTREAM_KEY}}", second-key], models: [up]}}
  - {{<<: *up, name: second, base_url: "{second}"}}
"""
PATH = "/upload/v1beta/files"


class Files:
    """What Google's servers do: an upload has an address, takes pieces in their order, and ends with a file."""

    def __init__(self, upstream):
        self._url, self._one = upstream.url, threading.Lock()
        self.uploads = {}  # id -> (key that began it, its pieces)
        upstream.answer(self)

    def __call__(self, exchange):
        assert exchange.method == "POST"
        command, key = exchange.headers["x-goog-upload-command"], exchange.headers["x-goog-api-key"]
        if command == "start":
            assert "file" in json.loads(exchange.body)
            assert exchange.headers["x-goog-upload-header-content-type"] == "text/plain"
            with self._one:
                upload = f"u{len(self.uploads)}"
                self.uploads[upload] = key, []
            url = f"{self._url}{PATH}?upload_id={upload}&upload_protocol=resumable"
            exchange.reply(b"", f"X-Goog-Upload-URL: {url}", "X-Goog-Upload-Status: active")
            return
        began, pieces = self.uploads[parse_qs(urlsplit(exchange.target).query)["upload_id"][0]]
        assert key == began
        assert int(exchange.headers["x-goog-upload-offset"]) == sum(map(len, pieces))
        pieces.append(exchange.body)
        if "finalize" not in command:
            exchange.reply(b"", "X-Goog-Upload-Status: active")
            return
        file = {"name": "files/a", "uri": f"{self._url}/v1beta/files/a", "sizeBytes": str(sum(map(len, pieces)))}
        exchange.reply(json.dumps({"file": file}).encode(), "X-Goog-Upload-Status: final")


@pytest.fixture(name="begun")
def _begun(start, upstream, spare):
    """(a gateway of two workers and two channels, the Files of each)"""
    yaml = YAML.format(first=upstream.url, second=spare.url)
    return start(yaml, workers=2), (Files(upstream), Files(spare))


@pytest.mark.parametrize("suffix", ["", "/gemini"])
def test_googles_sdk_uploads_through_the_gateway(suffix, begun):
    gateway, files = begun
    options = types.HttpOptions(base_url=gateway.url + suffix, timeout=20_000)
    client = genai.Client(api_key=CLIENT_KEY, http_options=options)
    data = bytes(range(256)) * 4096 * 20  # 20 MiB: the SDK sends pieces of 8
    for _ in range(6):  # channels and keys are drawn
        file = client.files.upload(file=io.BytesIO(data), config={"mime_type": "text/plain"})
        assert (file.name, file.size_bytes) == ("files/a", len(data))
    sent = [pieces for each in files for _, pieces in each.uploads.values()]
    assert [b"".join(pieces) == data for pieces in sent] == [True] * 6
    assert {len(pieces) for pieces in sent} == {3}
    keys = {key for each in files for key, _ in each.uploads.values()}
    assert keys <= {UPSTREAM_KEY, "second-key"}


def peak_mb(pid):
    """The most memory that a process has had, in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def test_a_large_piece_is_not_held_in_memory(begun):
    gateway, files = begun
    started = Client(gateway.port).ask(
        "POST", PATH, {"file": {"mimeType": "text/plain"}}, x_goog_upload_protocol="resumable",
        x_goog_upload_command="start", x_goog_upload_header_content_type="text/plain",
    ).head()  # fmt: skip
    assert started.status == 200, started.rest()
    url = urlsplit(started.headers["x-goog-upload-url"])
    assert (url.netloc, url.path) == ("gateway", PATH)
    before = max(map(peak_mb, gateway.workers()))
    data = b"x" * 60_000_000
    client = Client(gateway.port).ask(
        "POST", f"{PATH}?{url.query}", data, x_api_key=None, content_type="application/json",
        x_goog_upload_command="upload, finalize", x_goog_upload_offset="0",
    ).head()  # fmt: skip
    assert (client.status, client.json()["file"]["sizeBytes"]) == (200, str(len(data)))
    assert [len(piece) for each in files for _, pieces in each.uploads.values() for piece in pieces] == [len(data)]
    assert max(map(peak_mb, gateway.workers())) - before < 25


def test_an_upload_ends_with_its_key(begun):
    gateway, _ = begun
    started = Client(gateway.port).ask(
        "POST", PATH, {"file": {}}, x_goog_upload_protocol="resumable", x_goog_upload_command="start",
        x_goog_upload_header_content_type="text/plain",
    ).head()  # fmt: skip
    query = urlsplit(started.headers["x-goog-upload-url"]).query

    def piece(offset):
        return Client(gateway.port).ask(
            "POST", f"{PATH}?{query}", b"abc", x_api_key=None, x_goog_upload_command="upload",
            x_goog_upload_offset=str(offset),
        ).head().status  # fmt: skip

    assert piece(0) == 200
    yaml = gateway.config.read_text()
    gateway.config.write_text(yaml.replace("name: alice, key:", "name: alice, expires: 2020-01-01, key:"))
    gateway.signal(signal.SIGHUP)
    gateway.logged("configuration reloaded", 2)
    assert piece(3) == 401
