"""Routes through very many channels: some are drawn, by the same rules as of few."""

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
from gateway.routing.drawing import FEW
from gateway.routing.router import Wanted

WANTED = Wanted("chat", "generate", "gpt-4o")
MANY = 200


def router_of(channels):
    common = {"provider": "echo", "models": ["gpt-*"]}
    return load(Path("gateway.yaml"), yaml.safe_dump({"channels": [common | channel for channel in channels]})).router


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
    route = router.route(WANTED, "seed", awake=lambda channel: channel.name == "c7" or int(channel.name[1:]) > 125)
    drawn = [int(name[1:]) for name in names(route)]
    assert 7 in drawn
    assert sum(number == 7 or number > 125 for number in drawn) == FEW
    assert [number < 50 for number in drawn] == sorted((number < 50 for number in drawn), reverse=True)
    assert len(set(drawn)) == len(drawn)


def test_where_everybody_rests_all_may_have_to_be_asked(router):
    assert len(set(names(router.route(WANTED, "seed", awake=lambda channel: False)))) == MANY


def test_a_rank_counts_among_those_drawn(router):
    drawn = names(router.route(WANTED, "seed"))
    ranked = names(router.route(WANTED, "seed", rank=lambda candidate: int(candidate.channel.name[1:])))
    assert ranked == sorted(drawn, key=lambda name: int(name[1:]))


def test_those_that_the_client_names_are_found_among_many(router):
    assert names(router.route(wishing(order=["c150", "c60"]), "seed"))[:2] == ["c150", "c60"]
    assert names(router.route(wishing(only=["C150", "c3"]), "seed")) == ["c3", "c150"]
    assert names(router.route(Wanted("chat", "generate", "gpt-4o", "c77"), "seed")) == ["c77"]
    assert len(names(router.route(wishing(only=["echo"], ignore=["c1"]), "seed"))) == FEW
    tagged = Wanted("chat", "generate", "gpt-4o", wishes=read_wishes({}, {"x-gateway-tags": "tag-3"}))
    assert {int(name[1:]) % 4 for name in names(router.route(tagged, "seed"))} == {3}


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
