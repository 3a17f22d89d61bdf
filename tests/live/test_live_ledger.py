"""Every call leaves its row, exactly once, with the upstream's own numbers: whoever is killed, and while
the database is away."""

import collections
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
from live_client import Client
from live_servers import CLIENT_KEY, OTHER_KEY, until

from gateway.ledger.spool import size_of, workers
from gateway.ledger.starting import is_kept
from tests.ledger_cases import days_in, rows_of, store_at, sums_of
from tests.state_servers import Postgres

pytestmark = pytest.mark.live

PATH = "/v1/chat/completions"
CALLS = int(os.environ.get("LEDGER_CALLS", "300"))
CLIENTS = 16
KILLS = int(os.environ.get("LEDGER_KILLS", "4"))
AWAY = float(os.environ.get("LEDGER_AWAY", "1"))  # least seconds without the database
YAML = """
store: "${STORE}"
plugins_dir: ./plugins
plugins: [{ledger: {spool: spool, interval: 0.1}}]
teams: [{name: search}]
keys:
  - {name: alice, team: search, key: "${CLIENT_KEY}"}
  - {name: bob, key: "${OTHER_KEY}"}
channels:
  - {name: up, provider: counting, key: "${UPSTREAM_KEY}", models: [{gpt: gpt-1}], base_url: "${UP}"}
"""
# The usage as this upstream says it, whatever else of the gateway reads it.
PLUGIN = """
from gateway import Provider, Usage, hookimpl

@hookimpl
def register_providers(register):
    register(Provider("counting", {"chat": ""}, auth="bearer"))

@hookimpl
def read_usage(document):
    told = document.get("usage")
    return Usage(told["prompt_tokens"], told["completion_tokens"], source="upstream") if told else None
"""


@pytest.fixture(scope="module", name="postgres")
def _postgres(tmp_path_factory):
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(name="ledger", params=["sqlite"])
def _ledger(request, tmp_path):
    """The store that a gateway will keep its ledger in."""
    kind = request.param
    server = request.getfixturevalue("postgres") if kind == "postgresql" else None
    store = store_at(kind, tmp_path, lambda: server)
    store.server = server
    store.url = store._engine.url.render_as_string(hide_password=False) if server else "sqlite:///ledger.db"
    yield store
    store.close()


@pytest.fixture(name="gateway_of")
def _gateway_of(start, tmp_path, upstream, ledger):
    """gateway_of(**options) -> a gateway with that ledger. Its bookkeeper ends before the test does."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "counting.py").write_text(PLUGIN)
    started = []

    def gateway_of(yaml=YAML, **options):
        environment = {"STORE": ledger.url, "UP": upstream.url, "OTHER_KEY": OTHER_KEY}
        started.append(start(yaml, workers=2, environment=environment, **options))
        until(lambda: is_kept(tmp_path / "spool"), "a bookkeeper")
        return started[-1]

    yield gateway_of
    for gateway in started:
        gateway.stop()
    for pid in bookkeepers(tmp_path):
        os.kill(pid, signal.SIGTERM)
    until(lambda: not bookkeepers(tmp_path), "the bookkeeper's end")


def bookkeepers(folder):
    """The process ids of those that keep the books of a spool in *folder*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if "bookkeeper" in words and str(folder / "spool") in words:
            found.append(int(path.parent.name))
    return found


