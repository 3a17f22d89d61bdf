"""Which headers travel on, in either direction."""

import pytest

from gateway.headers import Headers, forwarded, returned, sane_id

UPSTREAM = """accept accept-language content-type idempotency-key originator session_id traceparent user-agent
openai-beta anthropic-beta anthropic-version x-stainless-lang x-goog-api-client x-codex-turn x-title""".split()
NEVER = """authorization x-api-key api-key x-goog-api-key cookie host content-length transfer-encoding connection te
forwarded x-forwarded-for x-forwarded-proto x-real-ip via proxy-authorization accept-encoding x-gateway-channel
x-gateway-strict content-encoding expect upgrade origin referer cf-connecting-ip x-request-id""".split()
CLIENT = """retry-after x-ratelimit-remaining-tokens openai-processing-ms openai-version
anthropic-ratelimit-requests-limit request-id content-type content-disposition cache-control etag""".split()
WITHHELD = """connection keep-alive transfer-encoding content-length set-cookie server date via alt-svc upgrade trailer
access-control-allow-origin access-control-expose-headers x-gateway-channel x-accel-buffering x-accel-redirect
strict-transport-security cf-ray nel""".split()


@pytest.mark.parametrize("name", UPSTREAM)
def test_what_a_vendor_may_know_travels_upstream(name):
    assert forwarded(Headers([(name, "v")])) == {name: "v"}


@pytest.mark.parametrize("name", NEVER)
def test_credentials_cookies_and_addresses_never_travel_upstream(name):
    assert forwarded(Headers([(name, "hush")])) == {}


@pytest.mark.parametrize("name", ["authorization", "X-Api-Key", "api-key", "X-Goog-Api-Key"])
def test_a_channel_cannot_forward_the_clients_credentials(name):
    assert forwarded(Headers([(name, "hush")]), also=[name]) == {}


def test_a_channel_may_forward_more():
    assert forwarded(Headers([("X-Team", "a"), ("Cookie", "b")]), also=["x-Team", "nosuch"]) == {"x-team": "a"}


@pytest.mark.parametrize("name", CLIENT)
def test_limits_and_ids_reach_the_client(name):
    assert returned([(name.title(), "v")]) == [(name, "v")]


@pytest.mark.parametrize("name", WITHHELD)
def test_hop_by_hop_cookies_and_cors_do_not_reach_the_client(name):
    assert returned([(name.title(), "v")]) == []


def test_what_connection_names_is_hop_by_hop_too():
    assert returned([("Connection", "close, X-Hop"), ("X-Hop", "1"), ("X-Other", "2")]) == [("x-other", "2")]


def test_repeated_headers_all_arrive():
    assert returned([("link", "a"), ("link", "b")]) == [("link", "a"), ("link", "b")]


def test_the_upstreams_request_id_goes_by_another_name():
    assert returned([("X-Request-Id", "theirs")]) == [("x-upstream-request-id", "theirs")]


@pytest.mark.parametrize("value, sane", [
    ("req_1", True), ("a" * 128, True), ("0190-ab:c/d+e=@f.g", True), ("", False), (None, False), ("a" * 129, False),
    ("a b", False), ("a\nb", False), ("a\r\nSet-Cookie: x", False), ("é", False), ("a;b", False), ('"', False),
    ("a\n", False),
])  # fmt: skip
def test_which_request_ids_are_taken_over(value, sane):
    assert sane_id(value) is sane


def test_headers_know_their_names_in_any_case():
    headers = Headers({"Content-Type": "a"})
    headers.update({"X-One": "1"}, **{"X-Two": "2"})
    headers["CONTENT-TYPE"] = "b"
    assert headers["content-Type"] == headers.get("Content-Type") == "b"
    assert "X-ONE" in headers
    assert headers.setdefault("x-one", "9") == headers.pop("X-One") == "1"
    assert headers.pop("x-one", None) is None
    del headers["X-TWO"]
    assert dict(headers) == {"content-type": "b"}


def test_headers_show_names_only():
    assert repr(Headers({"Authorization": "hush"})) == "Headers(authorization)"
