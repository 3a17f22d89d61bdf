"""`gateway budget` and `gateway limits`: what is spent, reserved, left, and could be overshot."""

import json
import time
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from gateway.allowances.plans import budgets_of, plan_of
from gateway.commands import budget, limits
from gateway.commands import keys as stored_keys
from gateway.commands import teams as stored_teams
from gateway.config.settings import Budget, KeySettings, Limits, TeamSettings
from gateway.domain import Allowance, Principal
from gateway.ledger.books import enter
from gateway.ledger.rows import row_of
from gateway.state import open_state
from gateway.store import open_store
from gateway.store.clock import micros

YAML = """
state: sqlite:///state.db
prices: prices.yaml
teams:
  - {name: search, limits: {rpd: 1000}, budget: {tokens: 5000, per: day}}
keys:
  - {name: alice, key: a, team: search, limits: {rpm: 60, tpm: 9000, concurrency: 4, models: {"m*": {rpm: 9}}},
     budget: {usd: 1.5}}
  - {name: bob, key: b, models: [cheap], budget: {usd: 2, per: total}}
  - {name: carol, key: c, budget: {usd: 1, tokens: 10, mode: observe}}
  - {name: dora, key: d, models: [unpriced], budget: {usd: 1}}
  - {name: eve, key: e}
channels:
  - {name: acme, provider: acme, auth: none, base_url: https://acme.test, models: [cheap, unpriced, "m*"],
     context: {cheap: 50000}}
providers:
  acme: {dialects: [chat]}
"""
PRICES = """
providers:
  acme: {cheap: {input: 1, output: 2}, m-large: {input: 10, output: 100, cache_write_1h: 20}, other: {input: 900}}
"""


@pytest.fixture(name="config")
def _config(write_config, tmp_path):
    (tmp_path / "prices.yaml").write_text(PRICES)
    return write_config(YAML)


@pytest.fixture(name="state")
def _state(tmp_path):
    """The state as the workers have it."""
    state = open_state("sqlite:///state.db", tmp_path)
    yield state
    state.close()


@pytest.fixture(name="run")
def _run(config):
    def run(command, *words):
        return CliRunner().invoke(command.command, [*words, "--config", str(config)])

    return run


@pytest.fixture(name="shown")
def _shown(run):
    """shown(*words) -> the rows of `gateway budget show` by scope and measure."""

    def shown(*words):
        result = run(budget, "show", "--json", *words)
        assert result.exit_code == 0, result.output
        return {f"{row['scope']} {row['measure']}": row for row in json.loads(result.stdout)}

    return shown


ALICE = Principal.of(
    KeySettings(
        name="alice", budget=Budget(usd=1.5),
        limits=Limits(rpm=60, tpm=9000, concurrency=4),
    ),
    TeamSettings(name="search", budget=Budget(tokens=5000, per="day")),
)  # fmt: skip


def take(state, usd, tokens=0):
    """One call of alice's, as the plugin takes it."""
    (purse,), now = budgets_of(ALICE.allowances[0]), time.time()
    (tokens_purse,) = budgets_of(ALICE.allowances[1])
    slots = [want.claim for want in plan_of(ALICE).wants([], None, 0, True, now) if not hasattr(want.claim, "seconds")]
    return state.take([
        purse.purse(now, usd), purse.reserved(now, usd),
        tokens_purse.purse(now, tokens), tokens_purse.reserved(now, tokens), *slots,
    ])  # fmt: skip


def settle(state, taken, usd):
    (purse,), now = budgets_of(ALICE.allowances[0]), time.time()
    state.settle(taken, {purse.purse_name(now): usd, purse.reserved(now).name: 0})


def test_nothing_is_spent_yet(shown):
    rows = shown()
    assert list(rows) == ["key:alice usd", "key:bob usd", "key:carol usd", "key:carol tokens", "key:dora usd",
                          "team:search tokens"]  # fmt: skip
    assert {row["spent"] for row in rows.values()} == {0}
    assert rows["key:alice usd"]["left"] == 1_500_000


def test_a_key_is_shown_with_its_team(shown):
    assert list(shown("alice")) == ["key:alice usd", "team:search tokens"]
    assert list(shown("bob")) == ["key:bob usd"]
    assert list(shown("--team", "search")) == ["team:search tokens"]
    assert list(shown("alice", "--team", "search")) == ["key:alice usd", "team:search tokens"]
    assert shown("eve") == {}


def test_spent_and_reserved_are_told_apart(shown, state):
    settle(state, take(state, 400_000), 250_000)
    take(state, 100_000, 700)
    row = shown("alice")["key:alice usd"]
    assert (row["spent"], row["reserved"], row["left"], row["calls"]) == (250_000, 100_000, 1_150_000, 1)
    assert shown("alice")["team:search tokens"]["reserved"] == 700


