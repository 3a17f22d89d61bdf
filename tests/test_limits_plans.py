"""Which claims follow from a principal, a call and the time."""

import pytest

from gateway.allowances.needs import Needs
from gateway.allowances.plans import (
    AT_ONCE,
    TOKENS,
    USD,
    amount_text,
    budgets_of,
    limits_of,
    model_limits_of,
    period_end,
    period_start,
    plan_of,
)
from gateway.config.settings import Budget, KeySettings, Limits, Rates, TeamSettings
from gateway.domain import Allowance, Principal
from gateway.state import Purse, Slots, Window

NOW = 1795269968.0  # 2026-11-21 14:06:08 UTC
FEW = Needs(100, 20, True)


def principal(limits=None, budget=None, team=None, name="alice"):
    return Principal.of(KeySettings(name=name, limits=limits, budget=budget), team)


def claims(who, *, models=("gpt-4o",), needs=FEW, usd=0, free=False, now=NOW):
    return [want.claim for want in plan_of(who).wants(models, needs, usd, free, now)]


def names(who, **more):
    return [claim.name for claim in claims(who, **more)]


def test_every_limit_is_a_claim():
    who = principal(Limits(rpm=1, rph=2, rpd=3, tpm=1000, tph=2000, tpd=3000, concurrency=4))
    assert claims(who) == [
        Window("limits/key:alice/rpm", 60, 1),
        Window("limits/key:alice/rph", 3600, 2),
        Window("limits/key:alice/rpd", 86400, 3),
        Window("limits/key:alice/tpm", 60, 1000, 120),
        Window("limits/key:alice/tph", 3600, 2000, 120),
        Window("limits/key:alice/tpd", 86400, 3000, 120),
        Slots("limits/key:alice/concurrency", 4),
    ]


def test_without_allowances_nothing_is_claimed():
    assert claims(principal()) == []


def test_a_limit_of_nothing_is_a_limit():
    assert claims(principal(Limits(rpm=0))) == [Window("limits/key:alice/rpm", 60, 0)]


def test_a_key_and_its_team_are_claimed_together():
    who = principal(Limits(rpm=5), None, TeamSettings(name="search", limits=Limits(rpm=9, concurrency=2)))
    assert names(who) == ["limits/key:alice/rpm", "limits/team:search/rpm", "limits/team:search/concurrency"]


@pytest.mark.parametrize(
    ("models", "globs"),
    [
        (("gpt-4o",), ["gpt-*", "gpt-4o"]),
        (("gpt-5",), ["gpt-*"]),
        (("openai/gpt-4o",), ["gpt-*", "gpt-4o"]),  # the same model under its vendor's name
        (("cheap", "gpt-4o"), ["gpt-*", "gpt-4o"]),  # a model that the client falls back to
        (("cheap", "openai/gpt-5"), ["gpt-*"]),
        (("claude",), []),
        (("",), []),
        (("GPT-4o",), ["gpt-*", "gpt-4o"]),  # some vendors take any case
    ],
)
def test_limits_of_models(models, globs):
    limits = Limits(rpm=9, models={"gpt-*": Rates(tpm=10_000), "gpt-4o": Rates(rpm=2)})
    found = {name.split("/")[2] for name in names(principal(limits), models=models)} - {"rpm"}
    assert sorted(found) == globs


def test_a_glob_is_counted_once_however_many_names_match_it():
    limits = Limits(models={"gpt-*": Rates(rpm=2)})
    assert names(principal(limits), models=("gpt-4o", "gpt-5", "openai/gpt-4o")) == ["limits/key:alice/gpt-*/rpm"]


def test_no_name_is_taken_for_another():
    """A key's name may look like another's with a model behind it."""
    plain = names(principal(Limits(models={"gpt": Rates(rpm=1)}), name="a"), models=("gpt",))
    odd = names(principal(Limits(rpm=1), name="a/gpt"))
    assert not set(plain) & set(odd)


def test_names_are_distinct_in_one_list():
    models = {"gpt-*": Rates(rpm=1, tpm=1, concurrency=1), "gpt-4o": Rates(rpm=1, tpm=1, concurrency=1)}
    limits = Limits(rpm=1, tpm=1, concurrency=1, models=models)
    budget = Budget(usd=1, tokens=10)
    who = principal(limits, budget, TeamSettings(name="alice", limits=limits, budget=budget))
    found = names(who)
    assert len(found) == len(set(found)) == 26


def test_observed_limits_and_budgets_never_refuse():
    who = principal(Limits(rpm=1, concurrency=1, mode="observe"), Budget(usd=1, mode="observe"))
    found = {claim.name: claim for claim in claims(who)}
    assert found["limits/key:alice/rpm"].observe
    assert found["limits/key:alice/concurrency"].observe
    assert found["budget/key:alice/usd/2026-11"].observe


