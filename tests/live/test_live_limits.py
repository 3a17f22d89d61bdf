"""Limits and budgets across workers and machines, as clients and the upstream see them."""

import json
import os
import random
import signal
import threading
import time

import anthropic
import openai
import pytest
from click.testing import CliRunner
from live_client import Client
from live_servers import UPSTREAM_KEY, Gateway, end, until
from live_upstream import Upstream
from state_servers import RedisServer

from gateway.commands import budget, limits

pytestmark = pytest.mark.live

REPLY = json.dumps({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}).encode()
CHUNK = b'data: {"choices":[{"delta":{"content":"ok"}}]}\n\n'
LAST = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
YAML = """
plugins: [{call_log: {format: text}}]
state: "${STATE}"
prices: prices.yaml
keys:
  - {name: minute, key: minute-key, limits: {rpm: 100}}
  - {name: few, key: few-key, limits: {tpm: 1000}}
  - {name: four, key: four-key, team: together}
  - {name: others, key: others-key, team: together}
  - {name: spender, key: spender-key, limits: {concurrency: 6}, budget: {usd: 0.05, per: total}}
teams:
  - {name: together, limits: {concurrency: 4}}
providers: {counted: {dialects: [chat]}}
channels:
  - {name: up, provider: counted, key: "${UPSTREAM_KEY}", base_url: "${UP}", models: [m], context: {m: 5000}}
"""
# 1000 tokens read are 0.001 USD, and 100 written 0.001.
PRICES = "providers: {counted: {m: {input: 1, output: 10}}}"