def test_the_overshoot_is_that_of_the_dearest_calls_at_once(shown, state):
    take(state, 1)
    row = shown("alice", "--longest-input", "100000", "--longest-output", "10000")["key:alice usd"]
    # of all that it may use the dearest is m-large: 100,000 tokens written to a cache, and 10,000 answered
    assert row["worst_attempt"] == 2_000_000 + 1_000_000
    # and each of its four attempts may be for another model of the channel's
    assert (row["attempts"], row["worst_call"]) == (4, 12_000_000)
    assert row["calls_at_once"] == 4
    assert row["overshoot"] == 48_000_000
    assert row["overshoot_now"] == 12_000_000


def test_a_key_that_may_use_little_can_overshoot_by_little(shown):
    row = shown("bob", "--longest-output", "10000")["key:bob usd"]
    assert row["worst_call"] == 50_000 + 20_000  # its channel says how much the model reads
    assert row["attempts"] == 1  # there is nobody else to try
    assert row["calls_at_once"] == 1000


def test_a_budget_in_tokens_can_be_overshot_by_tokens(shown):
    row = shown("--team", "search", "--longest-input", "100000", "--longest-output", "10000")["team:search tokens"]
    assert row["overshoot"] == 110_000 * 4 * 1000


def test_what_is_observed_has_no_bound(shown, run):
    assert shown("carol")["key:carol usd"]["overshoot"] is None
    assert "nothing is refused" in run(budget, "show", "carol").output


def test_as_text(run, state):
    settle(state, take(state, 400_000), 250_000)
    lines = run(budget, "show", "alice", "--longest-input", "100000", "--longest-output", "10000").output.splitlines()
    assert lines[0].startswith("key 'alice': 1.50 USD a month, resets 2")
    assert lines[1] == "  spent 0.25 USD, reserved 0.00 USD, left 1.25 USD"
    assert lines[2] == "  0 calls under way, at most 4 at once, each at most 12.00 USD with 4 attempts"
    assert lines[3] == "  overshoot at most 48.00 USD (0.00 USD by those under way)"
    assert lines[4].startswith("team 'search': 5000 tokens a day, resets 2")


def test_a_budget_without_end_and_one_without_prices(run):
    assert "key 'bob': 2.00 USD in total, resets never" in run(budget, "show", "bob").output
    assert "no model of its has a price" in run(budget, "show", "dora").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alcie",), "no key is called 'alcie', did you mean 'alice'?"),
        (("--team", "serach"), "no team is called 'serach', did you mean 'search'?"),
    ],
)
def test_names_that_nobody_has(words, said, run):
    for command in (budget, limits):
        result = run(command, "show", *words)
        assert result.exit_code == 2
        assert said in result.output


# --- set ---------------------------------------------------------------------------------------------


def test_setting_by_hand(run, shown, state):
    settle(state, take(state, 400_000), 250_000)
    result = run(budget, "set", "alice", "1.25")
    assert result.output == "key 'alice': 1.25 USD spent of 1.50 USD a month of key 'alice'\n"
    assert shown("alice")["key:alice usd"]["spent"] == 1_250_000
    assert take(state, 250_000).refused is None
    assert take(state, 1).refused is not None


def test_setting_leaves_what_is_under_way(run, shown, state):
    taken = take(state, 400_000)
    run(budget, "set", "alice", "1")
    row = shown("alice")["key:alice usd"]
    assert (row["spent"], row["reserved"]) == (1_000_000, 400_000)
    settle(state, taken, 100_000)
    assert shown("alice")["key:alice usd"]["spent"] == 1_100_000


def test_setting_forgets_what_a_dead_worker_had_reserved(run, shown, tmp_path):
    dead = open_state("sqlite:///state.db", tmp_path)
    take(dead, 400_000)
    dead.close()  # gives the slots back, but what was reserved stays spent
    assert shown("alice")["key:alice usd"]["left"] == 1_100_000
    run(budget, "set", "alice", "0")
    row = shown("alice")["key:alice usd"]
    assert (row["spent"], row["reserved"], row["left"]) == (0, 0, 1_500_000)


def test_setting_a_teams_tokens(run, shown):
    assert run(budget, "set", "--team", "search", "1200").exit_code == 0
    assert shown("--team", "search")["team:search tokens"]["left"] == 3800


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alice", "-1"), "No such option"),
        (("alice", "1.0000001"), "expected US dollars with at most six decimals, found '1.0000001'"),
        (("alice", "much"), "expected US dollars"),
        (("alice", "NaN"), "expected US dollars"),
        (("--team", "search", "1.5"), "expected a whole number of tokens"),
        (("eve", "1"), "key 'eve' has no budget"),
        (("carol", "1"), "has two budgets: say --in usd or --in tokens"),
        (("alice", "1", "--in", "tokens"), "key 'alice' has no budget in tokens"),
        (("nobody", "1"), "no key is called 'nobody'"),
    ],
)
def test_what_cannot_be_set(words, said, run):
    result = run(budget, "set", *words)
    assert result.exit_code == 2
    assert said in result.output


def test_one_of_two_budgets(run, shown):
    assert run(budget, "set", "carol", "7", "--in", "tokens").exit_code == 0
    rows = shown("carol")
    assert (rows["key:carol usd"]["spent"], rows["key:carol tokens"]["spent"]) == (0, 7)


# --- with a store ------------------------------------------------------------------------------------