# --- budgets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per", "name", "kept"), [("day", "2026-11-21", 3 * 86400), ("month", "2026-11", 40 * 86400), ("total", "total", 0)]
)
def test_a_purse_carries_its_period(per, name, kept):
    purse, reserved, slots = claims(principal(None, Budget(usd=1.5, per=per)), usd=700)
    assert purse == Purse(f"budget/key:alice/usd/{name}", 1_500_000, 700, False, kept)
    assert reserved == Purse(f"budget/key:alice/usd/{name}/reserved", None, 700, False, kept)
    assert slots.most == AT_ONCE


def test_a_limit_of_concurrency_bounds_a_budget_too():
    who = principal(Limits(concurrency=4), Budget(usd=1))
    assert [claim.most for claim in claims(who) if isinstance(claim, Slots)] == [4]


def test_an_observed_one_bounds_nothing():
    who = principal(Limits(concurrency=4, mode="observe"), Budget(usd=1))
    assert [(claim.most, claim.observe) for claim in claims(who) if isinstance(claim, Slots)] == [
        (4, True),
        (AT_ONCE, False),
    ]


def test_budgets_come_first_and_slots_last():
    who = principal(Limits(concurrency=4, rpm=1), Budget(usd=1), TeamSettings(name="t", limits=Limits(tpm=5)))
    kinds = [type(claim) for claim in claims(who)]
    assert kinds == [Purse, Purse, Window, Window, Slots]


def test_a_budget_in_both():
    who = principal(None, Budget(usd=1, tokens=1000))
    found = {claim.name: claim.amount for claim in claims(who, usd=77) if isinstance(claim, Purse)}
    assert found["budget/key:alice/usd/2026-11"] == 77
    assert found["budget/key:alice/tokens/2026-11"] == 120


def test_a_free_call_is_a_request_and_no_more():
    who = principal(Limits(rpm=1, tpm=1, concurrency=4), Budget(usd=0))
    assert names(who, free=True) == ["limits/key:alice/rpm", "limits/key:alice/concurrency"]


def test_what_is_only_guessed_keeps_no_call_from_being_made():
    who = principal(Limits(tpm=1000), Budget(usd=0.001, tokens=500))
    guessed, said = Needs(100, 4096, False), Needs(100, 4096, True)
    amounts = [[getattr(claim, "amount", 1) for claim in claims(who, needs=n, usd=9000)] for n in (guessed, said)]
    assert amounts == [[100, 100, 50, 50, 1000, 1], [9000, 9000, 4196, 4196, 4196, 1]]


@pytest.mark.parametrize(
    ("per", "now", "end"),
    [
        ("day", 0, 86400),
        ("day", 86399.9, 86400),
        ("day", 86400, 2 * 86400),
        ("month", NOW, 1796083200),  # 2026-12-01
        ("month", 1796083199.5, 1796083200),
        ("month", 1796083200, 1798761600),  # 2027-01-01
        ("month", 1835395200, 1835481600),  # 2028-02-29
        ("total", NOW, None),
    ],
)
def test_periods_end(per, now, end):
    assert period_end(per, now) == end
    if end is not None:
        assert period_start(per, end) == end
        assert period_start(per, now) <= now < period_end(per, period_start(per, now)) == end


@pytest.mark.parametrize("now", [NOW, 1796083199.999, 1796083200.0])
@pytest.mark.parametrize("per", ["day", "month"])
def test_a_purse_changes_its_name_exactly_when_its_period_ends(now, per):
    (meter,) = budgets_of(Allowance("key:a", None, Budget(usd=1, per=per)))
    end = meter.resets(now)
    assert meter.purse_name(end - 0.001) == meter.purse_name(now) != meter.purse_name(end)


# --- words -------------------------------------------------------------------------------------------


def test_meters_say_what_they_are():
    allowance = Allowance(
        "key:alice", Limits(rpm=60, tpd=9, concurrency=4, models={"gpt-*": Rates(rph=5)}), Budget(usd=50, tokens=7)
    )
    meters = [*limits_of(allowance), *model_limits_of(allowance), *budgets_of(allowance)]
    assert [str(meter) for meter in meters] == [
        "60 requests a minute of key 'alice'",
        "9 tokens a day of key 'alice'",
        "4 calls at once of key 'alice'",
        "5 requests an hour of key 'alice' for models 'gpt-*'",
        "50.00 USD a month of key 'alice'",
        "7 tokens a month of key 'alice'",
    ]


@pytest.mark.parametrize(
    ("measure", "amount", "text"),
    [
        (USD, 0, "0.00 USD"),
        (USD, 1, "0.000001 USD"),
        (USD, 1_500_000, "1.50 USD"),
        (USD, 12_345_678, "12.345678 USD"),
        (USD, -250_000, "-0.25 USD"),
        (TOKENS, 12, "12 tokens"),
    ],
)
def test_amounts(measure, amount, text):
    assert amount_text(measure, amount) == text
