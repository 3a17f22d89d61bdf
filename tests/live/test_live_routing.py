"""Upstreams that fail in every way: no client notices while a good one is left, and what the gateway
says it did is what the upstreams saw. ROUTING_SECONDS=60 makes the storm as long as that."""

import collections
import json
import os
import random
import re
import signal
import threading
import time

import pytest
from live_client import Crowd
from live_servers import free_port, until
from live_upstream import Upstream
from state_servers import RedisServer

pytestmark = pytest.mark.live

PATH = "/v1/chat/completions"
SECONDS = float(os.environ.get("ROUTING_SECONDS", "12"))
REPLY = b'{"choices":[{"message":{"role":"assistant","content":"well"},"finish_reason":"stop"}]}'
EVENT = b'data: {"choices":[{"delta":{"content":"well"}}]}\n\n'
ENDING = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def asked(marker="", stream=False):
    return {"model": "m", "stream": stream, "messages": [{"role": "user", "content": marker or "hi"}]}


def well(exchange):
    if json.loads(exchange.body)["stream"]:
        exchange.stream(EVENT + ENDING)
    else:
        exchange.reply(REPLY)


def stall(exchange):
    exchange.left_within(3)


def error(status, *headers):
    return lambda exchange: exchange.reply(b'{"error":{"message":"told to"}}', *headers, status=f"{status} Told")


def cut(exchange):
    """Breaks after its first event, where it streams; before the end of its reply, where not."""
    if json.loads(exchange.body)["stream"]:
        exchange.start().chunk(EVENT)
    else:
        exchange.start(framing=f"Content-Length: {len(REPLY)}", kind="application/json").send(REPLY[:20])
    exchange.close()


def stall_after(exchange):
    """Like a cut, but the connection stays."""
    if json.loads(exchange.body)["stream"]:
        exchange.start().chunk(EVENT)
    else:
        exchange.start(framing=f"Content-Length: {len(REPLY)}", kind="application/json").send(REPLY[:20])
    exchange.left_within(5)
    exchange.close()


REFUSE = "refuse"
_NOBODY = ("upstream_unreachable", "stale_connection")
FAILURES = {
    REFUSE: lambda exchange: exchange.close(),  # of those whose connection was there already
    "reset": lambda exchange: exchange.reset(),
    "closed": lambda exchange: exchange.close(),
    "stall before the first event": stall,
    "stall after the first event": stall_after,
    "429": error(429),
    "429 for a second": error(429, "Retry-After: 1"),
    "500": error(500),
    "503 for a second": error(503, "Retry-After: 1"),
    "529": error(529),
    "401": error(401),
    "a page": lambda exchange: exchange.reply(b"<html>busy</html>", kind="text/html"),
    "nothing": lambda exchange: exchange.reply(b""),
    "an error as first event": lambda exchange: exchange.stream(b'data: {"error":{"message":"no","code":500}}\n\n'),
    "cut": cut,
}


@pytest.fixture(name="ups")
def _ups():
    four = [Upstream() for _ in range(4)]
    yield four
    for upstream in four:
        upstream.stop()


def yaml_of(upstreams, more="", each=""):
    channels = "".join(
        f"  - {{name: up{i}, provider: openai, keys: [up-a, up-b], models: [m], base_url: '{u.url}'{each}}}\n"
        for i, u in enumerate(upstreams)
    )
    keys = "keys: [{name: tester, key: '${CLIENT_KEY}', show_route: true}]"
    return f"{more}\nplugins: [{{call_log: {{format: text}}}}]\n{keys}\nchannels:\n{channels}"


class Storm(Crowd):
    """Clients that ask as fast as they can; what they were told, by the marker of each call."""

    def __init__(self, clients, port, workers=32):
        super().__init__(workers)
        self.told = {}
        self._clients, self._port = clients, port

    def _ask(self, number):
        client, count = self._clients(self._port), 0
        while not self._over.is_set():
            count += 1
            marker, stream = f"call-{number}-{count}", bool(count % 2)
            client.post(PATH, asked(marker, stream)).head()
            body, complete = client.rest()
            self.told[marker] = client.status, dict(client.headers), body, complete
            if not complete:
                client.leave()
                client = self._clients(self._port)


