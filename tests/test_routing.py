"""Call -> Route. A new case is a line in a file of cases/routing, or a new file there."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from gateway.errors import GatewayError
from gateway.loading import load
from gateway.routing.router import Wanted

FILES = sorted((Path(__file__).parent / "cases" / "routing").glob("*.yaml"))
TABLES = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
CALLS = [(stem, call) for stem, table in TABLES.items() for call in table["calls"]]


def router_of(config):
    return load(Path("gateway.yaml"), yaml.safe_dump(config)).router


@pytest.fixture(name="routers", scope="module")
def _routers():
    return {stem: router_of(table["config"]) for stem, table in TABLES.items()}


@pytest.mark.parametrize("stem, call", CALLS, ids=lambda value: value if isinstance(value, str) else value["model"])
def test_a_call_gets_its_route(stem, call, routers):
    wanted = Wanted(
        call.get("dialect", "chat"), call.get("operation", "generate"), call["model"], call.get("channel", "")
    )
    if "error" in call:
        with pytest.raises(GatewayError) as caught:
            routers[stem].route(wanted, "seed")
        assert caught.value.status == call["error"]
        return
    route = routers[stem].route(wanted, "seed")
    found = [f"{item.channel.name} {item.model} {item.dialect}" for item in route.candidates]
    expected = [entry.split(" ") for entry in call["route"]]
    assert [text.split(" ")[: len(entry)] for text, entry in zip(found, expected, strict=True)] == expected
    assert {item.channel.name: item.reason for item in route.left_out} == call.get("left_out", {})
    assert all(item.reason for item in route.candidates)


@pytest.mark.parametrize("stem", TABLES)
def test_the_names_that_can_be_listed(stem, routers):
    assert routers[stem].model_names() == TABLES[stem]["names"]


def test_a_model_is_had_by_name_pattern_prefix_and_route(routers):
    router, names = routers["names"], ("fast", "gpt-5-x", "openai/fast", "nosuch", "mistral/fast")
    assert [name for name in names if router.has(name)] == ["fast", "gpt-5-x", "openai/fast"]
    assert routers["routes"].has("smart")


def test_an_error_names_the_model_and_what_each_channel_lacks(routers):
    with pytest.raises(GatewayError, match="no channel serves the model 'nosuch'"):
        routers["names"].route(Wanted("chat", "generate", "nosuch"), "")
    with pytest.raises(GatewayError, match=r"model 'm' this way \(openai: does not offer rerank in chat; anthropic: "):
        routers["dialects"].route(Wanted("chat", "rerank", "m"), "")


WEIGHTS = {"a": 1, "b": 2, "c": 5, "never": 0}


@pytest.fixture(name="orders", scope="module")
def _orders():
    channels = [{"name": n, "provider": "echo", "models": ["m"], "weight": w} for n, w in WEIGHTS.items()]
    router = router_of({"channels": channels})
    wanted = Wanted("chat", "generate", "m")
    return [[item.channel.name for item in router.route(wanted, f"req_{i}").candidates] for i in range(8000)]


def test_the_first_is_drawn_by_weight(orders):
    """Chi-squared with two degrees of freedom: 13.8 has a chance of one in a thousand, and the seeds are fixed."""
    counts, total = Counter(order[0] for order in orders), sum(WEIGHTS.values())
    expected = {name: len(orders) * weight / total for name, weight in WEIGHTS.items() if weight}
    assert counts["never"] == 0
    assert sum((counts[name] - mean) ** 2 / mean for name, mean in expected.items()) < 13.8


def test_the_second_is_drawn_by_weight_among_the_rest(orders):
    after_c = Counter(order[1] for order in orders if order[0] == "c")
    share = after_c["b"] / (after_c["a"] + after_c["b"])
    assert abs(share - 2 / 3) < 0.03


def test_each_channel_comes_once_and_weight_0_last(orders):
    assert all(sorted(order) == sorted(WEIGHTS) and order[-1] == "never" for order in orders)


def test_a_draw_can_be_made_again_from_the_calls_id(routers):
    wanted = Wanted("chat", "generate", "m")
    channels = [{"name": f"c{i}", "provider": "echo", "models": ["m"]} for i in range(20)]
    router = router_of({"channels": channels})
    orders = {tuple(c.channel.name for c in router.route(wanted, seed).candidates) for seed in ["one", "one", "two"]}
    assert len(orders) == 2


def test_without_a_model_channels_stand_as_configured():
    """A file that was uploaded must be found again, whatever the call's id."""
    channels = [{"name": f"c{i}", "provider": "openai", "key": "k"} for i in range(9)]
    router = router_of({"channels": channels})
    for seed in "abc":
        route = router.route(Wanted("chat", "files", ""), seed)
        assert [item.channel.name for item in route.candidates] == [f"c{i}" for i in range(9)]
