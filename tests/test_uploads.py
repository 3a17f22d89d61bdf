"""The addresses of resumable uploads lead back through the gateway, to the channel and key that began them."""

import base64
import json
import time
from urllib.parse import urlsplit

import pytest

from gateway.app import create_app
from gateway.config.kinds import Secret
from gateway.errors import NotFound
from gateway.uploads import upload_of

YAML = """
keys: [{name: alice, key: key-a, tags: [eu]}, {name: bob, key: key-b}]
channels:
  - {name: one, provider: google, keys: [up-1, up-2], base_url: https://one.test, tags: [eu]}
  - {name: two, provider: google, keys: [up-3], base_url: https://two.test/v1beta, tags: [eu]}
"""
START = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
PATH = "/upload/v1beta/files"
ALICE = {"x-goog-api-key": "key-a"}


def address(host="one.test", more=""):
    return f"https://{host}{PATH}?upload_id=u%2F1&upload_protocol=resumable{more}"


def begin(client, network, host="one", url="", headers=ALICE):
    network.upsert(
        "POST", f"https://{host}.test{PATH}", body=b"",
        headers={"X-Goog-Upload-URL": url or address(f"{host}.test"), "X-Goog-Upload-Control-URL": address(),
                 "X-Goog-Upload-Status": "active"},
    )  # fmt: skip
    return client.post(PATH, json={"file": {}}, headers=START | headers | {"x-gateway-channel": host})


def upload(client, url, data=b"{}", **headers):
    parts = urlsplit(url)
    headers = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"} | headers
    return client.post(f"{parts.path}?{parts.query}", data=data, headers=headers)


@pytest.mark.parametrize("host", ["one", "two"])
def test_an_upload_goes_on_where_it_began(host, client_of, network):
    client = client_of(YAML)
    started = begin(client, network, host)
    assert started.headers["x-goog-upload-status"] == "active"
    assert "x-goog-upload-control-url" not in started.headers
    url = started.headers["x-goog-upload-url"]
    assert url.startswith(f"http://localhost{PATH}?gateway_upload=")
    network.upsert("POST", f"https://{host}.test{PATH}", json={"file": {"name": "files/a"}})
    done = upload(client, url)
    assert (done.status_code, done.json) == (200, {"file": {"name": "files/a"}})
    first, second = (call.request for call in network.calls)
    assert second.url == address(f"{host}.test")
    assert second.headers["x-goog-api-key"] == first.headers["x-goog-api-key"]
    assert first.headers["x-goog-upload-command"] == "start"
    assert second.headers["x-goog-upload-command"] == "upload, finalize"
    assert second.headers["x-goog-upload-offset"] == "0"
    assert "content-type" not in second.headers
    assert len(second.body) == 2


def test_the_address_is_that_of_the_client(client_of, network):
    client = client_of(YAML)
    url = begin(client, network, headers=ALICE | {"host": "gw.corp:8443", "x-forwarded-proto": "https"}).headers
    assert url["x-goog-upload-url"].startswith(f"https://gw.corp:8443{PATH}?")


def test_no_key_is_told(client_of, network):
    url = begin(client_of(YAML), network, url=address(more="&key=up-1")).headers["x-goog-upload-url"]
    sealed = base64.urlsafe_b64decode(url.partition("gateway_upload=")[2].partition(".")[0] + "==")
    assert b"upload_id" in sealed
    assert b"up-1" not in sealed
    assert b"key-a" not in sealed


@pytest.mark.parametrize("url", ["http://one.test/upload", "https://elsewhere.test/upload", "/upload", "x"])
def test_a_channel_cannot_lead_elsewhere(url, client_of, network):
    answer = begin(client_of(YAML), network, url=url)
    assert (answer.status_code, reason(answer)) == (502, "UPLOAD_ELSEWHERE")


def reason(answer):
    return answer.json["error"]["details"][0]["reason"]


def test_who_began_it_goes_on_with_it(client_of, network):
    client = client_of(YAML)
    url = begin(client, network).headers["x-goog-upload-url"]
    assert upload(client, url, **{"x-goog-api-key": "key-a"}).status_code == 200
    other = upload(client, url, **{"x-goog-api-key": "key-b"})
    assert (other.status_code, reason(other)) == (403, "UPLOAD_OF_ANOTHER")
    assert upload(client, url, **{"x-goog-api-key": "key-x"}).status_code == 401
    assert upload(client, PATH).status_code == 401


