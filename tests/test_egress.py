"""What a provider plugin may use to sign: an HTTP client on a leash, and a cache that asks once."""

import logging
import socket
import threading
import time

import pytest

from gateway.domain import UpstreamReply
from gateway.errors import ChannelFailed, ChannelTimeout, ChannelUnreachable, StreamCut
from gateway.transport.egress import MOST_BYTES, Cache, HttpClient, NotAllowed, origin, origins
from gateway.transport.upstream_body import Answer, Silence


class Body:
    """A body that gives *pieces*, raising those that are exceptions."""

    def __init__(self, *pieces):
        self.pieces, self.closed = list(pieces), False

    def receive(self, timeout):
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self):
        self.closed = True


@pytest.fixture(name="client")
def _client():
    """client(*pieces) -> an HttpClient whose requests are in ``.sent``, answered with these pieces."""

    def make(*pieces):
        body = Body(*pieces)

        def send(request, seconds):
            client.sent.append(request)
            return Answer(200, [("X-A", "b")], body)

        client = HttpClient(origins("https://api.test/v1", ["tokens.test", "http://meta.test"], {}), send)
        client.sent, client.body = [], body
        return client

    return make


def test_a_request_and_its_answer(client):
    http = client(b"one", b"two")
    answer = http.request("POST", "https://tokens.test/oauth?x=1#f", {"Content-Type": "text/plain"}, b"body")
    assert answer == UpstreamReply(200, {"x-a": "b"}, b"onetwo")
    (sent,) = http.sent
    assert (sent.method, sent.url, sent.body.data) == ("POST", "https://tokens.test/oauth?x=1", b"body")
    assert sent.headers["content-type"] == "text/plain"
    assert http.body.closed


@pytest.mark.parametrize("url", [
    "https://api.test/any", "https://API.test:443", "https://tokens.test/x", "http://meta.test/x",
])  # fmt: skip
def test_what_is_named_can_be_reached(url, client):
    client().request("GET", url)


@pytest.mark.parametrize("url", [
    "http://api.test/", "https://api.test:8443/", "https://other.test/", "https://meta.test/", "http://169.254.169.254/",
    "https://api.test@other.test/", "https://other.test\\@api.test/", "https://api.test/\r\nHost: other.test",
    "file:///etc/passwd", "ftp://api.test/", "//api.test/", "", "https://", "https://api.test.other.test/",
    "https://api.test:99999/", "https://[::1]/", "https:// api.test/",
])  # fmt: skip
def test_nothing_else_can(url, client):
    http = client()
    with pytest.raises(NotAllowed) as caught:
        http.request("GET", url)
    assert not http.sent
    assert caught.value.fault.code == "egress_refused"


