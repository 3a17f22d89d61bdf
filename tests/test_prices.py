"""Prices: which one holds, what a call costs by it, and what is wrong with a file."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.price_file import Money, Price, Rates, Tier, read_price_file
from gateway.prices import SHIPPED, Prices, charged, read_prices
from gateway.usage import Usage

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(name="prices_of")
def _prices_of(tmp_path):
    """prices_of(yaml) -> the operator's prices above the shipped ones."""

    def read(text):
        path = tmp_path / "prices.yaml"
        path.write_text(text)
        return read_prices(path)

    return read


@pytest.fixture(name="complaints_of")
def _complaints_of(tmp_path):
    def read(text):
        path = tmp_path / "prices.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_price_file(path)
        return [line.removeprefix(f"{path}:") for line in caught.value.complaints]

    return read


# --- which price holds -------------------------------------------------------------------------------

MINE = """
providers:
  acme:
    best: {input: 1, output: 2}
    "be*": {input: 3, output: 4}
    "best-*": {input: 5, output: 6}
    "*": {input: 7, output: 8}
  openai:
    gpt-4o: [{from: 2026-12-01, input: 9, output: 9}]
channels:
  acme-eu:
    "b*": {input: 10, output: 11}
"""


@pytest.mark.parametrize("channel, provider, model, first", [
    ("acme-us", "acme", "best", 1),  # the name before any glob
    ("acme-us", "acme", "best-2", 5),  # of globs the one with more letters
    ("acme-us", "acme", "beast", 3),
    ("acme-us", "acme", "other", 7),
    ("acme-eu", "acme", "best", 10),  # a channel's own before its provider's
    ("acme-eu", "acme", "other", 7),
    ("mine", "openai", "gpt-4o", 2.5),  # announced here, so the shipped one still holds
    ("mine", "openai", "gpt-4.1", 2),
])  # fmt: skip
def test_the_price_that_holds(prices_of, channel, provider, model, first):
    read, _ = prices_of(MINE).per_token(channel, provider, model, NOW)
    assert read == first * 10**6


def test_what_nobody_prices_is_unknown_and_not_free(prices_of):
    prices = prices_of(MINE)
    for channel, provider, model in [("x", "acme2", "best"), ("x", "openai", "gpt-99"), ("x", "ACME", "best")]:
        assert prices.find(channel, provider, model, NOW) is None
        assert prices.cost(channel, provider, model, Usage(input=1, output=1), NOW) is None
        assert prices.per_token(channel, provider, model, NOW) is None


def test_a_price_begins_at_its_moment(prices_of):
    prices = prices_of("""
providers:
  acme:
    m:
      - {from: 2026-03-01, input: 2}
      - {from: "2026-06-01T12:00:00Z", input: 3}
      - {input: 1}
    later: {from: 2026-03-01, input: 1}
""")

    def price(model, *moment):
        found = prices.per_token("c", "acme", model, datetime(*moment, tzinfo=UTC))
        return found and found[0] // 10**6

    assert price("m", 2020, 1, 1) == 1
    assert price("m", 2026, 2, 28, 23, 59, 59) == 1
    assert price("m", 2026, 3, 1) == 2
    assert price("m", 2026, 6, 1, 11, 59, 59) == 2
    assert price("m", 2026, 6, 1, 12) == 3
    assert price("later", 2026, 2, 28) is None
    assert price("later", 2026, 3, 1) == 1


# --- what a call costs -------------------------------------------------------------------------------


def usd(**rates):
    return Price(**{name: Money(round(Fraction(str(rate)) * 10**6)) for name, rate in rates.items()})


ALL = usd(
    input=10, cached=1, cache_write=12.5, cache_write_1h=20, input_audio=40, output=50, reasoning=60, output_audio=80
)


