"""Who calls, from where, and may they come in."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest

from gateway.arrival.admission import client_address, credentials, without_key
from gateway.headers import Headers

KEYS = """
keys:
  - {name: alice, key: alice-key, models: ["gpt*"]}
  - {name: bob, sha256: 9b94dc1a51a38769f135edf04033ad7f2f487b6c25929be7a861cfc1ab10cf98}
  - {name: office, key: office-key, allow_ips: [10.0.0.0/8, "2001:db8::/32"]}
  - {name: late, key: late-key, expires: 2020-01-01}
  - {name: soon, key: soon-key, expires: 2999-01-01}
channels:
  - {name: echo, provider: echo, models: [gpt, claude]}
"""
SHAPES = {
    "/v1/chat/completions": lambda said: said["error"]["type"],
    "/v1/responses": lambda said: said["error"]["type"],
    "/v1/messages": lambda said: said["error"]["type"],
    "/v1beta/models/gpt:generateContent": lambda said: said["error"]["status"],
}
WORDS = {
    "/v1/chat/completions": ("authentication_error", "permission_error"),
    "/v1/responses": ("authentication_error", "permission_error"),
    "/v1/messages": ("authentication_error", "permission_error"),
    "/v1beta/models/gpt:generateContent": ("UNAUTHENTICATED", "PERMISSION_DENIED"),
}
BODIES = {
    "/v1/chat/completions": {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"model": "gpt", "input": "hi"},
    "/v1/messages": {"model": "gpt", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "/v1beta/models/gpt:generateContent": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}


@pytest.fixture(name="keyed")
def _keyed(client_of):
    return client_of(KEYS)


def call(client, path="/v1/chat/completions", headers=None, query="", peer="127.0.0.1"):
    return client.post(path + query, json=BODIES[path], headers=headers or {}, environ_overrides={"REMOTE_ADDR": peer})


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("headers, query", [
    ({"Authorization": "Bearer alice-key"}, ""),
    ({"Authorization": "bearer  alice-key "}, ""),
    ({"Authorization": "alice-key"}, ""),
    ({"X-Api-Key": "alice-key"}, ""),
    ({"Api-Key": "alice-key"}, ""),
    ({"X-Goog-Api-Key": "alice-key"}, ""),
    ({}, "?key=alice-key"),
    ({}, "?beta=true&key=alice-key"),
    ({"Authorization": "Bearer alice-key", "X-Api-Key": "alice-key"}, "?key=alice-key"),
])  # fmt: skip
def test_a_key_is_found_wherever_clients_put_it(path, headers, query, keyed):
    assert call(keyed, path, headers, query).status_code == 200


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("headers, query, code", [
    ({}, "", "invalid_api_key"),
    ({"Authorization": "Bearer wrong"}, "", "invalid_api_key"),
    ({"Authorization": "Bearer "}, "", "invalid_api_key"),
    ({"Authorization": "Basic YWxpY2U6a2V5"}, "", "invalid_api_key"),
    ({"X-Api-Key": "alice-key "  "x"}, "", "invalid_api_key"),
    ({"X-Api-Key": "ALICE-KEY"}, "", "invalid_api_key"),
    ({"X-Api-Key": "\xe9"}, "", "invalid_api_key"),
    ({"Authorization": "Bearer alice-key", "X-Api-Key": "soon-key"}, "", "invalid_api_key"),
    ({"Authorization": "Bearer alice-key"}, "?key=other", "invalid_api_key"),
    ({}, "?key=alice-key&key=other", "invalid_api_key"),
    ({"X-Api-Key": "late-key"}, "", "expired_api_key"),
])  # fmt: skip
def test_none_a_wrong_an_expired_or_two_keys_are_401_in_shape(path, headers, query, code, keyed):
    answer = call(keyed, path, headers, query)
    assert answer.status_code == 401
    assert SHAPES[path](answer.json) == WORDS[path][0]
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert code.lower() in answer.text.lower()
    assert not [key for key in ("alice-key", "soon-key", "late-key", "wrong") if key in answer.text]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("peer, forwarded, status", [
    ("10.1.2.3", "", 200),
    ("2001:db8::7", "", 200),
    ("::ffff:10.1.2.3", "", 200),
    ("127.0.0.1", "10.1.2.3", 200),
    ("192.0.2.1", "", 403),
    ("192.0.2.1", "10.1.2.3", 403),
    ("127.0.0.1", "", 403),
    ("127.0.0.1", "10.1.2.3, 192.0.2.1", 403),
])  # fmt: skip
def test_a_key_holds_only_for_its_addresses(path, peer, forwarded, status, keyed):
    headers = {"X-Api-Key": "office-key"} | ({"X-Forwarded-For": forwarded} if forwarded else {})
    answer = call(keyed, path, headers, peer=peer)
    assert answer.status_code == status
    if status == 403:
        assert SHAPES[path](answer.json) == WORDS[path][1]


@pytest.mark.parametrize("path", BODIES)
def test_a_model_that_the_key_may_not_use_is_403(path, client_of):
    client = client_of(KEYS.replace('"gpt*"', '"claude*"'))
    answer = call(client, path, {"X-Api-Key": "alice-key"})
    assert answer.status_code == 403
    assert SHAPES[path](answer.json) == WORDS[path][1]
    assert "model_not_allowed" in answer.text.lower()


def test_the_model_list_is_filtered_by_the_key(keyed):
    def names(key):
        return [entry["id"] for entry in keyed.get("/v1/models", headers={"X-Api-Key": key}).json["data"]]

    assert names("alice-key") == ["gpt"]
    assert names("soon-key") == ["claude", "gpt"]
    assert keyed.get("/v1/models/claude", headers={"X-Api-Key": "alice-key"}).status_code == 404
    assert keyed.get("/v1/models").status_code == 401


def test_a_key_may_be_known_by_its_digest_alone(keyed):
    assert call(keyed, headers={"X-Api-Key": "bob-key"}).status_code == 200


def test_a_key_ends_at_its_moment(client_of):
    now = datetime.now(UTC)
    text = KEYS.replace("2999-01-01", (now + timedelta(days=1)).isoformat())
    assert call(client_of(text), headers={"X-Api-Key": "soon-key"}).status_code == 200
    text = KEYS.replace("2999-01-01", (now - timedelta(seconds=1)).isoformat())
    assert call(client_of(text), headers={"X-Api-Key": "soon-key"}).status_code == 401


@pytest.mark.parametrize("peer, forwarded, status", [
    ("127.0.0.1", "", 200), ("::1", "", 200), ("::ffff:127.0.0.1", "", 200), ("192.0.2.1", "", 403),
    ("10.0.0.1", "", 403), ("127.0.0.1", "192.0.2.1", 403), ("192.0.2.1", "127.0.0.1", 403), ("", "", 200),
    ("", "192.0.2.1", 403),
])  # fmt: skip
def test_without_keys_only_this_machine_is_served(peer, forwarded, status, client_of):
    client = client_of("channels: [{name: echo, provider: echo}]")
    assert call(client, headers={"X-Forwarded-For": forwarded} if forwarded else {}, peer=peer).status_code == status


@pytest.mark.parametrize("peer, forwarded, trusted, address", [
    ("127.0.0.1", "", [], "127.0.0.1"),
    ("127.0.0.1", "192.0.2.1", [], "192.0.2.1"),
    ("127.0.0.1", "1.1.1.1, 192.0.2.1", [], "192.0.2.1"),
    ("127.0.0.1", "1.1.1.1, 127.0.0.2", [], "1.1.1.1"),
    ("127.0.0.1", "192.0.2.1:4711", [], "192.0.2.1"),
    ("::1", "[2001:db8::1]:443", [], "2001:db8::1"),
    ("::1", "2001:db8::1", [], "2001:db8::1"),
    ("10.0.0.1", "192.0.2.1", [], "10.0.0.1"),
    ("10.0.0.1", "192.0.2.1", ["10.0.0.0/8"], "192.0.2.1"),
    ("127.0.0.1", "192.0.2.1", ["10.0.0.0/8"], "127.0.0.1"),
    ("10.0.0.1", "6.6.6.6, 192.0.2.1, 10.9.9.9", ["10.0.0.0/8"], "192.0.2.1"),
    ("10.0.0.1", "10.0.0.2, 10.0.0.3", ["10.0.0.0/8"], "10.0.0.2"),
    ("", "192.0.2.1", [], "192.0.2.1"),
])  # fmt: skip
def test_the_address_is_believed_as_far_as_trusted_proxies_wrote_it(peer, forwarded, trusted, address):
    networks = [ipaddress.ip_network(text) for text in trusted]
    assert str(client_address(peer, Headers({"x-forwarded-for": forwarded}), networks)) == address


@pytest.mark.parametrize("forwarded", ["unknown", "192.0.2.1, unknown", "_hidden", "1.2.3", ","])
def test_what_a_trusted_proxy_wrote_and_nobody_can_read_is_nobodys_address(forwarded, client_of):
    """It must not count as the proxy's own address: that would let anybody in."""
    client = client_of("channels: [{name: echo, provider: echo}]")
    assert call(client, headers={"X-Forwarded-For": forwarded}).status_code == 403