@pytest.mark.parametrize("now, status, why", [
    ("{name: alice, key: key-new}", 401, "INVALID_API_KEY"),
    ("{name: alice, key: key-a, expires: 2020-01-01}", 401, "EXPIRED_API_KEY"),
    ("{name: alice, key: key-a, allow_ips: [10.0.0.0/8]}", 403, "ADDRESS_NOT_ALLOWED"),
    ("{name: somebody, key: key-a}", 403, "UPLOAD_OF_ANOTHER"),
    ("{name: alice, key: key-a, tags: []}", 200, ""),
])  # fmt: skip
def test_an_upload_goes_on_as_long_as_its_key_is_good(now, status, why, client_of, network):
    url = begin(client_of(YAML), network).headers["x-goog-upload-url"]
    answer = upload(client_of(YAML.replace("{name: alice, key: key-a, tags: [eu]}", now)), url)
    assert (answer.status_code, reason(answer) if why else "") == (status, why)


def test_each_piece_of_an_upload_is_a_request_of_its_keys(serving_client_of, network):
    client = serving_client_of(YAML.replace("tags: [eu]}, {name: bob", "limits: {rpm: 3}}, {name: bob"))
    url = begin(client, network).headers["x-goog-upload-url"]
    assert [upload(client, url).status_code for _ in range(3)] == [200, 200, 429]
    assert begin(client, network).status_code == 429


def damaged(url):
    before, _, token = url.partition("gateway_upload=")
    sealed, _, mac = token.partition(".")
    said = json.loads(base64.urlsafe_b64decode(sealed + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(["https://one.test/x", *said[1:]]).encode()).decode().rstrip("=")
    later = base64.urlsafe_b64encode(json.dumps([*said[:4], said[4] + 9]).encode()).decode().rstrip("=")
    for bad in ("", ".", "a.b.c", sealed, f"{forged}.{mac}", f"{later}.{mac}", f"{sealed}.", "é.é", "bnVsbA.bnVsbA"):
        yield f"{before}gateway_upload={bad}"


def test_what_was_not_sealed_here_opens_nothing(client_of, network):
    client = client_of(YAML)
    for url in damaged(begin(client, network).headers["x-goog-upload-url"]):
        answer = upload(client, url)
        assert (answer.status_code, reason(answer)) in ((404, "UPLOAD_UNKNOWN"), (401, "INVALID_API_KEY")), url
    assert len(network.calls) == 1


def test_an_address_opens_nothing_else(client_of, network):
    client = client_of(YAML)
    query = urlsplit(begin(client, network).headers["x-goog-upload-url"]).query
    assert client.get(f"/v1beta/files?{query}").status_code == 401
    assert client.post(f"/v1/chat/completions?{query}", json={"model": "m", "messages": []}).status_code == 401


def test_another_key_of_the_channel_ends_its_uploads_and_so_does_time(write_config, network):
    def opened(yaml, after=0):
        channels = create_app(write_config(yaml)).extensions["gateway"].gateway.channels
        return upload_of(PATH, query, channels, time.time() + after)

    app = create_app(write_config(YAML))
    query = urlsplit(begin(app.test_client(), network).headers["x-goog-upload-url"]).query
    assert opened(YAML).who == "alice"
    assert opened(YAML).credentials == (Secret("key-a"),)
    for yaml, after in ((YAML.replace("up-1", "x").replace("up-2", "y"), 0), (YAML, 7 * 3600),
                        (YAML.replace("name: one,", "name: one, enabled: false,"), 0)):  # fmt: skip
        with pytest.raises(NotFound, match="there is no such upload"):
            opened(yaml, after)


def test_files_are_looked_at_with_the_vendors_words(client_of, network):
    client = client_of(YAML)
    network.get("https://one.test/v1beta/files/a", json={"name": "files/a"})
    answer = client.get("/v1beta/files/a", headers=ALICE | {"x-gateway-channel": "one"})
    assert answer.json == {"name": "files/a"}