@pytest.mark.parametrize("price, usage, cost", [
    (usd(input=2.5, output=10), Usage(input=1000, output=100), 3500),
    (ALL, Usage(input=1000, cached=100, cache_write=300, cache_write_1h=200, input_audio=10, output=0),
     590 * 10 + 100 * 1 + 1250 + 200 * 20 + 10 * 40),
    (ALL, Usage(input=0, output=100, reasoning=50, output_audio=20), 30 * 50 + 50 * 60 + 20 * 80),
    # without a price of their own the kinds cost what they are part of
    (usd(input=1, output=2), Usage(input=100, cached=30, cache_write=30, cache_write_1h=20, input_audio=5), 100),
    (usd(input=1, output=2), Usage(output=100, reasoning=60, output_audio=5), 200),
    (usd(input=1, cache_write=3), Usage(input=100, cache_write=40, cache_write_1h=40), 60 + 120),
    # the sum is rounded, half up, and once
    (usd(input=0.4, output=0.1), Usage(input=1, output=1), 1),
    (usd(input=0.4), Usage(input=1), 0),
    (usd(input=0.000001), Usage(input=499_999), 0),
    (usd(input=0.000001), Usage(input=500_000), 1),
    (usd(input=0), Usage(input=10**9), 0),
    # what is no token
    (usd(request=0.01), Usage(input=5, output=5), 10_000),
    (usd(request=0.01), Usage(), 10_000),
    (usd(request=0.01, input=1), Usage(input=7), 10_007),
    (usd(image=0.04), Usage(images=2), 80_000),
    (usd(image=0.04), Usage(images=2, input=100, output=3000), 80_000),
    (usd(minute=0.006), Usage(seconds=9), 900),
    (usd(minute=0.006), Usage(seconds=90), 9000),
    # unknown
    (usd(input=1, output=2), Usage(), None),
    (usd(input=1, output=2), Usage(images=3), None),
    (usd(input=1), Usage(input=1, output=1), None),
    (usd(image=0.04), Usage(input=5), None),
    (usd(minute=0.006), Usage(input=5), None),
])  # fmt: skip
def test_the_cost_of_a_call(price, usage, cost):
    assert charged(price, usage) == cost


def test_a_long_call_costs_its_tier(prices_of):
    prices = prices_of("""
providers:
  acme:
    m:
      input: 1
      cached: 0.1
      output: 10
      tiers: [{above: 1000, input: 2, output: 15}, {above: 5000, cached: 0.3, input: 3}]
""")

    def cost(read, cached=0):
        return prices.cost("c", "acme", "m", Usage(input=read, cached=cached, output=100), NOW)

    assert cost(1000) == 1000 + 1000
    assert cost(1001) == 2002 + 1500
    assert cost(2000, cached=1500) == 1000 + 150 + 1500  # cached tokens make a call long, too
    assert cost(6000, cached=1000) == 15000 + 300 + 1500  # what a tier does not name stays


COUNT = st.none() | st.integers(0, 10**8)
USAGE = st.builds(Usage, *[COUNT] * 8, st.just("upstream"), COUNT, COUNT)
MONEY = st.integers(0, 10**9).map(Money)
MAYBE = st.none() | MONEY
PRICE = st.builds(
    Price, input=MONEY, output=MONEY, **{f.name: MAYBE for f in fields(Rates) if f.name not in ("input", "output")},
    request=MAYBE, image=MAYBE, minute=MAYBE,
)  # fmt: skip


def by_hand(price, usage):
    """The same by fractions, each kind for itself."""
    other = {"cached": "input", "cache_write": "input", "cache_write_1h": "cache_write", "input_audio": "input",
             "reasoning": "output", "output_audio": "output"}  # fmt: skip

    def rate(kind):
        own = getattr(price, kind)
        return rate(other[kind]) if own is None else own

    total = Fraction(0)
    if usage.total is not None:
        total += sum(Fraction(tokens * rate(kind), 10**6) for kind, tokens in usage.apart().items())
    total += (usage.images or 0) * (price.image or 0) + Fraction((usage.seconds or 0) * (price.minute or 0), 60)
    total += price.request or 0
    return int(total + Fraction(1, 2))


@given(PRICE, USAGE)
def test_the_cost_is_exact_and_never_negative(price, usage):
    cost = charged(price, usage)
    assume(cost is not None)
    assert type(cost) is int
    assert cost >= 0
    assert cost == by_hand(price, usage)


@given(PRICE, USAGE)
def test_no_known_cost_without_something_that_was_said(price, usage):
    said = (
        usage.total is not None
        or price.request is not None
        or (price.image is not None and usage.images is not None)
        or (price.minute is not None and usage.seconds is not None)
    )
    assert (charged(price, usage) is None) == (not said)


