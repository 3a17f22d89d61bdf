"""Workers and masters that leave: what they had begun is finished, and what comes meanwhile is served by others."""

import os
import signal

import pytest
from live_cases import asking, reply_bytes, stream_events
from live_client import Client, Crowd
from live_gunicorn import Gunicorn
from live_servers import CLIENT_KEY, answers, children, end, until

pytestmark = pytest.mark.live

YAML = """
plugins: [{{call_log: {{format: text}}}}]
keys: [{{name: alice, key: "${{CLIENT_KEY}}"}}]
providers: {{scripted: {{dialects: [chat]}}}}
channels:
  - {{name: up, provider: scripted, models: [up], base_url: "{url}", key: "${{UPSTREAM_KEY}}"}}
  - {{name: echo, provider: echo, models: [echo]}}
"""
both_workers = pytest.mark.parametrize("kind", ["gevent", "gthread"])


@pytest.fixture(name="yaml")
def _yaml(upstream):
    return YAML.format(url=upstream.url)


@pytest.fixture(name="gunicorn")
def _gunicorn(tmp_path, yaml):
    started = []

    def start(kind, *options):
        started.append(Gunicorn(tmp_path, yaml, kind, *options))
        return started[-1]

    yield start
    end(*started)


@pytest.fixture(name="open_stream")
def _open_stream(upstream, clients):
    """open_stream(port) -> a stream that has begun; calling it lets the rest come, and checks every byte."""
    first, *others = stream_events("chat")

    def opened(port):
        client = clients(port).post("/v1/chat/completions", asking("chat", "up"))
        exchange = upstream.take()
        exchange.start().chunk(first)
        client.head().expect(first)

        def finish():
            with exchange:
                exchange.chunk(b"".join(others)).last_chunk()
            assert client.rest() == (b"".join(others), True)
            client.leave()

        return finish

    return opened


def call(port):
    """An ordinary call on a connection of its own."""
    with Client(port, timeout=8) as client:
        client.post("/v1/chat/completions", asking("chat", "echo", stream=False))
        assert client.head().status == 200
        assert client.rest()[1]


class Callers(Crowd):
    """Ordinary calls, one after the other in several threads, until the end of the `with`; none may fail."""

    def __init__(self, port, number=3):
        super().__init__(number)
        self._port = port
        self.served, self._failed = 0, []

    def _ask(self, number):
        while not self._over.is_set():
            try:
                call(self._port)
                self.served += 1
            except Exception as error:
                self._failed.append(error)

    def some(self, number=20):
        """Waits until so many more were served."""
        wanted = self.served + number
        until(lambda: self.served >= wanted, f"{number} calls served; failed: {self._failed[:3]}", 10)

    def __exit__(self, *error):
        super().__exit__(*error)
        assert self._failed == []


@both_workers
def test_recycled_workers_finish_their_streams_while_others_serve(kind, gunicorn, open_stream):
    """max_requests, with one worker: the next one is there long before the last stream of the old one ends."""
    server = gunicorn(kind, "--workers", "1", "--max-requests", "15", "--graceful-timeout", "30")
    streams = [open_stream(server.port) for _ in range(3)]
    with Callers(server.port) as callers:
        callers.some(60)
        server.logged("Autorestarting worker", times=2)
        streams.append(open_stream(server.port))  # on a later worker
        callers.some()
    for finish in streams:
        finish()
    call(server.port)
    until(lambda: len(children(server.pid)) == 1, "those that have finished are gone")


def test_those_that_leave_do_not_pile_up(gunicorn, open_stream):
    """However fast they are recycled: four that leave are replaced, a fifth is when one of them has gone."""
    server = gunicorn("gevent", "--workers", "1", "--max-requests", "2", "--graceful-timeout", "30")
    streams = [open_stream(server.port)]  # the fixture's look was the first request
    for number in range(2, 6):
        until(lambda number=number: len(children(server.pid)) == number, "one more worker")
        call(server.port)
        streams.append(open_stream(server.port))
    until(lambda: server.log().count("Autorestarting worker") == 5, "the fifth leaves too")
    assert len(children(server.pid)) == 5
    streams.pop(0)()
    call(server.port)
    for finish in streams:
        finish()


