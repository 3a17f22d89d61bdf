"""What replies say of limits, and when somebody is told of a budget."""

import time

import pytest

from gateway.allowances.plans import budgets_of, limits_of
from gateway.allowances.reply_headers import rate_headers, refused_headers, would_refuse
from gateway.allowances.thresholds import crossed, warnings_due
from gateway.config.settings import Budget, Limits
from gateway.domain import Allowance
from gateway.headers import retry_seconds
from gateway.state import Level, Refusal, Window, open_state

NOW = 1795269968.0  # 2026-11-21 14:06:08 UTC


def levels(limits, **used):
    """Of the meters of *limits*: what is used of each, and when that is free again."""
    found = []
    for meter in limits_of(Allowance("key:a", limits)):
        number, frees = used.get(meter.word, (0, 0.0))
        found.append((meter, Level(meter.claim(0), number, frees)))
    return found


def test_openais_names():
    given = levels(Limits(rpm=60, tpm=1000), rpm=(1, 59.2), tpm=(400, 0.05))
    assert rate_headers("chat", given, NOW) == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1m0s"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "600"),
        ("x-ratelimit-reset-tokens", "50ms"),
    ]


def test_anthropics_names():
    given = levels(Limits(rpm=60, tpm=1000), rpm=(1, 59.2), tpm=(1400, 3600))
    assert rate_headers("messages", given, NOW) == [
        ("anthropic-ratelimit-requests-limit", "60"),
        ("anthropic-ratelimit-requests-remaining", "59"),
        ("anthropic-ratelimit-requests-reset", "2026-11-21T14:07:08Z"),
        ("anthropic-ratelimit-tokens-limit", "1000"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-21T15:06:08Z"),
    ]


def test_the_one_that_is_reached_first_is_shown():
    given = levels(Limits(rpm=60, rph=100, rpd=1000), rpm=(30, 60), rph=(90, 3600), rpd=(90, 86400))
    assert dict(rate_headers("chat", given, NOW))["x-ratelimit-limit-requests"] == "100"


def test_observed_limits_and_slots_are_not_shown():
    assert rate_headers("chat", levels(Limits(rpm=60, mode="observe")), NOW) == []
    assert rate_headers("chat", levels(Limits(concurrency=4)), NOW) == []


def test_a_limit_of_nothing():
    assert dict(rate_headers("chat", levels(Limits(rpm=0)), NOW))["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0012, "2ms"), (1, "1s"), (59.001, "1m0s"), (3600, "1h0m0s"), (86399.5, "24h0m0s")]
)
def test_spans(seconds, text):
    headers = rate_headers("chat", levels(Limits(rpm=9), rpm=(9, seconds)), NOW)
    assert ("x-ratelimit-reset-requests", text) in headers


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_another_gateway_reads_when_to_come_back(dialect):
    """Ours may stand before ours: what it writes, it has to understand."""
    given = levels(Limits(rpm=9), rpm=(9, 300))
    seconds = retry_seconds(rate_headers(dialect, given, time.time()))
    assert 299 < seconds <= 301


@pytest.mark.parametrize(
    ("after", "header"),
    [(0.0001, ("retry-after-ms", "1")), (2.0001, ("retry-after-ms", "2001")), (None, ("x-should-retry", "false"))],
)
def test_when_to_come_back(after, header):
    assert refused_headers(Refusal(Window("w", 60, 1), 1, after)) == [header]


def test_what_would_be_refused_is_fit_for_a_header():
    allowance = Allowance("key:Zoë\r\nX: 1", Limits(rpm=1, concurrency=2))
    assert would_refuse(limits_of(allowance)) == "key:Zo???X: 1 rpm, key:Zo???X: 1 concurrency"


# --- warnings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spent", "used", "refused", "percent"),
    [
        (0, 0, False, 0),
        (49, 99, False, 0),  # what is only reserved is not spent
        (50, 50, False, 50),
        (79, 79, False, 50),
        (80, 80, False, 80),
        (99, 99, False, 80),
        (100, 100, False, 100),
        (130, 130, False, 100),
        (85, 92, True, 100),  # too little is left for a call
        (85, 85, True, 80),  # one call wanted very much
        (0, 20, True, 0),
    ],
)
def test_thresholds(spent, used, refused, percent):
    assert crossed(spent, used, 100, refused) == percent


@pytest.fixture(name="state")
def _state(tmp_path):
    state = open_state("memory://", tmp_path)
    yield state
    state.close()


def meter_of(**budget):
    return budgets_of(Allowance("key:a", None, Budget(**budget)))[0]


def due(state, meter, refused=False, now=NOW):
    return [(warned.percent, warned.spent) for warned in warnings_due(state, [(meter, refused)], now)]


def test_each_threshold_is_told_once(state):
    meter, told = meter_of(usd=1), []
    for spent in (100_000, 550_000, 560_000, 790_000, 810_000, 990_000, 1_000_000, 1_200_000):
        state.spend(meter.purse_name(NOW), spent)
        told += due(state, meter)
    assert told == [(50, 550_000), (80, 810_000), (100, 1_000_000)]


def test_those_that_were_passed_at_once_are_told_as_one(state):
    meter = meter_of(usd=1)
    state.spend(meter.purse_name(NOW), 900_000)
    assert due(state, meter) == [(80, 900_000)]
    state.spend(meter.purse_name(NOW), 500_000)  # corrected by hand
    assert due(state, meter) == []


def test_the_next_period_and_a_raised_budget_warn_anew(state):
    meter = meter_of(usd=1, per="day")
    for now in (NOW, NOW, NOW + 86400):
        state.spend(meter.purse_name(now), 600_000)
    assert [due(state, meter, now=now) for now in (NOW, NOW, NOW + 86400)] == [[(50, 600_000)], [], [(50, 600_000)]]
    raised = meter_of(usd=1.1, per="day")
    assert due(state, raised) == [(50, 600_000)]


def test_what_is_reserved_is_not_spent(state):
    meter = meter_of(tokens=1000)
    taken = state.take([meter.purse(NOW, 900), meter.reserved(NOW, 900)])
    assert due(state, meter) == []
    state.settle(taken, {meter.purse_name(NOW): 600, meter.reserved(NOW).name: 0})
    assert due(state, meter) == [(50, 600)]


def test_a_warning_says_it_all(state):
    meter = meter_of(usd=2)
    state.spend(meter.purse_name(NOW), 1_600_000)
    (warned,) = warnings_due(state, [(meter, False)], NOW)
    assert str(warned) == "budget of 2.00 USD a month of key 'a': 80% spent (1.60 USD)"
    document = warned.document()
    assert (document["scope"], document["spent"], document["budget"], document["unit"]) == (
        "key:a", 1_600_000, 2_000_000, "micro_usd",
    )  # fmt: skip
    assert document["resets"] == 1796083200