@pytest.mark.parametrize("pieces, error", [
    ([Silence()], ChannelTimeout), ([b"a", StreamCut("broke")], ChannelUnreachable),
    ([b"x" * (MOST_BYTES // 2)] * 3, ChannelFailed),
])  # fmt: skip
def test_an_answer_that_does_not_come_whole(pieces, error, client):
    http = client(*pieces)
    with pytest.raises(error):
        http.request("GET", "https://api.test/")
    assert http.body.closed


def test_addresses_among_the_options_can_be_reached_too():
    found = origins("http://127.0.0.1:8080", ["", "a.test:8443"], {"x": "https://b.test/path", "y": "b.test", "z": 7})
    assert found == {"http://127.0.0.1:8080", "https://a.test:8443", "https://b.test:443"}
    with pytest.raises(ValueError, match="expected a host"):
        origin("gopher://x")


# --- the cache -------------------------------------------------------------------------------------------


@pytest.fixture(name="clock")
def _clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


def test_a_value_is_made_once_until_it_expires(clock):
    cache, made = Cache(clock), []

    def make():
        made.append(clock.now)
        return f"value {len(made)}", 10

    assert [cache.fetch("a", make) for _ in range(3)] == ["value 1"] * 3
    assert cache.fetch("b", make) == "value 2"
    clock.now += 7.9
    assert cache.fetch("a", make) == "value 1"
    clock.now += 2.2
    assert cache.fetch("a", make) == "value 3"
    assert cache.fetch("a", make, refresh=True) == "value 4"
    assert cache.fetch("a", make) == "value 4"
    assert "value" not in repr(cache)


def test_what_make_raises_is_not_kept(clock):
    cache = Cache(clock)
    with pytest.raises(ZeroDivisionError):
        cache.fetch("a", lambda: 1 / 0)
    assert cache.fetch("a", lambda: ("good", 1)) == "good"


def test_what_is_about_to_expire_is_fetched_anew_by_one_while_the_others_go_on(clock):
    cache = Cache(clock)
    assert cache.fetch("a", lambda: ("old", 3600)) == "old"
    clock.now += 3299
    assert cache.fetch("a", lambda: 1 / 0) == "old"
    clock.now += 2

    def make():
        # Whoever comes while the new one is made.
        assert cache.fetch("a", lambda: 1 / 0) == "old"
        return "new", 3600

    assert cache.fetch("a", make) == "new"
    clock.now += 3000
    assert cache.fetch("a", lambda: 1 / 0) == "new"


def test_what_cannot_be_fetched_anew_yet_is_used_to_its_end(clock, caplog):
    cache, asked = Cache(clock, logging.getLogger("gateway.test")), []

    def fail():
        asked.append(clock.now)
        raise ChannelFailed("no token")

    cache.fetch("a", lambda: ("canary", 3600))
    clock.now += 3350
    for _ in range(3):
        assert [cache.fetch("a", fail) for _ in range(5)] == ["canary"] * 5
        clock.now += 10
    assert len(asked) == 3
    assert caplog.text.count("no token") == 3
    assert "canary" not in caplog.text
    clock.now += 221
    with pytest.raises(ChannelFailed, match="no token"):
        cache.fetch("a", fail)
    assert cache.fetch("a", lambda: ("new", 3600)) == "new"


def test_what_was_refused_is_not_used_to_its_end(clock):
    cache = Cache(clock)
    cache.fetch("a", lambda: ("old", 3600))
    with pytest.raises(ZeroDivisionError):
        cache.fetch("a", lambda: 1 / 0, refresh=True)
    assert cache.fetch("a", lambda: ("new", 3600)) == "new"


@pytest.mark.parametrize("fails", [False, True])
def test_many_at_once_ask_once(fails):
    cache, made, begun, go = Cache(), [], threading.Event(), threading.Event()

    def make():
        made.append(1)
        begun.set()
        go.wait(5)
        if fails:
            raise ChannelFailed("no token")
        return "token", 60

    found = []

    def fetch():
        try:
            found.append(cache.fetch("a", make))
        except ChannelFailed as error:
            found.append(str(error))

    threads = [threading.Thread(target=fetch) for _ in range(20)]
    threads[0].start()
    assert begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(5)
    # Whoever came after the failure tried again; nobody is given half a value.
    assert found == ["no token" if fails else "token"] * 20
    assert fails or made == [1]


# --- in a gateway ----------------------------------------------------------------------------------------

PLUGIN = '''
"""A vendor whose keys are exchanged for tokens."""

from dataclasses import dataclass

from gateway import JsonText, Provider, Secret, hookimpl, option


@dataclass(frozen=True, kw_only=True)
class ChannelOptions:
    realm: str = option("part of the address")
    tokens: str = option("where tokens are given", "https://tokens.test")
    most: int = option("a number", 3, least=1)
    pepper: Secret = option("a secret", Secret("none"))


@hookimpl
def register_providers(register):
    register(Provider("exchange", {"chat": "/${channel.options.realm}/chat"}, "https://${channel.options.realm}.test",
                      egress=("${channel.options.tokens}",)))


@hookimpl
def authorize(channel, key, request, tools, refresh):
    def make():
        answer = tools.http.request("POST", channel.options.tokens + "/t", body=key.reveal().encode())
        return JsonText.parse(answer.body)["token"], 60

    token = tools.cache.fetch("token", make, refresh=refresh)
    request.headers["authorization"] = f"Token {token} {request.headers.get('authorization')}"
    return True
'''
CHANNELS = """
plugins_dir: ./plugins
plugins: [exchange]
channels:
  - {name: main, provider: exchange, key: sk-canary, options: {realm: north%s}}
"""
CHAT = "https://north.test/north/chat"


@pytest.fixture(name="gateway")
def _gateway(tmp_path, client_of):
    """gateway(more options) -> a client of a gateway with the plugin above."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "exchange.py").write_text(PLUGIN)
    return lambda more="": client_of(CHANNELS % more)


def ask(client, sent):
    return sent(client, "/v1/chat/completions", b'{"model":"m"}')


def signed_with(network):
    return [call.request.headers["authorization"] for call in network.calls if call.request.url == CHAT]


def test_a_token_is_fetched_once_and_used(gateway, network, sent):
    client = gateway()
    network.post("https://tokens.test/t", json={"token": "t1"})
    network.post(CHAT, json={})
    assert [ask(client, sent).status_code for _ in range(2)] == [200, 200]
    assert signed_with(network) == ["Token t1 None"] * 2
    assert len(network.calls) == 3


def test_after_a_401_it_is_refreshed_exactly_once_inside_the_attempt(gateway, network, sent):
    client = gateway()
    network.post("https://tokens.test/t", json={"token": "old"})
    network.post("https://tokens.test/t", json={"token": "new"})
    network.post(CHAT, status=401, json={"error": {"message": "expired"}})
    network.post(CHAT, json={})
    answer = ask(client, sent)
    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "1")
    assert signed_with(network) == ["Token old None", "Token new None"]


def test_a_key_that_stays_refused_is_the_channels_failure(gateway, network, sent):
    client = gateway()
    network.post("https://tokens.test/t", json={"token": "t"})
    network.post(CHAT, status=401, json={"error": {"message": "no sk-canary"}})
    answer = ask(client, sent)
    assert answer.status_code == 502
    assert len(signed_with(network)) == 2
    assert b"sk-canary" not in answer.data


def test_what_nobody_named_is_not_reached(gateway, network, sent, tmp_path):
    (tmp_path / "plugins" / "exchange.py").write_text(PLUGIN.replace('egress=("${channel.options.tokens}",)', ""))
    answer = ask(gateway(), sent)
    assert (answer.status_code, answer.json["error"]["code"]) == (502, "egress_refused")
    assert not network.calls


def test_an_address_among_the_channels_options_may_be(gateway, network, sent, tmp_path):
    (tmp_path / "plugins" / "exchange.py").write_text(PLUGIN.replace('egress=("${channel.options.tokens}",)', ""))
    client = gateway(", tokens: 'https://other.test'")
    network.post("https://other.test/t", json={"token": "t"})
    network.post(CHAT, json={})
    assert ask(client, sent).status_code == 200


@pytest.mark.parametrize("more, complaint", [
    (", mots: 3", "unknown key 'mots', did you mean 'most'?"), (", most: 0", "expected at least 1"),
    (", most: x", "expected a whole number, found 'x'"), (", pepper: [hush]", "expected a secret"),
])  # fmt: skip
def test_options_are_checked(more, complaint, gateway):
    with pytest.raises(Exception) as caught:
        gateway(more)
    (line,) = caught.value.complaints
    assert f"channels.main.options{'.' + more.split()[1][:-1] if 'mots' not in more else ''}: {complaint}" in line
    assert "gateway.yaml:5: " in line
    assert "hush" not in line


def test_an_option_that_is_missing_is_said(client_of, gateway):
    gateway()
    with pytest.raises(Exception) as caught:
        client_of(CHANNELS.replace("realm: north%s", ""))
    assert "key 'realm' is missing (part of the address)" in str(caught.value)


def test_the_client_leaves_real_sockets_in_order(client_of, tmp_path, sent):
    """Over real connections: a token server that answers late is a timeout, not a hang."""
    listener = socket.create_server(("127.0.0.1", 0))
    (tmp_path / "plugins").mkdir()
    slow = PLUGIN.replace("body=key.reveal().encode())", "timeout=0.2)")
    (tmp_path / "plugins" / "exchange.py").write_text(slow)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = client_of(CHANNELS % f", tokens: '{address}'")
    began = time.monotonic()
    answer = ask(client, sent)
    assert (answer.status_code, answer.json["error"]["code"]) == (504, "upstream_timeout")
    assert time.monotonic() - began < 5
    listener.close()