@both_workers
def test_a_worker_that_is_told_to_leave_is_replaced_at_once(kind, start, yaml, open_stream):
    gateway = start(yaml, workers=1, worker_class=kind)
    finish = open_stream(gateway.port)
    (old,) = gateway.workers()
    os.kill(old, signal.SIGTERM)
    until(lambda: len(gateway.workers()) == 2, "another worker")
    with Callers(gateway.port) as callers:
        callers.some()
    assert old in gateway.workers()
    finish()
    until(lambda: old not in gateway.workers(), "the old one is gone")
    assert len(gateway.workers()) == 1


@both_workers
def test_the_whole_end_with_all_workers_busy(kind, start, yaml, open_stream, upstream, clients):
    """SIGTERM: streams, calls that wait for their answer and a body that still comes are all finished."""
    gateway = start(yaml, workers=2, worker_class=kind)
    streams = [open_stream(gateway.port) for _ in range(6)]
    waiting = clients(gateway.port).post("/v1/chat/completions", asking("chat", "up", stream=False))
    asked = upstream.take()
    upload = clients(gateway.port).send(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: {CLIENT_KEY}\r\n"
        "Content-Type: application/json\r\nContent-Length: 15\r\n\r\n".encode() + b'{"model":'
    )
    call(gateway.port)  # whoever took the upload has begun to read it
    gateway.signal(signal.SIGTERM)
    until(lambda: not answers(gateway.port), "no new connections")
    upload.send(b'"up" }')
    with upstream.take() as exchange:
        exchange.reply(reply_bytes("chat", stream=False))
    with asked:
        asked.reply(reply_bytes("chat", stream=False))
    for client in (upload, waiting):
        assert client.head().status == 200
        assert client.rest()[1]
        client.leave()
    assert gateway.running()
    for finish in streams:
        finish()
    assert gateway.exited(5) == 0


def test_a_kept_connection_gets_one_more_answer(start, yaml, open_stream, clients):
    """nginx keeps connections, and may send a call on one at the moment at which the worker is told to leave."""
    gateway = start(yaml)
    kept = clients(gateway.port).post("/v1/chat/completions", asking("chat", "echo", stream=False)).head()
    assert kept.rest()[1]
    finish = open_stream(gateway.port)
    gateway.signal(signal.SIGTERM)
    until(lambda: not answers(gateway.port), "no new connections")
    kept.post("/v1/chat/completions", asking("chat", "echo", stream=False))
    assert kept.head().status == 200
    assert kept.rest()[1]
    assert kept.headers["connection"] == "close"
    assert kept.ended()
    finish()
    assert gateway.exited(5) == 0


@pytest.mark.parametrize("how", ["gateway", "gunicorn"])
def test_a_rolling_restart(how, start, gunicorn, yaml, open_stream):
    """SIGUSR2 starts a second master on the same sockets; SIGTERM lets the first one finish its streams."""
    server = start(yaml, workers=2) if how == "gateway" else gunicorn("gevent", "--workers", "2")
    streams = [open_stream(server.port) for _ in range(4)]
    old = set(children(server.pid))
    with Callers(server.port) as callers:
        server.signal(signal.SIGUSR2)
        (master,) = until(lambda: set(children(server.pid)) - old, "another master")
        try:
            until(lambda: len(children(master)) == 2, "its workers")
            callers.some()
            server.signal(signal.SIGTERM)
            callers.some()
            assert server.running()
            for finish in streams:
                finish()
            callers.some()
            assert server.exited(25) == 0
            callers.some()
        finally:
            os.kill(master, signal.SIGTERM if callers.served else signal.SIGKILL)
            callers._over.set()