@given(st.builds(Price, input=MONEY, output=MONEY, cached=MAYBE), st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_tokens_never_cost_less(price, few, more):
    one, two = sorted((few, more))
    assert charged(price, Usage(input=one, output=one)) <= charged(price, Usage(input=two, output=two))


DATED = st.tuples(st.none() | st.integers(0, 1000), MONEY)


@given(st.lists(DATED, min_size=1, max_size=6, unique_by=lambda one: one[0]), st.integers(-10, 1010))
def test_the_latest_price_that_has_begun_holds(tmp_path_factory, dated, day):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [
        "{" + (f'from: "{(start + timedelta(days=since)).isoformat()}", ' if since is not None else "")
        + f"input: {money // 10**6}.{money % 10**6:06}" + "}"
        for since, money in dated
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("prices") / "prices.yaml"
    path.write_text("providers: {acme: {m: [" + ", ".join(lines) + "]}}")
    found = Prices({path: read_price_file(path)}).per_token("c", "acme", "m", start + timedelta(days=day))
    begun = [(-1 if since is None else since, money) for since, money in dated if since is None or since <= day]
    assert found == ((max(begun)[1], 0) if begun else None)


# --- files -------------------------------------------------------------------------------------------


def test_everything_wrong_with_a_file_is_said_at_once(complaints_of):
    assert complaints_of("""
providers:
  acme:
    a: {imput: 1, output: 2}
    b: {input: -1, output: 2}
    c: {input: 0.0000001}
    d: {input: cheap}
    e: {output: 2}
    f: {}
    g: {input: 1, form: 2026-01-01}
    h: [{input: 1}, {input: 2}]
    i: {input: 1, tiers: [{above: 9, input: 2}, {above: 5, input: 3}]}
    j: {input: 1, tiers: [{input: 2}]}
    k: {input: 1, from: soon}
    l: {input: 1, since: 2026-01-01}
    m: 5
provider: {}
""") == [
        "4: providers.acme.a: unknown key 'imput', did you mean 'input'?",
        "5: providers.acme.b.input: expected US dollars, 0 or more, with at most 6 decimals, found '-1'",
        "6: providers.acme.c.input: expected US dollars, 0 or more, with at most 6 decimals, found '0.0000001'",
        "7: providers.acme.d.input: expected US dollars, 0 or more, with at most 6 decimals, found 'cheap'",
        "10: providers.acme.g: unknown key 'form', did you mean 'from'?",
        "13: providers.acme.j.tiers[0]: key 'above' is missing (input tokens, cached ones included)",
        "14: providers.acme.k.from: expected a date such as 2027-01-01, found 'soon'",
        "15: providers.acme.l: unknown key 'since'; known here: input, cached, cache_write, cache_write_1h, "
        "input_audio, output, reasoning, output_audio, request, image, minute, tiers, from",
        "16: providers.acme.m: expected a list, found '5'",
        "17: unknown key 'provider', did you mean 'providers'?",
        "8: providers.acme.e: key 'input' is missing (what is read, per million tokens)",
        "9: providers.acme.f: no price is named here, such as 'input' and 'output'",
        "11: providers.acme.h: two prices begin at the same time",
        "12: providers.acme.i.tiers: expected rising 'above'",
    ]


@pytest.mark.parametrize("written", ["1.25", "'1.25'", "1.250000", "1250e-3"])
def test_money_is_read_from_its_text(prices_of, written):
    prices = prices_of(f"providers: {{acme: {{m: {{input: {written}}}}}}}")
    assert prices.per_token("c", "acme", "m", NOW) == (1_250_000, 0)


def test_the_shipped_prices_can_be_used():
    file = read_price_file(SHIPPED)
    assert {"openai", "anthropic", "google"} <= set(file.providers)
    for models in file.providers.values():
        for price in (price for prices in models.values() for price in prices):
            assert price.cached is None or price.cached <= price.input
            assert price.output is None or price.output >= price.input
            assert all(tier.input >= price.input for tier in price.tiers)
            assert charged(price, Usage(input=10**6, output=0, seconds=60)) is not None


def test_a_tier_names_the_same_kinds_as_a_price():
    assert {field.name for field in fields(Tier)} == {field.name for field in fields(Rates)} | {"above"}