class Vendor:
    """Answers every call, and writes down what it did: request id -> (tokens read, written, whether it
    wrote to the end)."""

    def __init__(self, pause=0.0):
        self.log = {}
        self._pause = pause
        self._numbers = random.Random(5)

    def __call__(self, exchange):
        asked = json.loads(exchange.body)
        name = exchange.headers["x-request-id"]
        read, wrote = self._numbers.randrange(1, 10**6), self._numbers.randrange(1, 10**5)
        self.log[name] = read, wrote, False
        usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
        if asked["stream"]:
            exchange.start()
            for _ in range(4):
                exchange.chunk(b'data: {"choices":[{"delta":{"content":"w"}}]}\n\n')
                time.sleep(self._pause)
            last = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage}
            exchange.chunk(b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n").last_chunk()
        else:
            time.sleep(self._pause)
            message = {"message": {"role": "assistant", "content": "w"}, "finish_reason": "stop"}
            exchange.reply(json.dumps({"choices": [message], "usage": usage}).encode())
        self.log[name] = read, wrote, True


def body(stream=False):
    return {"model": "gpt", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}


def ask(gateway, name, stream=False, key=CLIENT_KEY):
    """(status, whether the whole reply came) of one call with that request id."""
    with Client(gateway.port) as client:
        client.post(PATH, body(stream), x_request_id=name, x_api_key=key).head()
        data, whole = client.rest()
        return client.status, whole and (not stream or b"[DONE]" in data)


def is_streamed(name):
    """Two of three are."""
    return int(name.rpartition("-")[2]) % 3 > 0


def ask_many(gateway, names):
    """Asks them all with CLIENTS clients: (a thread to join, the names of the calls that were answered whole)."""
    waiting, whole = collections.deque(names), set()

    def work():
        while True:
            try:
                name = waiting.popleft()
            except IndexError:
                return
            try:
                if ask(gateway, name, stream=is_streamed(name)) == (200, True):
                    whole.add(name)
            except (OSError, AssertionError, ValueError):
                continue  # cut by a kill

    threads = [threading.Thread(target=work, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()

    return threads, whole


def by_request(store):
    return {row["request_id"]: row for row in rows_of(store).values()}


@pytest.mark.parametrize(
    ("ledger", "worker_class"), [("sqlite", "gthread"), ("postgresql", "gevent")], indirect=["ledger"]
)
def test_the_ledger_equals_the_upstreams_own_log(gateway_of, ledger, worker_class, upstream, tmp_path):
    """Workers are killed at random, the bookkeeper, too, and the database goes away for a while."""
    vendor, seed = Vendor(0.01), random.Random(1)
    upstream.answer(vendor)
    gateway = gateway_of(worker_class=worker_class)
    names = [f"call-{number}" for number in range(CALLS)]
    threads, whole = ask_many(gateway, names)
    for kill in range(1, KILLS + 1):
        until(lambda: len(vendor.log) >= kill * CALLS // (KILLS + 1), "calls", 120)  # noqa: B023
        os.kill(seed.choice(gateway.workers()), signal.SIGKILL)
        if kill == KILLS // 2 and ledger.server is not None:
            ledger.server.stop()
            stopped = time.monotonic()
        if kill == KILLS // 2 + 1:
            for pid in bookkeepers(tmp_path):
                os.kill(pid, signal.SIGKILL)
    for thread in threads:  # nobody waits for the database
        thread.join()
    if ledger.server is not None:
        time.sleep(max(0.0, stopped + AWAY - time.monotonic()))
        ledger.server.start()
    gateway.staffed(2)

    until(lambda: set(vendor.log) <= set(by_request(ledger)), "all rows", 60)
    check(ledger, vendor, whole)


def check(ledger, vendor, whole):
    rows = rows_of(ledger)
    assert len(rows) == len({row["request_id"] for row in rows.values()}), "a call has one row"
    rows = by_request(ledger)
    outcomes = collections.Counter(row["error"] or row["outcome"] for row in rows.values())
    # A stream is accounted for before its last chunk leaves. Between a whole reply's last byte and its row a worker
    # may be killed, with as many calls as it had.
    robbed = [name for name in whole if rows[name]["error"] == "worker_lost"]
    assert not [name for name in robbed if is_streamed(name)]
    assert len(robbed) <= KILLS * CLIENTS
    for name in whole - set(robbed):
        row, (read, wrote, ended) = rows[name], vendor.log[name]
        assert ended
        assert (row["outcome"], row["input"], row["output"], row["source"]) == ("complete", read, wrote, "upstream")
        assert (row["key"], row["team"], row["channel"], row["provider"]) == ("alice", "search", "up", "counting")
        assert (row["public_model"], row["upstream_model"], row["attempts"]) == ("gpt", "gpt-1", 1)
    for name, row in rows.items():
        if row["error"] == "worker_lost":
            assert (row["outcome"], row["cost"], row["output"]) == ("failed", None, None), name
    assert len(whole) > CALLS / 2, outcomes
    assert outcomes["worker_lost"] >= 1, outcomes
    assert days_in(ledger) == sums_of(rows.values())


def test_every_ending_has_its_row(gateway_of, ledger, upstream):
    vendor = Vendor()
    upstream.answer(vendor)
    gateway = gateway_of()
    assert ask(gateway, "whole") == (200, True)
    assert ask(gateway, "streamed", stream=True) == (200, True)
    assert ask(gateway, "whole", key=OTHER_KEY) == (200, True)  # the same id, and another call
    with Client(gateway.port) as client:
        client.post(PATH, {"model": "no-such-model"}, x_request_id="unknown").head()
        assert client.status == 404
    upstream.answer(lambda exchange: exchange.reply(b'{"error":{"message":"no"}}', status="400 Bad"))
    assert ask(gateway, "refused")[0] == 400
    upstream.answer(lambda exchange: exchange.start().chunk(b'data: {"choices":[{"delta":{}}]}\n\n').reset())
    assert ask(gateway, "cut", stream=True) == (200, False)
    until(lambda: len(rows_of(ledger)) == 6, "six rows")
    rows = list(rows_of(ledger).values())
    found = {(row["request_id"], row["key"]): (row["outcome"], row["status"], row["channel"]) for row in rows}
    assert found == {
        ("whole", "alice"): ("complete", 200, "up"),
        ("whole", "bob"): ("complete", 200, "up"),
        ("streamed", "alice"): ("complete", 200, "up"),
        ("unknown", "alice"): ("refused", 404, ""),
        ("refused", "alice"): (found["refused", "alice"][0], 400, "up"),
        ("cut", "alice"): ("truncated", 200, "up"),
    }
    assert {row["cost"] for row in rows if row["request_id"] in ("unknown", "refused")} == {0}
    for key, name, calls, unpriced in ((CLIENT_KEY, "alice", 5, 3), (OTHER_KEY, "bob", 1, 1)):
        shown = own_usage(gateway, key)
        mine = [row for row in rows if row["key"] == name]
        assert (shown["key"], shown["month"]["calls"], shown["month"]["unpriced"]) == (name, calls, unpriced)
        assert shown["today"]["input"] == shown["month"]["input"] == sum(row["input"] or 0 for row in mine)
        assert {row["model"] for row in shown["models"]} == {row["public_model"] for row in mine}
    with Client(gateway.port) as client:
        assert client.ask("GET", "/v1/usage", x_api_key=None).head().status == 401


def own_usage(gateway, key):
    """What a key is told of itself."""
    with Client(gateway.port) as client:
        shown = client.ask("GET", "/v1/usage", x_api_key=key).head().json()
        assert (client.status, client.headers["cache-control"]) == (200, "no-store")
        return shown


def test_one_bookkeeper_at_a_time_as_long_as_a_worker_lives(gateway_of, upstream, ledger, tmp_path):
    upstream.answer(Vendor())
    gateway = gateway_of()
    (first,) = until(lambda: bookkeepers(tmp_path), "a bookkeeper")
    os.kill(first, signal.SIGKILL)
    assert ask(gateway, "meanwhile") == (200, True)
    until(lambda: [pid for pid in bookkeepers(tmp_path) if pid != first], "another")
    until(lambda: len(rows_of(ledger)) == 1, "the row")
    assert len(bookkeepers(tmp_path)) == 1
    for number in range(20):
        ask(gateway, f"call-{number}")
    gateway.signal(signal.SIGTERM)
    gateway.exited()
    until(lambda: not bookkeepers(tmp_path), "the bookkeeper's end")
    assert len(by_request(ledger)) == 21
    assert size_of(tmp_path / "spool") == 0


def test_a_reload_loses_no_call_and_leaves_no_open_spool(gateway_of, upstream, ledger, tmp_path):
    gateway = gateway_of()
    with Client(gateway.port) as client:
        client.post(PATH, body(), x_request_id="under-way")
        exchange = upstream.take()
        gateway.signal(signal.SIGHUP)
        gateway.logged("configuration reloaded", times=2)
        exchange.reply(b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}').close()
        assert client.head().status == 200
        client.rest()
    upstream.answer(Vendor())
    assert ask(gateway, "behind") == (200, True)
    until(lambda: set(by_request(ledger)) == {"under-way", "behind"}, "both rows")
    assert by_request(ledger)["under-way"]["input"] == 3
    until(lambda: len(workers(tmp_path / "spool")) == 2, "the end of the old spools")
