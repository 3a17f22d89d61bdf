"""Routes through very many channels: some are drawn, by the same rules as of few."""

import copy
import fnmatch
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.loading import load
from gateway.reading_wishes import read_wishes
from gateway.routing.bearings import Bearings
from gateway.routing.drawing import FEW
from gateway.routing.router import Wanted
from gateway.routing.strategies import Choice

WANTED = Wanted("chat", "generate", "gpt-4o")
MANY = 200


def router_of(channels):
    common = {"provider": "echo", "models": ["gpt-*"]}
    return load(Path("gateway.yaml"), yaml.safe_dump({"channels": [common | channel for channel in channels]})).router


CASES = Path(__file__).parent / "cases" / "routing-many"
CALLS = [
    pytest.param(case, id=f"{path.stem}: {case['say']}")
    for path in sorted(CASES.glob("*.yaml"))
    for case in yaml.safe_load(path.read_text())["calls"]
]


def spread(told, default):
    """What a case says of channels, by name."""
    rest = told.pop("*", default)
    return {name: told.get(name, rest) for name in (f"c{i}" for i in range(MANY))}


def bearings_of(case):
    bearings = Bearings()
    for name, calls in spread(case.get("busy", {}), 0).items():
        for _ in range(calls):
            bearings.began(name)
    for name, seconds in spread(case.get("took", {}), None).items():
        if seconds is not None:
            bearings.answered(name, seconds)
    for name, speed in spread(case.get("wrote", {}), None).items():
        if speed is not None:
            bearings.wrote(name, 10 * speed, 10.0)
    return bearings


@pytest.mark.parametrize("case", CALLS)
def test_all_of_many_are_seen(case, tmp_path):
    case = copy.deepcopy(case)
    priced = spread(case.get("prices", {}), None).items()
    prices = {name: {"gpt-*": dict(zip(("input", "output"), price, strict=True))} for name, price in priced if price}
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump({"channels": prices}))
    own = spread(case.get("channels", {}), {})
    channels = [{"name": n, "provider": "echo", "models": ["gpt-*"]} | more for n, more in own.items()]
    routes = {"public": [f"{name}/gpt-4o" for name in own]}
    config = {"channels": channels, "routes": routes, "prices": str(tmp_path / "prices.yaml")}
    gateway = load(Path("gateway.yaml"), yaml.safe_dump(config))
    choice = Choice(case.get("strategy", "weighted"), bearings_of(case), gateway.services.prices)
    wishes = read_wishes({"provider": case["provider"]} if "provider" in case else {}, {})
    wanted = Wanted("chat", "generate", case.get("model", "gpt-4o"), wishes=wishes)
    found = {seed: names(gateway.router.route(wanted, seed, choice)) for seed in ("one", "two", "three")}
    for seed, route in found.items():
        assert len(set(route)) == len(route) == case.get("number", len(route))
        for group in case.get("first", ()):
            group = [group] if isinstance(group, str) else group
            assert set(route[: len(group)]) == set(group), (seed, route)
            route = route[len(group) :]


def names(route):
    return [item.channel.name for item in route.candidates]


def wishing(**provider):
    return Wanted("chat", "generate", "gpt-4o", wishes=read_wishes({"provider": provider}, {}))


@pytest.fixture(name="router", scope="module")
def _router():
    """Fifty of the higher priority; every second of those has three times the weight."""
    return router_of(
        {"name": f"c{i}", "priority": 1 if i < 50 else 0, "weight": 3 if i % 2 else 1, "tags": [f"tag-{i % 4}"]}
        for i in range(MANY)
    )


def test_no_more_are_drawn_than_a_call_could_need(router):
    route = router.route(WANTED, "seed")
    assert len(set(names(route))) == len(names(route)) == FEW
    assert route.not_drawn == MANY - FEW


def test_the_same_seed_draws_the_same(router):
    orders = {tuple(names(router.route(WANTED, seed))) for seed in ("one", "one", "two")}
    assert len(orders) == 2


def test_the_weights_hold(router):
    """Chi-squared with one degree of freedom: 10.8 has a chance of one in a thousand, and the seeds are fixed."""
    first = Counter(int(names(router.route(WANTED, f"req_{i}"))[0][1:]) % 2 for i in range(4000))
    assert ((first[1] - 3000) ** 2 / 3000 + (first[0] - 1000) ** 2 / 1000) < 10.8


