"""After a run with failures of every kind /metrics, the ledger's rows and what the upstreams saw agree, to a token."""

import contextlib
import json
import random
import re
import threading
from collections import Counter

import pytest
from live_client import Client
from live_servers import CLIENT_KEY, OTHER_KEY, until
from live_upstream import Upstream

from gateway.ledger.starting import is_kept
from tests.ledger_cases import rows_of, store_at

pytestmark = pytest.mark.live

PATH = "/v1/chat/completions"
YAML = """
store: sqlite:///ledger.db
prices: prices.yaml
plugins: [{metrics: {token: metrics-token}}, {ledger: {spool: spool, interval: 0.1}}]
teams: [{name: search}]
keys:
  - {name: alice, key: "${CLIENT_KEY}", team: search, show_route: true}
  - {name: bob, key: "${OTHER_KEY}", models: ["m"]}
routing: {retries: 2}
health: {enabled: false}
channels:
  - {name: first, provider: openai, key: k, models: [m, n], priority: 1, base_url: "${FIRST}"}
  - {name: second, provider: anthropic, key: k, models: [m, n], base_url: "${SECOND}"}
"""
PRICES = "channels:\n  first: {m: {input: 10, output: 20}}\n  second: {m: {input: 3, output: 15}}\n"
# What a client asks for, and how often. Its words tell the upstream `first` what to do.
WISHES = {
    "whole": 20, "stream": 20, "retried": 12, "empty": 6, "refused upstream": 6, "cut": 8, "cut whole": 6, "left": 8,
    "no model": 6, "unknown": 6, "forbidden": 6, "no usage": 6, "error event": 6,
}  # fmt: skip
CLIENTS = 8
TOKENS = ("input", "output", "cached", "cache_write", "reasoning", "input_audio", "output_audio")