def test_distinct_credentials_are_counted_once():
    headers = Headers({"authorization": "Bearer a", "x-api-key": "a", "api-key": "b"})
    assert [secret.reveal() for secret in credentials(headers, "key=a&key=c&x=1")] == ["a", "b", "c"]
    assert "a" not in repr(credentials(headers, "")).replace("Secret", "")


@pytest.mark.parametrize("query, kept", [
    ("", ""), ("alt=sse", "alt=sse"), ("key=x", ""), ("alt=sse&key=x", "alt=sse"), ("key=x&a=%20b&c=", "a=+b&c="),
    ("a=%20b", "a=%20b"), ("key=x&key=y", ""),
])  # fmt: skip
def test_the_key_is_taken_out_of_the_query(query, kept):
    assert without_key(query) == kept


# --- certificates that a proxy has verified -------------------------------------------------------------

CERTIFIED = """
trusted_proxies: [10.0.0.0/8]
certificate_proxies: [10.0.0.1]
store: sqlite:///gateway.db
keys:
  - {name: alice, key: alice-key, certificates: ["CN=alice,O=Corp", "AB:CD:EF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:01"]}
  - {name: orphan, certificates: ["CN=orphan"], team: nowhere}
channels:
  - {name: echo, provider: echo, models: [gpt]}
"""  # noqa: E501
SEEN = {"X-Client-Verify": "SUCCESS", "X-Client-DN": "CN=alice,O=Corp"}
THUMB = {"X-Client-Verify": "SUCCESS", "X-Client-Fingerprint": "ABcdef00112233445566778899aabbccddeeff01"}