def test_those_at_rest_are_drawn_beside_enough_that_are_not(router):
    """All of the higher priority but one, and half of the lower, are at rest."""
    awake = Choice(awake=lambda channel: channel.name == "c7" or int(channel.name[1:]) > 125)
    route = router.route(WANTED, "seed", awake)
    drawn = [int(name[1:]) for name in names(route)]
    assert 7 in drawn
    assert sum(number == 7 or number > 125 for number in drawn) == FEW
    assert [number < 50 for number in drawn] == sorted((number < 50 for number in drawn), reverse=True)
    assert len(set(drawn)) == len(drawn)


def test_where_everybody_rests_all_may_have_to_be_asked(router):
    assert len(set(names(router.route(WANTED, "seed", Choice(awake=lambda channel: False))))) == MANY


def test_those_that_the_client_names_are_found_among_many(router):
    assert names(router.route(wishing(order=["c150", "c60"]), "seed"))[:2] == ["c150", "c60"]
    assert names(router.route(wishing(only=["C150", "c3"]), "seed")) == ["c3", "c150"]
    assert names(router.route(Wanted("chat", "generate", "gpt-4o", "c77"), "seed")) == ["c77"]
    assert len(names(router.route(wishing(only=["echo"], ignore=["c1"]), "seed"))) == FEW
    tagged = Wanted("chat", "generate", "gpt-4o", wishes=read_wishes({}, {"x-gateway-tags": "tag-3"}))
    assert {int(name[1:]) % 4 for name in names(router.route(tagged, "seed"))} == {3}


def test_who_was_not_looked_at_is_counted(router):
    assert router.route(wishing(only=["echo"]), "seed").not_drawn == MANY - FEW
    assert router.route(wishing(only=["c150", "c3"]), "seed").not_drawn == 0
    assert router.route(wishing(order=["c150"]), "seed").not_drawn == MANY - FEW
    route = router.route(wishing(ignore=["c7"], order=["c7"]), "seed")
    assert route.not_drawn == MANY - FEW - 1
    assert [item.channel.name for item in route.left_out] == ["c7"]


def test_a_key_is_bound_to_its_tags_among_many(router):
    bound = Wanted("chat", "generate", "gpt-4o", tags=("tag-2",))
    assert {int(name[1:]) % 4 for name in names(router.route(bound, "seed"))} == {2}


@pytest.mark.parametrize("provider", [{"only": ["nobody"]}, {"ignore": ["echo"]}, {"only": ["c5"], "ignore": ["c5"]}])
def test_what_none_of_many_can_do_is_refused(router, provider):
    with pytest.raises(BadRequest, match="no channel can serve model 'gpt-4o' this way"):
        router.route(wishing(**provider), "seed")


def test_weights_of_0_come_last_also_among_many():
    router = router_of({"name": f"c{i}", "weight": int(i < 3)} for i in range(60))
    drawn = names(router.route(WANTED, "seed"))
    assert sorted(drawn[:3]) == ["c0", "c1", "c2"]
    assert len(drawn) == FEW


def test_the_entries_of_a_route_are_not_drawn():
    entries = [f"c{i}/gpt-4o" for i in range(60)]
    common = {"provider": "echo", "models": ["gpt-*"]}
    channels = [{"name": f"c{i}", "priority": i, **common} for i in range(60)]
    settings = {"channels": channels, "routes": {"smart": entries}}
    router = load(Path("gateway.yaml"), yaml.safe_dump(settings)).router
    assert names(router.route(Wanted("chat", "generate", "smart"), "seed")) == [f"c{i}" for i in range(FEW)]


_WORDS = st.text("ab-*?[", min_size=1, max_size=6)


@given(patterns=st.lists(_WORDS, min_size=1, max_size=8), model=st.text("ab-[", min_size=1, max_size=6))
def test_patterns_are_looked_up_as_they_would_be_searched(patterns, model):
    channels = [{"name": f"c{i}", "provider": "echo", "models": [pattern]} for i, pattern in enumerate(patterns)]
    router = load(Path("gateway.yaml"), yaml.safe_dump({"channels": channels})).router
    expected = {
        f"c{i}"
        for i, pattern in enumerate(patterns)
        if pattern == model or (("*" in pattern or "?" in pattern) and fnmatch.fnmatchcase(model, pattern))
    }
    assert router.has(model) == bool(expected)
    if expected:
        assert set(names(router.route(Wanted("chat", "generate", model), ""))) == expected


def test_what_is_kept_of_models_that_clients_made_up_does_not_grow(router):
    for number in range(3000):
        router.route(Wanted("chat", "generate", f"gpt-{number}"), "seed")
    assert router._kept <= 200_000
    assert sum(field.size + len(field.left_out) for field in router._fields.values()) == router._kept