def by_marker(ups):
    """marker -> the channels whose upstreams got that call, each as often as it did."""
    seen = collections.defaultdict(collections.Counter)
    for number, upstream in enumerate(ups):
        for exchange in upstream.exchanges:
            seen[json.loads(exchange.body)["messages"][0]["content"]][f"up{number}"] += 1
    return seen


def test_a_storm_of_failures_reaches_no_client_while_one_channel_is_well(ups, start, clients):
    more = "routing: {retries: 9}\nhealth: {trips: 4, cool_down: 0.2, longest: 1}"
    gateway = start(yaml_of(ups, more, ", timeout: {connect: 1, first_event: 1, idle: 1.5, total: 20}"), workers=2)
    chance = random.Random(4)
    for upstream in ups:
        upstream.answer(well)
    names, pauses = list(FAILURES), threading.Event()
    with Storm(clients, gateway.port) as storm:
        began, turn = time.monotonic(), 0
        while (passed := time.monotonic() - began) < SECONDS:
            # Who is well changes now and then; both are for a while, so that no call meets neither.
            # A call that meets three stalls and a rest takes five seconds; less patience than a second is none
            # with upstreams that share a busy machine.
            good = {int((passed + 12) / 14) % 4, int((passed + 5) / 14) % 4}  # the next from 2 s on, alone from 9 s on
            for i, upstream in enumerate(ups):
                kind = names[(turn + i) % len(names)] if turn < len(names) else chance.choice(names)
                upstream.answer(well if i in good else FAILURES[kind])
                if i not in good and kind == REFUSE:
                    upstream.refuse()
                else:
                    upstream.be_here()
            turn += 1
            pauses.wait(0.3)
        for upstream in ups:
            upstream.answer(well)
            upstream.be_here()
    assert len(storm.told) > 100
    seen, refused = by_marker(ups), 0
    for marker, (status, headers, body, complete) in storm.told.items():
        route = re.findall(r"(up\d)#(\d):([\w.-]+)/", headers.get("x-gateway-route", ""))
        assert status == 200, f"{marker}: {headers.get('x-gateway-route')} {body}"
        asked_once = [each[:2] for each in route if each[2] != "stale_connection"]
        assert len(set(asked_once)) == len(asked_once), "no channel and key twice"
        assert route[-1][2] == "ok"
        if not complete:  # cut after the first event: nobody else was asked any more
            assert b"error" in body
        expected = collections.Counter(channel for channel, _, outcome in route)
        assert seen[marker] <= expected, (marker, route)
        # Whoever refused the connection has not seen the call; all others have.
        unseen = expected - seen[marker]
        nobody = collections.Counter(channel for channel, _, outcome in route if outcome in _NOBODY)
        assert unseen <= nobody, (marker, route)
        refused += unseen.total()
    assert refused
    gateway.logged(r"outcome=complete", times=sum(1 for told in storm.told.values() if told[3]))


def test_a_trip_is_seen_by_all_within_a_second(ups, start, clients, tmp_path):
    bad, good = ups[:2]
    bad.answer(error(500))
    good.answer(well)
    with RedisServer(tmp_path) as redis:
        more = f"state: '{redis.url}'\nhealth: {{trips: 12, cool_down: 30}}"
        yaml = yaml_of([bad, good], more).replace("name: up0,", "name: up0, priority: 1,")
        one, two = (start(yaml, workers=2, name=f"machine-{n}") for n in (1, 2))
        client, other = clients(one.port), clients(two.port)
        while "up0" in client.post(PATH, asked()).head().headers["x-gateway-route"]:
            client.rest()
        tripped = time.monotonic()
        before = len(bad.exchanges)
        client.rest()
        late = []
        while time.monotonic() < tripped + 1.5:
            began = time.monotonic()
            if "up0" in other.post(PATH, asked()).head().headers["x-gateway-route"] and began > tripped + 1:
                late.append(began - tripped)
            other.rest()
        assert not late
        assert before >= 12