class Vendor:
    """Two upstreams; ``seen`` has a line for each request: (channel, request id), ``used`` the tokens told in whole."""

    def __init__(self):
        self.first, self.second = Upstream(), Upstream()
        self.first.answer(self._first)
        self.second.answer(self._second)
        self.seen, self.used, self._lock = [], {}, threading.Lock()

    def stop(self):
        self.first.stop()
        self.second.stop()

    def _note(self, channel, exchange, tokens=None):
        with self._lock:
            request_id = exchange.headers["x-request-id"]
            self.seen.append((channel, request_id))
            if tokens:
                self.used[request_id] = (channel, *tokens)

    def _first(self, exchange):
        body = json.loads(exchange.body)
        wish = body["messages"][0]["content"]
        tokens = (len(exchange.body) % 50 + 1, len(exchange.headers["x-request-id"]) + 1)
        told = wish in ("whole", "stream")
        self._note("first", exchange, tokens if told else None)
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        getattr(self, "_" + wish.replace(" ", "_"))(exchange, usage)

    def _whole(self, exchange, usage):
        exchange.reply(json.dumps({"choices": [{"message": {"content": "hi"}}], "usage": usage}).encode())

    def _stream(self, exchange, usage):
        exchange.stream(_said("hi") + _event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")

    def _retried(self, exchange, _):
        exchange.reply(b'{"error":{"message":"no"}}', status="503 Told")

    def _empty(self, exchange, _):
        exchange.stream(b"data: [DONE]\n\n")

    def _refused_upstream(self, exchange, _):
        exchange.reply(b'{"error":{"message":"too odd","code":"odd"}}', status="400 Told")

    def _error_event(self, exchange, _):
        exchange.stream(_event({"error": {"message": "overloaded"}}))

    def _no_usage(self, exchange, _):
        exchange.reply(b'{"choices":[{"message":{"content":"hello there"}}]}')

    def _cut(self, exchange, _):
        exchange.start().chunk(_said("some words that were said"))
        exchange.close()

    def _cut_whole(self, exchange, _):
        exchange.start(framing="Content-Length: 500", kind="application/json").send(b'{"choices":[')
        exchange.close()

    def _left(self, exchange, _):
        exchange.start().chunk(_said("some words that were said"))
        assert exchange.left_within(10)

    def _second(self, exchange):
        tokens = (11, 7)
        self._note("second", exchange, tokens)
        usage = {"input_tokens": 9, "cache_read_input_tokens": 2, "output_tokens": 7}
        content = [{"type": "text", "text": "hi"}]
        if not json.loads(exchange.body).get("stream"):
            document = {"id": "x", "type": "message", "role": "assistant", "model": "m", "content": content,
                        "stop_reason": "end_turn", "usage": usage}  # fmt: skip
            exchange.reply(json.dumps(document).encode())
            return
        message = {"id": "x", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
            {"type": "message_stop"},
        ]
        exchange.stream(b"".join(b"event: %b\n%b" % (each["type"].encode(), _event(each)) for each in events))


def _event(document):
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _said(text):
    return _event({"choices": [{"delta": {"content": text}, "index": 0}]})


def ask(port, number, wish):
    """One call; whatever comes of it."""
    body = {"model": "m" if number % 3 else "n", "messages": [{"role": "user", "content": wish}]}
    body["stream"] = wish in ("stream", "empty", "cut", "left", "error event") or wish == "retried" and number % 2 == 0
    if wish in ("no model", "unknown"):
        body["model"] = {"no model": None, "unknown": f"made-up-{number}"}[wish]
    key = OTHER_KEY if wish == "forbidden" else CLIENT_KEY
    body["model"] = "n" if wish == "forbidden" else body["model"]
    with contextlib.suppress(OSError), Client(port) as client:
        client.post(PATH, body, x_api_key=key, x_request_id=f"call-{number}").head()
        if wish == "left":
            client.piece()
            return
        client.rest()


@pytest.fixture(name="vendor")
def _vendor():
    vendor = Vendor()
    yield vendor
    vendor.stop()


@pytest.fixture(name="gateway")
def _gateway(start, vendor, tmp_path):
    (tmp_path / "prices.yaml").write_text(PRICES)
    environment = {"FIRST": vendor.first.url, "SECOND": vendor.second.url, "OTHER_KEY": OTHER_KEY}
    gateway = start(YAML, workers=2, environment=environment)
    until(lambda: is_kept(tmp_path / "spool"), "a bookkeeper")
    return gateway


def run(port):
    """All wishes, in an order that is the same each time, by several clients at once; how many calls that were."""
    plan = list(enumerate(wish for wish, times in WISHES.items() for _ in range(times)))
    random.Random(7).shuffle(plan)
    threads = [
        threading.Thread(target=lambda share: [ask(port, *call) for call in share], args=(plan[place::CLIENTS],))
        for place in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return len(plan)


def page(port):
    """{(metric, labels): value}, labels as a frozenset of pairs."""
    with Client(port) as client:
        client.ask("GET", "/metrics", x_api_key=None, authorization="Bearer metrics-token").head()
        text = client.rest()[0].decode()
    found = {}
    for name, labels, value in re.findall(r"^(gateway_\w+)(?:\{(.*?)\})? (\S+)$", text, re.MULTILINE):
        found[name, frozenset(re.findall(r'(\w+)="(.*?)"', labels))] = float(value)
    return found


def by(found, metric, *labels):
    """The page's totals of a metric by these labels."""
    totals = Counter()
    for (name, pairs), value in found.items():
        if name == metric:
            totals[tuple(dict(pairs)[label] for label in labels)] += value
    return +totals


def counted(rows, key, amount=lambda row: 1):
    totals = Counter()
    for row in rows:
        totals[key(row)] += amount(row) or 0
    return +totals


def test_they_agree_exactly(gateway, vendor, tmp_path):
    number = run(gateway.port)
    store = store_at("sqlite", tmp_path, None)
    try:
        until(lambda: len(rows_of(store)) >= number, "all rows")
        rows = list(rows_of(store).values())
    finally:
        store.close()
    found = page(gateway.port)
    assert len(rows) == number == len({row["request_id"] for row in rows})
    assert {row["outcome"] for row in rows} == {"complete", "failed", "client_closed", "refused", "truncated"}
    assert {row["source"] for row in rows} == {"upstream", "estimated", "partial", "unknown"}
    _calls_agree(rows, found)
    _attempts_agree(rows, found, vendor)
    _tokens_agree(rows, found, vendor)
    _money_and_bytes_agree(rows, found)


def _calls_agree(rows, found):
    who = ("key", "team", "channel", "outcome", "status", "dialect")
    assert by(found, "gateway_calls_total", *who) == counted(rows, lambda row: tuple(str(row[name]) for name in who))
    refused = [row for row in rows if row["outcome"] == "refused"]
    codes = counted(refused, lambda row: (row["error"], row["key"]))
    assert by(found, "gateway_refusals_total", "code", "key") == codes
    assert found["gateway_open_calls", frozenset()] == 0


def _attempts_agree(rows, found, vendor):
    """Every try is in the row, on the page and at the upstream."""
    texts = [one for row in rows for one in row["tried"].split(",") if one]
    tried = [re.fullmatch(r"(\w+)#\d+:(\w+)/\d+", one).groups() for one in texts]
    assert by(found, "gateway_attempts_total", "channel", "outcome") == Counter(tried)
    assert Counter(channel for channel, _ in tried) == Counter(channel for channel, _ in vendor.seen)
    attempts = {row["request_id"]: row["attempts"] for row in rows if row["attempts"]}
    assert attempts == Counter(request_id for _, request_id in vendor.seen)


def _tokens_agree(rows, found, vendor):
    """By kind, source and channel; those that an upstream told are its own."""
    amounts = [(kind, row["source"], row["channel"], row[kind] or 0) for row in rows for kind in TOKENS]
    summed = counted(amounts, lambda amount: amount[:3], lambda amount: amount[3])
    assert by(found, "gateway_tokens_total", "kind", "source", "channel") == summed
    of_upstreams = [row for row in rows if row["source"] == "upstream"]
    assert {row["request_id"]: (row["channel"], row["input"], row["output"]) for row in of_upstreams} == vendor.used


def _money_and_bytes_agree(rows, found):
    costs = counted(rows, lambda row: (row["key"], row["channel"]), lambda row: row["cost"])
    assert by(found, "gateway_cost_micro_usd_total", "key", "channel") == costs
    assert sum(costs.values()) > 0
    sent = counted(rows, lambda row: (row["channel"],), lambda row: row["bytes_out"])
    assert by(found, "gateway_sent_bytes_total", "channel") == sent
