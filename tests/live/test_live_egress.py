"""With all that leaves the gateway in use: it connects to what `gateway egress` lists, and to nothing else,
whatever the environment, clients and those it asks would have it do."""

import pytest
from live_servers import until
from live_upstream import Upstream

from tests.state_servers import RedisServer

pytestmark = pytest.mark.live

# Python tells of every connection that is about to be made; the places are written down.
SPY = """
import os
import sys

from gateway import hookimpl

places = open(os.environ["PLACES"], "a", buffering=1)

def told(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        places.write(f"{arguments[1][0]}:{arguments[1][1]}\\n")

sys.addaudithook(told)

@hookimpl
def after_call():
    pass
"""
YAML = """
state: ${REDIS}/0
store: sqlite:///gateway.db
plugins_dir: .
plugins:
  - spy
  - cache: {store: "${REDIS}/1"}
  - webhook: {url: "${EVENTS}/events", every: 0.1, tries: 1}
  - otel: {endpoint: "${TRACES}/traces", every: 0.1}
  - jwt: {issuer: "${ISSUER}", audience: [gateway]}
keys: [{name: tester, key: "${CLIENT_KEY}"}]
channels:
  - {name: up, provider: openai, key: k, base_url: "${UP}", models: [up]}
  - {name: bytes, provider: google, key: k, base_url: "${UP}", models: [bytes], fetch: ["${MEDIA}"]}
"""
PATH = "/v1/chat/completions"
TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.c2ln"
USED = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":7,"completion_tokens":3}}'
ASIDE = ("EVENTS", "TRACES", "ISSUER")


def picture(url):
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"model": "bytes", "messages": [{"role": "user", "content": [part]}]}


@pytest.fixture(name="trap")
def _trap():
    """Where nothing may ever connect to."""
    trap = Upstream()
    yield trap
    trap.stop()


@pytest.fixture(name="places")
def _places(trap):
    """name -> a server; those aside from calls try to send the gateway on to the trap."""
    places = {name: Upstream() for name in ("UP", "MEDIA", *ASIDE)}
    places["UP"].answer(lambda exchange: exchange.reply(USED))
    for name in ASIDE:
        places[name].answer(
            lambda exchange: exchange.reply(b"", f"Location: {trap.url}/", status="307 Temporary Redirect")
        )
    yield places
    for place in places.values():
        place.stop()


@pytest.fixture(name="environment")
def _environment(places, trap, tmp_path):
    """What a configuration and a spiteful environment say."""
    (tmp_path / "spy.py").write_text(SPY)
    proxies = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    elsewhere = dict.fromkeys([*proxies, "OTEL_EXPORTER_OTLP_ENDPOINT"], trap.url) | {"NO_PROXY": "", "no_proxy": ""}
    return elsewhere | {name: place.url for name, place in places.items()} | {"PLACES": str(tmp_path / "places")}


def test_it_connects_to_what_is_listed_and_nowhere_else(start, clients, run_gateway, places, trap, environment,
                                                        tmp_path, monkeypatch):  # fmt: skip
    with RedisServer(tmp_path) as redis:
        environment["REDIS"] = redis.url.rpartition("/")[0]
        gateway = start(YAML, environment=environment)
        asked = clients(gateway.port)
        for given, body, status in (
            ({}, {"model": "up", "messages": [], "temperature": 0}, 200),
            ({}, picture(f"{trap.url}/x.png"), 400),  # not named
            ({}, picture(f"{places['MEDIA'].url}/x.png"), 400),  # named, but not public
            ({"x_api_key": None, "authorization": f"Bearer {TOKEN}"}, {"model": "up", "messages": []}, 503),
        ):  # fmt: skip
            assert asked.post(PATH, body, **given).head().status == status, asked.rest()
            asked.rest()
        for name in ASIDE:
            until(lambda name=name: places[name].exchanges, f"a request to {name}")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        listed = {line.split()[0] for line in run_gateway("egress", "--config", gateway.config).splitlines()}
    connected = set((tmp_path / "places").read_text().split())
    media = f"127.0.0.1:{places['MEDIA'].port}"
    assert media in listed
    assert connected == listed - {media}
    assert trap.connections == 0