@pytest.mark.parametrize("headers, peer, status", [
    (SEEN, "10.0.0.1", 200), (SEEN, "", 200), (THUMB, "10.0.0.1", 200), (SEEN, "::ffff:10.0.0.1", 200),
    (SEEN | {"X-Forwarded-For": "192.0.2.1"}, "10.0.0.1", 200), (SEEN | {"X-Api-Key": "none"}, "10.0.0.1", 200),
    (SEEN, "127.0.0.1", 401), (SEEN, "10.0.0.2", 401), (SEEN, "no address", 401),
    (SEEN | {"X-Forwarded-For": "10.0.0.1"}, "10.0.0.2", 401),
    (SEEN | {"X-Client-Verify": "FAILED:expired"}, "10.0.0.1", 401), ({"X-Client-DN": SEEN["X-Client-DN"]}, "", 401),
    (SEEN | {"X-Client-DN": "CN=alice"}, "", 401), (SEEN | {"X-Client-DN": "cn=alice,o=corp"}, "", 401),
    (SEEN | {"X-Client-DN": ""}, "", 401), (SEEN | {"X-Client-DN": "CN=orphan"}, "", 403),
])  # fmt: skip
def test_a_certificate_is_believed_from_who_may_vouch_for_one(headers, peer, status, client_of):
    answer = call(client_of(CERTIFIED), headers=headers, peer=peer)
    assert answer.status_code == status
    if status == 401 and peer == "" and headers.get("X-Client-Verify") and headers["X-Client-DN"]:
        assert "stands for no key" in answer.json["error"]["message"]


def test_plugins_see_the_certificate_and_never_the_headers(client_of, tmp_path):
    (tmp_path / "spy.py").write_text(
        "from gateway import hookimpl\nseen = []\n"
        "@hookimpl\ndef authenticate(request):\n"
        "    found = request.certificate and (request.certificate.fingerprint, request.certificate.subject)\n"
        "    seen.append((found, [name for name in request.headers if name.startswith('x-client-')]))\n"
        "@hookimpl\ndef before_call(call):\n"
        "    seen.append([name for name in call.headers if name.startswith('x-client-')])\n"
        "@hookimpl\ndef register_pages(pages):\n"
        "    pages('/seen', lambda request: (200, {}, repr(seen).encode()), open=True)\n"
    )
    client = client_of("plugins_dir: .\nplugins: [spy]\n" + CERTIFIED)
    given = SEEN | THUMB
    call(client, headers=given, peer="10.0.0.9")
    call(client, headers=given | {"X-Client-DN": "CN=nobody", "X-Client-Fingerprint": "01"}, peer="")
    call(client, headers=given, peer="10.0.0.1")
    assert client.get("/seen").data.decode() == "[(None, []), (('01', 'CN=nobody'), []), []]"
