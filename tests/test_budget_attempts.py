"""The bound that `gateway budget show` prints, for calls of which several attempts may be billed."""

import json
import time

import pytest
from click.testing import CliRunner

from gateway.commands import budget

YAML = """
state: sqlite:///state.db
routing: {retries: %d}
keys: [{name: alice, key: a, limits: {concurrency: 1}, budget: {tokens: 1000, per: total}}]
channels:
  - {name: slow, provider: acme, key: k, base_url: https://slow.test, models: [%s], priority: 1}
  - {name: good, provider: acme, keys: [k, l, k], base_url: https://good.test, models: [m]}
providers:
  acme: {dialects: [chat]}
"""
SLOWER = """  - {name: slower, provider: acme, key: k, base_url: https://slower.test, models: [m], priority: 1}
"""
LONGEST = ("--longest-input", "400", "--longest-output", "500")
ASKED = {"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(name="shown")
def _shown(write_config):
    """shown(yaml) -> the row of `gateway budget show`."""

    def shown(text):
        words = ["show", "--json", *LONGEST, "--config", str(write_config(text))]
        result = CliRunner().invoke(budget.command, words)
        assert result.exit_code == 0, result.output
        (row,) = json.loads(result.stdout)
        return row

    return shown


@pytest.mark.parametrize(
    ("retries", "models", "attempts"),
    [
        (5, "m", 3),  # one channel's key, and the two of another that differ
        (5, "other", 3),  # a client may name both models
        (1, "m", 2),  # no more often than it may be tried
        (0, "m", 1),
        (5, '"m*"', 6),  # any number of models
    ],
)
def test_a_call_comes_to_as_much_as_all_its_attempts(shown, retries, models, attempts):
    row = shown(YAML % (retries, models))
    assert (row["worst_attempt"], row["attempts"], row["worst_call"]) == (900, attempts, 900 * attempts)
    assert row["overshoot"] == 900 * attempts


def test_attempts_that_were_given_up_stay_within_the_bound(serving_client_of, network, sent, shown):
    """Two may be billed although they did not answer; the third comes to the most that one can."""
    text = (YAML % (3, "m")).replace("retries:", "retry_on: [504], retries:").replace("tokens: 1000", "tokens: 600")
    text = text.replace("providers:", SLOWER + "providers:")
    usage = {"prompt_tokens": 400, "completion_tokens": 500}
    reply = {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}], "usage": usage}
    network.post("https://slow.test/v1/chat/completions", status=504)
    network.post("https://slower.test/v1/chat/completions", status=504)
    network.post("https://good.test/v1/chat/completions", json=reply)
    client, deadline = serving_client_of(text), time.monotonic() + 10
    for status in (200, 402):
        answer = sent(client, "/v1/chat/completions", ASKED, {"x-api-key": "a"})
        assert answer.status_code == status, answer.data
    while (row := shown(text))["reserved"]:  # the end is told a moment later
        assert time.monotonic() < deadline
    assert row["worst_attempt"] < row["spent"] - row["budget"] <= row["overshoot"]
