"""The numbers at /metrics are what happened, whichever worker is asked."""

import os
import re
import signal

import pytest
from live_servers import CLIENT_KEY, until
from live_upstream import Upstream

pytestmark = pytest.mark.live

PATH = "/v1/chat/completions"
USAGE = b'"usage":{"prompt_tokens":7,"completion_tokens":3}'
REPLY = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],%b}' % USAGE
EVENTS = (
    b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
)
TOKEN = "metrics-token"
YAML = f"""
prices: prices.yaml
plugins: [{{metrics: {{token: {TOKEN}, most: 20}}}}]
keys: [{{name: tester, key: "${{CLIENT_KEY}}", team: search}}]
teams: [{{name: search}}]
routing: {{retries: 2}}
channels:
  - {{name: bad, provider: openai, key: up, models: [m], priority: 1, base_url: "${{BAD}}"}}
  - {{name: good, provider: openai, key: up, models: [m, "n-*"], base_url: "${{GOOD}}"}}
"""


def answer(exchange):
    exchange.stream(EVENTS) if b'"stream": true' in exchange.body else exchange.reply(REPLY)


@pytest.fixture(name="measured")
def _measured(start, tmp_path):
    (tmp_path / "prices.yaml").write_text("channels:\n  good: {m: {input: 10, output: 20}}\n")
    bad, good = Upstream(), Upstream()
    bad.answer(lambda exchange: exchange.reply(b'{"error":{"message":"no"}}', status="500 Told"))
    good.answer(answer)
    yield start(YAML, workers=2, environment={"BAD": bad.url, "GOOD": good.url})
    bad.stop()
    good.stop()


def numbers(client):
    """{name{labels}: value} of the page."""
    client.ask("GET", "/metrics", x_api_key=None, authorization=f"Bearer {TOKEN}").head()
    assert client.status == 200
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in client.rest()[0].decode().splitlines() if not line.startswith("#")}  # fmt: skip


def total(found, metric, **labels):
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(v for k, v in found.items() if re.match(rf"{metric}(\{{|$)", k) and all(w in k for w in wanted))


def test_the_numbers_are_those_of_all_workers(measured, clients):
    for number in range(12):
        client = clients(measured.port)
        client.post(PATH, {"model": "m", "stream": number % 2 == 0, "messages": []})
        assert client.head().status == 200
        client.rest()
        client.leave()
    refused = clients(measured.port).post(PATH, {"messages": []}).head()
    assert refused.status == 400

    def settled():
        found = numbers(clients(measured.port))
        return found if total(found, "gateway_calls_total") == 13 else None

    found = until(settled, "all calls counted")
    assert total(found, "gateway_calls_total", outcome="complete", channel="good", key="tester", team="search") == 12
    assert total(found, "gateway_refusals_total", code="missing_model") == 1
    assert total(found, "gateway_attempts_total", channel="good", outcome="ok") == 12
    assert 5 <= total(found, "gateway_attempts_total", channel="bad") <= 10  # trips after five in a row
    assert total(found, "gateway_tokens_total", kind="input") == 6 * 7 + 6 * 5
    assert total(found, "gateway_tokens_total", kind="output") == 6 * 3 + 6 * 2
    assert total(found, "gateway_cost_micro_usd_total") == 6 * (70 + 60) + 6 * (50 + 40)
    assert total(found, "gen_ai_server_request_duration_seconds_count") == 13
    assert total(found, "gen_ai_server_time_to_first_token_seconds_count", gen_ai_request_model="m") == 12
    assert total(found, "gateway_open_calls") == 0
    assert total(found, "gateway_channel_resting_seconds", name="bad") > 0


def test_the_page_is_behind_its_token(measured, clients):
    client = clients(measured.port)
    for given in ({}, {"x_api_key": CLIENT_KEY}):
        client.ask("GET", "/metrics", **({"x_api_key": None} | given)).head()
        assert client.status == 401
        client.rest()


def test_what_clients_make_up_fills_nothing(measured, clients):
    client = clients(measured.port)
    for number in range(40):
        client.post(PATH, {"model": f"n-{number}", "messages": []}).head()
        client.rest()
    until(lambda: total(numbers(clients(measured.port)), "gateway_calls_total") == 40, "all calls counted")
    found = numbers(clients(measured.port))
    models = {re.search(r'model="([^"]*)"', name)[1] for name in found if name.startswith("gateway_calls_total")}
    assert "other" in models
    assert len(models) <= 2 * 21


def test_open_calls_of_a_killed_worker_are_not_open_any_more(measured, clients):
    for pid in measured.workers():
        os.kill(pid, signal.SIGKILL)
    measured.staffed(2)
    assert total(numbers(clients(measured.port)), "gateway_open_calls") == 0


def test_reloading_goes_on_counting(measured, clients):
    client = clients(measured.port)
    for _ in range(2):
        client.post(PATH, {"model": "n-1", "messages": []}).head()
        client.rest()
        measured.signal(signal.SIGHUP)
        measured.logged("configuration reloaded", times=2)
    assert until(lambda: total(numbers(clients(measured.port)), "gateway_calls_total") == 2, "both calls")


def test_an_events_delay_is_told(measured, clients):
    """By the first of each stream and one in 16 after it, also when the configuration was exchanged in between."""

    def stream():
        client = clients(measured.port)
        client.post(PATH, {"model": "m", "stream": True, "messages": []}).head()
        assert client.rest()[1]

    def told(times):
        found = numbers(clients(measured.port))
        return found if total(found, "gateway_event_delay_seconds_count") == times else None

    for _ in range(4):
        stream()
    found = until(lambda: told(4), "four are told of")
    assert 0 < total(found, "gateway_event_delay_seconds_sum") < 4
    assert total(found, "gateway_worker_lag_seconds_count") > 0
    measured.signal(signal.SIGHUP)
    measured.logged("configuration reloaded", times=2)
    stream()
    until(lambda: told(5), "the fifth")
