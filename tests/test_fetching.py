"""Media that clients name by URL: fetched from the open internet only."""

import base64
import http.server
import socket
import threading

import pytest

from gateway.config.origins import MediaHosts
from gateway.dialects.vocabulary import Media
from gateway.errors import BadRequest
from gateway.transport import fetching
from gateway.transport.fetching import fetch, is_public

ANY = MediaHosts(["any"])
PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1
192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255
:: ::1 fe80::1 fe80::1%eth0 fc00::1 fd12:3456::1 ff02::1 2001:db8::1 100::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 2002:7f00:1:: 2002:0a00:0001::1 64:ff9b::127.0.0.1
64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 2001:0:7f00:1::1 2001:0:4136:e378:8000:63bf:f5ff:fffe
""".split()
PUBLIC = """
1.1.1.1 8.8.8.8 93.184.215.14 2606:4700:4700::1111 2a00:1450:4001:800::200e ::ffff:8.8.8.8 64:ff9b::8.8.8.8
""".split()


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public(address):
    assert is_public(address)


# --- a server of our own, which only `allow_private` lets us reach ---------------------------------------


class Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.files.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Nothing is printed."""


@pytest.fixture(name="files")
def _files():
    """A server whose ``files`` maps a path to (status, headers, body)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.files, server.asked = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def media(url, media_type=None):
    return Media("image", url=url, media_type=media_type)


def test_bytes_and_type_take_the_urls_place(files):
    files.files["/a%20b.png?x=1"] = (200, {"Content-Type": "image/png; charset=x"}, b"\x00\xffPNG")
    image = media(f"{files.url}/a%20b.png?x=1#fragment")
    fetch(image, ANY, allow_private=True)
    assert (base64.b64decode(image.data), image.media_type, image.url) == (b"\x00\xffPNG", "image/png", None)
    headers = {name.lower(): value for name, value in files.asked[0][1].items()}
    assert not {"authorization", "cookie", "x-api-key"} & set(headers)


def test_a_type_that_the_client_gave_stays(files):
    files.files["/x"] = (200, {"Content-Type": "text/plain"}, b"x")
    image = media(f"{files.url}/x", "image/webp")
    fetch(image, ANY, allow_private=True)
    assert image.media_type == "image/webp"


@pytest.mark.parametrize("location", ["/end", "end", None])
def test_redirects_are_followed_here(location, files):
    files.files["/start"] = (302, {"Location": location or f"{files.url}/end"}, b"")
    files.files["/end"] = (200, {}, b"there")
    image = media(f"{files.url}/start")
    fetch(image, ANY, allow_private=True)
    assert base64.b64decode(image.data) == b"there"


def refused(url, allow_private=False, hosts=ANY):
    image = media(url)
    with pytest.raises(BadRequest) as caught:
        fetch(image, hosts, allow_private)
    assert caught.value.fault.code == "media_not_fetched"
    assert (image.url, image.data) == (url, None)
    return str(caught.value)


def test_redirects_end(files):
    files.files["/loop"] = (302, {"Location": "/loop"}, b"")
    assert "redirects too often" in refused(f"{files.url}/loop", allow_private=True)
    assert len(files.asked) == 5


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "127.1"]
)
def test_the_gateways_own_machine_is_not_reached(host, files):
    assert refused(f"http://{host}:{files.server_port}/secret").endswith(
        ("its address is not a public one", "it cannot be reached")
    )
    assert not files.asked


def test_a_redirect_does_not_lead_inside(files, monkeypatch):
    """The first hop is let through as if it were public; the second is judged anew."""
    files.files["/start"] = (302, {"Location": f"http://localhost:{files.server_port}/secret"}, b"")
    files.files["/secret"] = (200, {}, b"secret")
    judged = []

    def first_is_public(address):
        judged.append(address)
        return len(judged) == 1

    monkeypatch.setattr(fetching, "is_public", first_is_public)
    assert "not a public one" in refused(f"{files.url}/start")
    assert [path for path, _ in files.asked] == ["/start"]


def test_one_private_address_of_a_name_is_enough_to_refuse(files, monkeypatch):
    def resolve(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("8.8.8.8", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "not a public one" in refused(f"http://mixed.test:{files.server_port}/")
    assert not files.asked


def test_the_checked_address_is_the_one_that_is_connected_to(files, monkeypatch):
    """A name that resolves differently a moment later gains nothing: it is resolved once."""
    resolved, real = [], socket.getaddrinfo

    def resolve(host, *args, **more):
        resolved.append(host)
        return real("127.0.0.1", *args, **more)

    files.files["/x"] = (200, {}, b"x")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    fetch(media(f"http://changing.test:{files.server_port}/x"), ANY, allow_private=True)
    assert resolved == ["changing.test"]


@pytest.mark.parametrize("url", ["ftp://8.8.8.8/x", "file:///etc/passwd", "gopher://x", "http://", "", "/x", "data:,x"])
def test_only_http_urls_are_fetched(url):
    assert "only http and https" in refused(url)


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a.test:99999/", "http://a.test:x/", "http://\x00/", "http://a..b/"]
)
def test_odd_urls_are_refused_in_words(url):
    assert refused(url).startswith("the media URL cannot be fetched: ")


@pytest.mark.parametrize("status", [204, 401, 404, 500])
def test_another_status_is_told(status, files):
    files.files["/x"] = (status, {}, b"")
    assert f"its server answered {status}" in refused(f"{files.url}/x", allow_private=True)


def test_what_is_too_large_is_given_up(files, monkeypatch):
    monkeypatch.setattr(fetching, "_MOST_BYTES", 1000)
    files.files["/x"] = (200, {}, b"x" * 1001)
    assert "larger than 1000 bytes" in refused(f"{files.url}/x", allow_private=True)


def test_what_breaks_off_is_refused(files):
    files.files["/x"] = (200, {"Content-Length": "100", "Connection": "close"}, b"only this")
    assert "cannot be reached" in refused(f"{files.url}/x", allow_private=True)


def test_a_closed_port_is_refused_without_telling_more():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        said = refused(f"http://127.0.0.1:{closed.getsockname()[1]}/", allow_private=True)
    assert said == "the media URL cannot be fetched: it cannot be reached"


# --- whose hosts the operator names ----------------------------------------------------------------------

NAMED = MediaHosts(["https://cdn.example.com:443", "https://*.images.example:443", "http://old.example:8080"])


@pytest.mark.parametrize("url", [
    "https://cdn.example.com/a.png", "https://CDN.example.com:443/a", "https://a.images.example/x", "http://old.example:8080/",
    "https://a.b.images.example", "https://user:pw@cdn.example.com/",
])  # fmt: skip
def test_a_host_that_is_named_may_be_asked(url):
    assert NAMED.name(url)


@pytest.mark.parametrize("url", [
    "http://cdn.example.com/a.png", "https://cdn.example.com:8443/", "https://images.example/", "https://evilimages.example/",
    "https://images.example.evil.test/", "https://cdn.example.com@evil.test/", "https://cdn.example.com.evil.test/",
    "https://evil.test/?cdn.example.com", "https://evil.test#.images.example", "http://old.example/", "https://old.example:8080",
    "https://cdn.example.com./", "http://a.images.example:443/",
])  # fmt: skip
def test_no_other_host_is_asked(url):
    said = refused(url, allow_private=True, hosts=NAMED)
    assert "setting `fetch` does not name" in said and "send the data itself" in said


def test_nothing_is_asked_where_none_is_named(files):
    assert "does not name http://127.0.0.1" in refused(f"{files.url}/x", allow_private=True, hosts=MediaHosts())
    assert not files.asked


def test_a_redirect_does_not_lead_to_a_host_that_is_not_named(files):
    files.files["/start"] = (302, {"Location": f"http://localhost:{files.server_port}/secret"}, b"")
    said = refused(f"{files.url}/start", allow_private=True, hosts=MediaHosts([files.url]))
    assert f"does not name http://localhost:{files.server_port};" in said
    assert [path for path, _ in files.asked] == ["/start"]