@pytest.mark.parametrize("kept_in", ["sqlite", "redis"])
def test_concurrency_holds_across_workers_and_machines_and_the_dead_give_back(kept_in, ups, start, clients, tmp_path):
    upstream = ups[0]
    lock, now, most, held = threading.Lock(), [0], [0], threading.Event()

    def count(exchange):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        held.wait(0.03)
        with lock:
            now[0] -= 1
        well(exchange)

    upstream.answer(count)
    redis = RedisServer(tmp_path) if kept_in == "redis" else None
    state = redis.url if redis else f"sqlite:///{tmp_path}/state.db"
    yaml = yaml_of([upstream], f"state: '{state}'\nrouting: {{queue: 30}}", ", limits: {concurrency: 4}")
    gateways = [start(yaml, workers=2, name=f"machine-{n}") for n in (1, 2)]
    told = []

    def ask(number):
        client = clients(gateways[number % 2].port, timeout=40)
        for _ in range(4):
            told.append(client.post(PATH, asked()).head().status)
            client.rest()

    def all_of(count):
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    all_of(16)
    assert told == [200] * 64, gateways[0].log()[-3000:]
    assert most[0] == 4
    # Four calls hold all places in one machine's workers, which die without a word.
    upstream.answer(None)
    stuck = [clients(gateways[0].port) for _ in range(4)]
    for client in stuck:
        client.post(PATH, asked(stream=True))
        upstream.take().start().chunk(EVENT)
        client.head().expect(EVENT)
    upstream.answer(well)
    killed = time.monotonic()
    for pid in gateways[0].workers():
        os.kill(pid, signal.SIGKILL)
    client = clients(gateways[1].port, timeout=40)
    assert client.post(PATH, asked()).head().status == 200
    assert time.monotonic() - killed < 10
    for gateway in gateways:
        gateway.stop()
    if redis:
        redis.stop()


def test_a_channel_is_rested_and_woken_by_hand(ups, start, clients, run_gateway):
    for upstream in ups[:2]:
        upstream.answer(well)
    gateway = start(yaml_of(ups[:2]).replace("name: up0,", "name: up0, priority: 1,"), workers=2)
    client = clients(gateway.port)

    def served_by(name):
        channel = client.post(PATH, asked()).head().headers["x-gateway-channel"]
        client.rest()
        return channel == name

    assert served_by("up0")
    said = run_gateway("channels", "--config", gateway.config, "rest", "up0", "--for", "10m", "--because", "invoice")
    assert "up0 rests for 600 s" in said
    until(lambda: served_by("up1"), "the other channel", 2)
    assert "resting for" in run_gateway("channels", "--config", gateway.config)
    explained = run_gateway("explain", "--config", gateway.config, "--key", "tester", "--model", "m")
    assert "by hand (invoice)" in explained
    run_gateway("channels", "--config", gateway.config, "wake", "up0")
    until(lambda: served_by("up0"), "the first channel again", 2)


def test_the_second_is_asked_too_when_the_first_takes_long(ups, start, clients):
    slow, quick = ups[:2]
    quick.answer(well)
    more = "routing: {hedge_after: 0.15}"
    gateway = start(yaml_of([slow, quick], more).replace("name: up0,", "name: up0, priority: 1,"))
    client = clients(gateway.port)
    client.post(PATH, asked())
    waiting = slow.take()
    client.head()
    assert (client.status, client.headers["x-gateway-channel"], client.rest()[0]) == (200, "up1", REPLY)
    assert waiting.left_within(2)  # the loser was hung up on
    assert client.headers["x-gateway-attempts"] == "2"
    client.post(PATH, asked())  # the first may still win
    waiting = slow.take()
    until(lambda: len(quick.exchanges) == 1, "no second call yet", 1)
    well(waiting)
    waiting.ended.set()
    assert client.head().headers["x-gateway-channel"] == "up0"


def test_a_refused_connection_is_nobodys_first_event(ups, start, clients):
    ups[0].answer(well)
    gone = f"name: gone, provider: openai, key: k, models: [m], priority: 5, base_url: 'http://127.0.0.1:{free_port()}'"
    yaml = f"{yaml_of(ups[:1])}  - {{{gone}}}\n"
    client = clients(start(yaml).port)
    routes = []
    for _ in range(8):
        assert client.post(PATH, asked()).head().status == 200
        routes.append(client.headers["x-gateway-route"])
        client.rest()
    assert [route.startswith("gone") for route in routes] == [True] * 5 + [False] * 3
