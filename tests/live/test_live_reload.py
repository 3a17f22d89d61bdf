"""Another configuration takes over while calls run; workers come and go; nothing is dropped."""

import os
import re
import signal
import threading
import time
import uuid

import pytest
from live_cases import asking, reply_bytes, stream_events
from live_client import Client
from live_servers import UPSTREAM_KEY, until

pytestmark = pytest.mark.live

YAML = """
plugins: [{{call_log: {{format: text}}}}]
watch: {watch}
keys: [{{name: alice, key: "${{CLIENT_KEY}}"}}]
providers: {{scripted: {{dialects: [chat]}}}}
channels:
  - {{name: {name}, provider: scripted, base_url: "{url}", key: "${{UPSTREAM_KEY}}"}}
"""
BROKEN = "watch: true\nchannels:\n  - {name: new, provider: scriptd, wieght: 3}\n"


@pytest.fixture(name="say")
def _say(upstream, spare):
    """say(name) -> a configuration whose one channel is `old` (the first upstream) or `new`."""
    urls = {"old": upstream.url, "new": spare.url}
    return lambda name, watch=False: YAML.format(name=name, url=urls[name], watch=str(watch).lower())


def channel_of(gateway):
    with Client(gateway.port) as client:
        client.post("/v1/chat/completions", asking("chat", "m", stream=False)).head()
        assert client.rest()[1]
        return client.headers["x-gateway-channel"]


def reload(gateway, text, log=r"configuration reloaded", times=1):
    gateway.config.write_text(text)
    gateway.signal(signal.SIGHUP)
    gateway.logged(log, times)


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_a_reload_drops_nothing(kind, start, say, upstream, spare, clients):
    gateway = start(say("old"), workers=2, worker_class=kind)
    workers = sorted(gateway.workers())
    for each in (upstream, spare):
        each.answer(lambda exchange: exchange.reply(reply_bytes("chat", stream=False)))
    first, *others = stream_events("chat")
    streams = []
    upstream.answer(None)
    for _ in range(12):  # on both workers, surely
        client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "m"))
        exchange = upstream.take()
        exchange.start().chunk(first)
        client.head().expect(first)
        streams.append((client, exchange))
    upstream.answer(lambda exchange: exchange.reply(reply_bytes("chat", stream=False)))

    served, failed, over = [], [], threading.Event()

    def call():
        while not over.is_set():
            began = time.monotonic()
            try:
                served.append((began, channel_of(gateway)))
            except Exception as error:
                failed.append(error)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        for number, name in enumerate(["new", "old", "new", "old", "new"], 1):
            reload(gateway, say(name), times=2 * number)
            assert channel_of(gateway) == name
            behind, now = len(served), time.monotonic()
            until(lambda behind=behind: len(served) > behind + 20, "calls are served")
            assert {channel for began, channel in served if began > now} == {name}
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert failed == []
    for client, exchange in streams:  # on the configuration that they began with
        with exchange:
            exchange.chunk(b"".join(others)).last_chunk()
        assert client.rest() == (b"".join(others), True)
        assert client.headers["x-gateway-channel"] == "old"
    assert sorted(gateway.workers()) == workers


def test_a_bad_file_is_refused_and_the_old_one_stays(start, say, upstream, spare):
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    spare.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    gateway = start(say("old"))
    for text, complaint in [
        (BROKEN, r"gateway\.yaml:3: .*'wieght', did you mean 'weight'"),
        ("channels: [", r"gateway\.yaml:\d: not YAML"),
        ("", r"gateway\.yaml:\d+: .*channels"),
        (say("new").replace("UPSTREAM_KEY", "NOT_SET"), "'NOT_SET' is not set"),
    ]:
        reload(gateway, text, complaint)
        assert channel_of(gateway) == "old"
    gateway.config.unlink()
    gateway.signal(signal.SIGHUP)
    gateway.logged("cannot be read")
    assert channel_of(gateway) == "old"
    reload(gateway, say("new"))
    assert channel_of(gateway) == "new"
    assert UPSTREAM_KEY not in gateway.log()