@pytest.fixture(scope="module", name="scripted")
def _scripted():
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module", name="place")
def _place(tmp_path_factory):
    """A folder with everything beside the configuration."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "prices.yaml").write_text(PRICES)
    return folder


@pytest.fixture(scope="module", name="redis")
def _redis(place):
    with RedisServer(place) as server:
        yield server


class Served:
    """Gateways that share one state, and the commands of whoever runs them."""

    def __init__(self, place, state, *names, workers, upstream):
        self._environment = {"UPSTREAM_KEY": UPSTREAM_KEY, "UP": upstream.url, "STATE": state}
        self.gateways = [
            Gateway(place, YAML, workers=workers, name=name, environment=self._environment) for name in names
        ]
        self.ports = [gateway.port for gateway in self.gateways]

    def log(self):
        return "".join(gateway.log() for gateway in self.gateways)

    def says(self, command, *words):
        """What a command says as JSON."""
        words = [*words, "--json", "--config", str(self.gateways[0].config)]
        result = CliRunner().invoke(command.command, words, env=self._environment)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture(scope="module", params=["workers", "redis"], name="served")
def _served(request, place, scripted):
    """Two workers of one gateway, or two gateways on one Redis."""
    if request.param == "workers":
        served = Served(place, "sqlite:///workers.db", "workers", workers=2, upstream=scripted)
    else:
        url = request.getfixturevalue("redis").url
        served = Served(place, url, "one", "other", workers=1, upstream=scripted)
    yield served
    end(*served.gateways)


@pytest.fixture(autouse=True)
def _forgetful(scripted):
    yield
    scripted.forget()


def body(**members):
    return {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]} | members


def crowd(number, work):
    """*work(i)* in so many threads at once; what they all return."""
    results, errors = [], []

    def run(i):
        try:
            results.append(work(i))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    assert len(results) == number
    return results


def test_64_clients_get_exactly_100_calls_in_a_minute(served, scripted):
    scripted.answer(lambda exchange: exchange.reply(REPLY))
    began = time.monotonic()

    def client(i):
        with Client(served.ports[i % len(served.ports)]) as client:
            found = []
            for _ in range(4):
                client.post("/v1/chat/completions", body(), x_api_key="minute-key").head()
                found.append((client.status, client.headers))
                assert client.rest()[1]
            return found

    answers = [each for found in crowd(64, client) for each in found]
    assert time.monotonic() - began < 50, "too slow to tell anything about a minute"
    good = [headers for status, headers in answers if status == 200]
    refused = [headers for status, headers in answers if status == 429]
    assert (len(good), len(refused)) == (100, 156)
    assert len(scripted.exchanges) == 100
    left = sorted(int(headers["x-ratelimit-remaining-requests"]) for headers in good)
    assert left == list(range(100))  # every one of them was told its own number
    for headers in refused:
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert 1 <= int(headers["retry-after"]) <= 61
    (row,) = served.says(limits, "show", "minute")
    assert (row["used"], row["left"]) == (100, 0)


def test_a_team_never_has_more_calls_at_once_and_uses_all_it_has(served, scripted):
    counting, under_way, seen, done = threading.Lock(), [0], [], [0]

    def answer(exchange):
        with counting:
            under_way[0] += 1
            seen.append(under_way[0])
        stream = b'"stream"' in exchange.body
        if stream:
            exchange.start().chunk(CHUNK)
        time.sleep(random.uniform(0.01, 0.03))
        with counting:  # before the end leaves: behind it, another call may be there already
            under_way[0] -= 1
            done[0] += 1
        exchange.chunk(LAST).last_chunk() if stream else exchange.reply(REPLY)

    scripted.answer(answer)

    def client(i):
        members = {"stream": True} if i % 2 else {}
        key = "four-key" if i % 3 else "others-key"
        statuses = []
        with Client(served.ports[i % len(served.ports)]) as client:
            while done[0] < 120:
                statuses.append(client.post("/v1/chat/completions", body(**members), x_api_key=key).head().status)
                assert client.rest()[1]
                if statuses[-1] == 429:
                    assert client.headers["retry-after"] == "1"
                    time.sleep(0.005)
        return statuses

    statuses = [status for found in crowd(24, client) for status in found]
    assert max(seen) == 4
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == len(scripted.exchanges)
    until(lambda: not any(row["used"] for row in served.says(limits, "show", "--team", "together")), "all slots back")


def test_sdks_do_not_ask_again_in_vain(served, scripted):
    address = f"http://127.0.0.1:{served.ports[0]}"
    asked = {"model": "m", "max_tokens": 5000, "messages": [{"role": "user", "content": "hi"}]}
    openais = openai.OpenAI(base_url=f"{address}/v1", api_key="few-key", max_retries=2)
    anthropics = anthropic.Anthropic(base_url=address, api_key="few-key", max_retries=2)
    with pytest.raises(openai.RateLimitError, match="more than the limit of 1000 tokens a minute of key 'few'"):
        openais.chat.completions.create(**asked)
    with pytest.raises(anthropic.RateLimitError, match="more than the limit of 1000 tokens") as raised:
        anthropics.messages.create(**asked, timeout=5)
    assert raised.value.response.headers["anthropic-ratelimit-tokens-limit"] == "1000"
    for dialect in ("chat", "messages"):
        pattern = rf"few {dialect}/generate model=m channel=- status=429 outcome=refused"
        assert len(served.gateways[0].logged(pattern)) == 1
    assert scripted.exchanges == []


def test_a_budget_overshoots_by_no_more_than_was_printed(served, scripted):
    """The upstream reads and writes far more than anybody could know before."""
    used = {"prompt_tokens": 3000, "completion_tokens": 400}  # 0.007 USD
    reply = json.dumps({**json.loads(REPLY), "usage": used}).encode()

    usage_chunk = b'data: {"choices":[],"usage":%b}\n\n' % json.dumps(used).encode()

    def answer(exchange):
        time.sleep(0.02)
        if b'"stream"' in exchange.body:
            exchange.stream(CHUNK + LAST.replace(b"data: [DONE]", usage_chunk + b"data: [DONE]"))
        else:
            exchange.reply(reply)

    scripted.answer(answer)
    show = ("show", "spender", "--longest-output", "500")
    (before,) = served.says(budget, *show)
    assert (before["spent"], before["left"], before["calls_at_once"]) == (0, 50_000, 6)
    assert before["overshoot"] == 6 * (5000 + 5000)

    def client(i):
        with Client(served.ports[i % len(served.ports)]) as client:
            while True:
                asked = body(stream=True) if i % 2 else body()
                status = client.post("/v1/chat/completions", asked, x_api_key="spender-key").head().status
                data, complete = client.rest()
                assert complete
                if status == 402:
                    return json.loads(data)["error"]["code"]
                assert status in (200, 429)
                time.sleep(0.005 * (status == 429))

    assert set(crowd(24, client)) == {"budget_exceeded"}
    (after,) = served.says(budget, *show)
    assert after["spent"] == 7000 * len(scripted.exchanges)  # to the last micro-dollar
    assert (after["reserved"], after["calls"], after["left"]) == (0, 0, 0)
    assert 0 <= after["spent"] - 50_000 <= before["overshoot"]
    until(lambda: served.log().count("spent: calls are refused") == 1, "the warning, once")


def test_a_killed_worker_gives_its_slots_back(place, scripted, clients):
    served = Served(place, "sqlite:///killed.db", "killed", workers=2, upstream=scripted)
    (gateway,) = served.gateways
    try:

        def status():
            with Client(gateway.port) as client:
                return client.post("/v1/chat/completions", body(), x_api_key="four-key").head().status

        for _ in range(4):
            clients(gateway.port).post("/v1/chat/completions", body(stream=True), x_api_key="four-key")
            scripted.take().start().chunk(CHUNK)
        assert status() == 429
        for pid in gateway.workers():
            os.kill(pid, signal.SIGKILL)
        scripted.answer(lambda exchange: exchange.reply(REPLY))
        until(lambda: status() == 200, "a slot", 60)  # 8 s; here as long as workers take to start
    finally:
        end(gateway)