@pytest.fixture(name="store")
def _store(config, run, tmp_path):
    """The store of a configuration that has one, with a key and a team of its own in it."""
    config.write_text("store: sqlite:///gateway.db\n" + YAML)
    for command, words in (
        (stored_teams, ("create", "sales", "--budget", "{tokens: 100}")),
        (stored_keys, ("create", "zoe", "--team", "sales", "--budget", "{usd: 3, per: total}", "--limits", "{rpm: 7}")),
    ):
        result = run(command, *words)
        assert result.exit_code == 0, result.output
    store = open_store("sqlite:///gateway.db", tmp_path)
    yield store
    store.close()


def enter_call(store, day, key, team, cost, tokens):
    """A row of the ledger."""
    at = micros(datetime.fromisoformat(day).replace(tzinfo=UTC))
    row = {"id": f"{day}-{key}-{cost}-{tokens}", "at": at, "key": key, "team": team, "cost": cost, "input": tokens,
           "output": tokens}  # fmt: skip
    assert enter(store, [row_of(row, "here", "w")]) == []


@pytest.mark.usefixtures("store")
def test_keys_and_teams_of_the_store(shown, run):
    assert list(shown("zoe")) == ["key:zoe usd", "team:sales tokens"]
    assert list(shown())[-2:] == ["team:search tokens", "team:sales tokens"]
    assert "key:zoe usd" in shown()
    assert run(budget, "set", "zoe", "2").exit_code == 0
    assert shown("zoe")["key:zoe usd"]["left"] == 1_000_000
    assert "key 'zoe'\n  rpm " in run(limits, "show", "zoe").output


def test_counting_anew_from_the_ledger(store, shown, run, state):
    today, this_month = time.strftime("%Y-%m-%d", time.gmtime()), time.strftime("%Y-%m-01", time.gmtime())
    enter_call(store, "2020-01-05", "alice", "search", 7_000_000, 7)  # long ago
    enter_call(store, this_month, "alice", "search", 300_000, 40)
    enter_call(store, f"{today}T00:00:01", "bob", "search", 500_000, 60)
    enter_call(store, "2020-01-06", "bob", "", 250_000, 9)
    enter_call(store, f"{today}T00:00:02", "alice", "search", None, None)
    take(state, 100_000)  # is under way
    result = run(budget, "recount", "alice", "bob")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == "key 'alice': 0.30 USD spent of 1.50 USD a month of key 'alice'"
    assert "  1 calls are not in it: nobody knows what they used" in result.output
    rows = shown("alice", "bob")
    assert (rows["key:alice usd"]["spent"], rows["key:alice usd"]["reserved"]) == (300_000, 100_000)
    assert rows["key:bob usd"]["spent"] == 750_000  # in total
    in_team_today = 2 * 60 + (2 * 40 if today == this_month else 0)
    assert rows["team:search tokens"]["spent"] == in_team_today


def test_without_a_store_there_is_nothing_to_count(run):
    result = run(budget, "recount")
    assert result.exit_code == 2
    assert "there is no ledger to count from" in result.output


# --- limits ------------------------------------------------------------------------------------------


def test_limits_are_shown(run, state):
    wants = plan_of(ALICE).wants([], None, 0, True, time.time())
    assert state.take([want.claim for want in wants]).refused is None
    rows = json.loads(run(limits, "show", "alice", "--json").stdout)
    assert [(row["scope"], row["model"], row["limit"], row["used"], row["most"]) for row in rows] == [
        ("key:alice", "", "rpm", 1, 60),
        ("key:alice", "", "tpm", 0, 9000),
        ("key:alice", "", "concurrency", 1, 4),
        ("key:alice", "m*", "rpm", 0, 9),
        ("team:search", "", "rpd", 0, 1000),
        ("team:search", "", "at_once", 1, 1000),
    ]
    text = run(limits, "show", "alice").output
    assert text.startswith("key 'alice'\n  rpm                      1 of 60 used, 59 left, all free again in ")
    assert "  rpm of m*                0 of 9 used, 9 left\n" in text


def test_without_any(run, config):
    config.write_text("channels: [{name: echo, provider: echo}]")
    assert run(limits, "show").output == "no limits\n"
    assert run(budget, "show").output == "no budgets\n"


def test_a_state_in_memory_cannot_be_looked_at(run, config):
    config.write_text(YAML.replace("sqlite:///state.db", "memory://"))
    result = run(budget, "show")
    assert result.exit_code == 2
    assert "memory:// is each worker's own" in result.output


def test_a_state_that_is_away_is_said(run, config):
    config.write_text(YAML.replace("sqlite:///state.db", "sqlite:////dev/null/state.db"))
    result = run(budget, "show")
    assert result.exit_code == 1
    assert "cannot be used" in result.output


def test_the_allowances_of_the_configuration_are_those_of_the_plugin():
    assert plan_of(ALICE).budgets == (
        *budgets_of(Allowance("key:alice", None, Budget(usd=1.5))),
        *budgets_of(Allowance("team:search", None, Budget(tokens=5000, per="day"))),
    )