def test_a_key_is_taken_away(start, say, upstream, clients):
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    gateway = start(say("old"))
    assert channel_of(gateway) == "old"
    reload(gateway, say("old").replace("${CLIENT_KEY}", "another-key"))
    client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "m"))
    assert client.head().status == 401
    assert client.json()["error"]["code"] == "invalid_api_key"
    client.post("/v1/chat/completions", asking("chat", "m", stream=False), x_api_key="another-key")
    assert client.head().status == 200


def test_a_watched_file_is_reloaded_by_itself(start, say, upstream, spare):
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    spare.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    gateway = start(say("old", watch=True))
    gateway.config.write_text(BROKEN)
    gateway.logged("did you mean 'weight'")
    assert channel_of(gateway) == "old"
    fresh = gateway.config.with_suffix(".new")  # exchanged as editors and deployments do
    fresh.write_text(say("new", watch=True))
    fresh.rename(gateway.config)
    gateway.logged("configuration reloaded")
    assert channel_of(gateway) == "new"


def test_an_unwatched_file_is_not(start, say, upstream):
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    gateway = start(say("old"))
    gateway.config.write_text(BROKEN)
    with pytest.raises(AssertionError, match="not within"):
        until(lambda: "weight" in gateway.log(), "a complaint", 2.2)
    assert channel_of(gateway) == "old"


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_a_killed_worker_is_replaced_even_while_the_file_is_broken(kind, start, say, upstream, spare):
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    spare.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    gateway = start(say("old"), worker_class=kind)
    reload(gateway, say("new"))
    (worker,) = gateway.workers()
    gateway.config.write_text(BROKEN)
    os.kill(worker, signal.SIGKILL)
    gateway.logged("going on with the last good one")
    gateway.staffed(1)
    assert channel_of(gateway) == "new"
    reload(gateway, say("old"), times=2)
    assert channel_of(gateway) == "old"


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_the_end_waits_for_open_streams(kind, start, say, upstream, clients):
    gateway = start(say("old"), worker_class=kind)
    first, *others = stream_events("chat")
    client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "m"))
    silent = clients(gateway.port).post("/v1/chat/completions", asking("chat", "m", stream=False))
    exchanges = sorted([upstream.take(), upstream.take()], key=lambda exchange: b'"stream": true' not in exchange.body)
    with exchanges[0] as streaming, exchanges[1] as waiting:
        streaming.start().chunk(first)
        client.head().expect(first)
        gateway.signal(signal.SIGTERM)
        until(lambda: refuses(gateway.port), "no new connections")
        for event in others:
            assert gateway.running()
            streaming.chunk(event)
            client.expect(event)
        streaming.last_chunk()
        assert client.rest() == (b"", True)
        client.leave()
        assert gateway.running()
        waiting.reply(b'{"a":1}')
        assert silent.head().rest() == (b'{"a":1}', True)
        silent.leave()
    assert gateway.exited(5) == 0


def refuses(port):
    try:
        Client(port, timeout=1).leave()
        return False
    except OSError:
        return True


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_the_end_does_not_wait_for_ever(kind, start, say, upstream, clients):
    name = f"endless-{uuid.uuid4()}"
    gateway = start(say("old"), worker_class=kind, options=["--graceful-timeout", "1"])
    client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "m"), x_request_id=name)
    first = stream_events("chat")[0]
    with upstream.take() as exchange:
        exchange.start().chunk(first)
        client.head().expect(first)
        gateway.signal(signal.SIGTERM)
        assert client.rest()[1] is False
        assert gateway.exited(8) == 0
        assert exchange.left_within(1)


def test_a_second_worker_takes_what_a_killed_one_leaves(start, say, upstream, clients):
    upstream.answer(lambda exchange: exchange.reply(b'{"a":1}'))
    gateway = start(say("old"), workers=2)
    workers = gateway.workers()
    os.kill(workers[0], signal.SIGKILL)
    for _ in range(20):
        assert channel_of(gateway) == "old"
    gateway.staffed(2)
    assert workers[0] not in gateway.workers()
    assert re.search(rf"Worker \(pid:{workers[0]}\) was sent SIGKILL", gateway.log())
