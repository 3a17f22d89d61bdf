"""What a client wishes of routing. A new case is a line in a file of cases/wishes, or a new file there."""

import json
from pathlib import Path

import pytest
import yaml

from gateway.domain import Call, Endpoint, Principal
from gateway.errors import GatewayError
from gateway.loading import load
from gateway.reading_wishes import read_wishes
from gateway.relay import check_models, route_of
from gateway.routing.bearings import Bearings
from gateway.routing.strategies import Choice
from gateway.routing.suffixes import take_suffixes
from gateway.wishes import NO_WISHES

CASES = Path(__file__).parent / "cases" / "wishes"
TABLES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(CASES.glob("*.yaml"))}
CALLS = [
    pytest.param(stem, call, id=f"{stem}: {call['say']}") for stem, table in TABLES.items() for call in table["calls"]
]
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(name="gateways", scope="module")
def _gateways():
    return {stem: load(Path("gateway.yaml"), yaml.safe_dump(table["config"])) for stem, table in TABLES.items()}


def routed(gateway, case):
    """(the call, its route) as the relay makes them."""
    key = case.get("key", {})
    principal = Principal("k", tuple(key.get("models", ())), tuple(key.get("tags", ())))
    headers = case.get("headers", {})
    wishes = read_wishes(case.get("body", {}), headers)
    endpoint = Endpoint("chat", "generate", "/v1/chat/completions")
    call = Call("seed", endpoint, "POST", "", headers, None, case.get("model", "m"), False, principal, wishes=wishes)
    take_suffixes(call, gateway.router)
    check_models(call)
    return call, route_of(gateway, call)


@pytest.mark.parametrize("stem, case", CALLS)
def test_a_wish_is_carried_out(stem, case, gateways):
    if "error" in case:
        with pytest.raises(GatewayError) as caught:
            routed(gateways[stem], case)
        assert caught.value.status == case["error"]
        return
    call, route = routed(gateways[stem], case)
    assert [f"{item.channel.name} {item.model}" for item in route.candidates] == case["route"]
    assert {item.channel.name: item.reason for item in route.left_out} == case.get("left_out", {})
    first = route.candidates[0].channel if route.candidates else None
    assert call.wishes.warning(first) == case.get("warning", "")


def test_a_call_without_a_wish_shares_the_one_object():
    assert read_wishes({"model": "m", "stream": True}, {"x-gateway-strict": "1"}) is NO_WISHES


def test_a_place_in_the_order_and_a_fallback_are_reasons(gateways):
    case = {"model": "tiny", "body": {"models": ["big"], "provider": {"order": ["b"]}}}
    route = routed(gateways["models"], case)[1]
    assert [item.reason for item in route.candidates] == [
        "lists the model; number 1 in the client's order",
        "lists the model; number 1 in the client's order; falls back to 'big'",
        "lists the model; falls back to 'big'",
    ]


# --- what travels upstream -----------------------------------------------------------------------------

UPSTREAMS = """
channels:
  - {name: plain, provider: openai, key: k, models: [m, n], base_url: https://plain.test}
  - {name: claude, provider: anthropic, key: k, models: [c], base_url: https://claude.test}
  - {name: many, provider: openrouter, key: k, models: [o, p, {q: p}], base_url: https://many.test}
"""
DOCUMENT = b'{"id":"x","object":"chat.completion","choices":[]}'


@pytest.fixture(name="asked")
def _asked(client_of, network, sent):
    """asked(body) -> (the answer, the body that the upstream got)."""
    client = client_of(UPSTREAMS)
    for host in ("plain", "many"):
        network.post(f"https://{host}.test/v1/chat/completions", body=DOCUMENT, content_type="application/json")
    network.post("https://claude.test/v1/messages", body=(
        b'{"id":"x","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"hi"}],'
        b'"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
    ), content_type="application/json")  # fmt: skip

    def ask(body, **headers):
        answer = sent(client, "/v1/chat/completions", body, headers)
        assert answer.status_code == 200, answer.data
        return answer, network.calls[-1].request.body

    return ask


LINES = [line for line in (CASES / "bytes.txt").read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("body, upstream", list(zip(LINES[::2], LINES[1::2], strict=True)), ids=LINES[::2])
def test_the_members_are_taken_out_and_no_other_byte_changes(body, upstream, asked):
    assert asked(body.encode())[1] == upstream.encode()


def test_a_translated_call_loses_no_wish_and_drops_nothing(asked):
    body = {"model": "c", "messages": HI, "provider": {"order": ["claude"]}, "models": ["m"]}
    answer, upstream = asked(body, **{"x-gateway-strict": "1"})
    assert "x-gateway-dropped" not in answer.headers
    assert not {"provider", "models"} & set(json.loads(upstream))


def test_an_aggregator_of_another_dialect_gets_the_object_too(client_of, network, sent):
    client = client_of("""
        providers: {router: {dialects: [chat], traits: [routing_object]}}
        channels: [{name: many, provider: router, key: k, models: [o], base_url: https://many.test}]
    """)
    network.post("https://many.test/v1/chat/completions", body=DOCUMENT, content_type="application/json")
    wish = {"sort": "price", "only": ["router", "x"]}
    sent(client, "/v1/messages", {"model": "o", "messages": HI, "provider": wish, "fallbacks": [{"model": "o"}]})
    upstream = json.loads(network.calls[-1].request.body)
    assert upstream["provider"] == {"sort": "price"}
    assert "fallbacks" not in upstream


# --- what the client is told -----------------------------------------------------------------------------


def test_a_warning_names_what_is_unknown_or_without_effect(asked):
    provider = {"sort": {"by": "price", "partition": "none"}, "x\r\ny": 1}
    answer, _ = asked({"model": "m", "provider": provider, "models": ["nosuch"]})
    told = "provider.sort.partition: without effect; provider.x??y: unknown; nosuch: no such model"
    assert answer.headers["x-gateway-warning"] == told


def test_there_is_no_warning_without_a_reason(asked):
    assert "x-gateway-warning" not in asked({"model": "m", "provider": {"order": ["plain"]}})[0].headers
    assert "x-gateway-warning" not in asked({"model": "o", "provider": {"sort": "price"}})[0].headers


def test_a_malformed_wish_is_refused_before_any_upstream_call(client_of, network, sent):
    answer = sent(client_of(UPSTREAMS), "/v1/chat/completions", {"model": "m", "provider": {"only": "plain"}})
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "provider.only")
    assert len(network.calls) == 0


def test_a_failed_model_falls_back_to_the_next(client_of, network, sent):
    client = client_of(UPSTREAMS)
    network.post("https://plain.test/v1/chat/completions", status=503, json={"error": {"message": "no"}})
    network.post("https://many.test/v1/chat/completions", body=DOCUMENT, content_type="application/json")
    answer = sent(client, "/v1/chat/completions", {"model": "m", "models": ["o"]})
    assert (answer.headers["x-gateway-channel"], answer.headers["x-gateway-attempts"]) == ("many", "2")
    assert json.loads(network.calls[-1].request.body) == {"model": "o", "models": ["o"]}


KEYS = """
channels:
  - {name: eu, provider: openai, key: k, models: [m], tags: [eu], base_url: https://plain.test}
  - {name: us, provider: openai, key: k, models: [n], base_url: https://plain.test}
routes: {smart: [us/n], wise: [us/n, eu/m]}
keys:
  - {name: bound, key: bound, tags: [eu], show_route: true}
  - {name: free, key: free}
"""


def test_a_key_with_tags_sees_only_the_models_of_its_channels(client_of):
    client = client_of(KEYS)
    names = {
        key: [entry["id"] for entry in client.get("/v1/models", headers={"x-api-key": key}).json["data"]]
        for key in ("bound", "free")
    }
    assert names == {"bound": ["m", "wise"], "free": ["m", "n", "smart", "wise"]}
    assert client.get("/v1/models/n", headers={"x-api-key": "bound"}).status_code == 404
    assert client.get("/v1/models/m", headers={"x-api-key": "bound"}).status_code == 200


def test_a_key_with_tags_is_refused_elsewhere(client_of, sent):
    answer = sent(client_of(KEYS), "/v1/chat/completions", {"model": "n"}, {"x-api-key": "bound"})
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "model_not_allowed")


def test_a_key_may_see_the_attempts(client_of, network, sent):
    client = client_of(KEYS.replace("key: k, models: [m]", "keys: [k, l], models: [m]"))
    network.post("https://plain.test/v1/chat/completions", status=429, json={"error": {"code": "too\r\nmuch, x"}})
    network.post("https://plain.test/v1/chat/completions", body=DOCUMENT, content_type="application/json")
    answer = sent(client, "/v1/chat/completions", {"model": "m"}, {"x-api-key": "bound", "x-request-id": "r1"})
    (first, second) = answer.headers["x-gateway-route"].split(", ")
    assert first.rpartition("/")[0] in ("eu#0:too??much??x", "eu#1:too??much??x")
    assert second.rpartition("/")[0] in {"eu#0:ok", "eu#1:ok"} - {first.partition(":")[0] + ":ok"}
    assert all(attempt.rpartition("/")[2].isdigit() for attempt in (first, second))
    assert "x-gateway-route" not in sent(client, "/v1/chat/completions", {"model": "m"}, {"x-api-key": "free"}).headers


def test_the_attempts_are_told_of_a_failed_call_too(client_of, network, sent):
    network.post("https://plain.test/v1/chat/completions", status=401, json={"error": {"message": "no"}})
    answer = sent(client_of(KEYS), "/v1/chat/completions", {"model": "m"}, {"x-api-key": "bound"})
    assert answer.status_code == 502
    assert answer.headers["x-gateway-route"].startswith("eu#0:")
    network.replace("POST", "https://plain.test/v1/chat/completions", status=400, json={"error": {"message": "no"}})
    answer = sent(client_of(KEYS), "/v1/chat/completions", {"model": "m"}, {"x-api-key": "bound"})
    assert answer.status_code == 400
    assert answer.headers["x-gateway-route"].startswith("eu#0:")


def test_the_log_line_has_the_attempts(client_of, network, sent, caplog):
    caplog.set_level("INFO", "gateway.calls")
    client = client_of("plugins: [{call_log: {format: text}}]\n" + KEYS)
    network.post("https://plain.test/v1/chat/completions", body=DOCUMENT, content_type="application/json")
    sent(client, "/v1/chat/completions", {"model": "m"}, {"x-api-key": "free"})
    sent(client, "/v1/chat/completions", {}, {"x-api-key": "free"})
    tried, refused = caplog.messages
    assert " tried=eu#0:ok/" in tried
    assert "tried=" not in refused


# --- what only the channel's own words show -------------------------------------------------------------

NARROW = """
routing: {retries: 0}
providers:
  narrow: {dialects: [chat], base_url: https://narrow.test, auth: none, parameters: {dropped: [top_k]}}
channels:
  - {name: one, provider: narrow, models: [m], priority: 4}
  - {name: two, provider: anthropic, key: k, models: [m], priority: 3, base_url: https://claude.test}
  - {name: three, provider: openai, key: k, models: [m], priority: 2, base_url: https://plain.test}
  - {name: four, provider: narrow, models: [n]}
"""


@pytest.fixture(name="narrow")
def _narrow(client_of, network, sent):
    """narrow(model, members) -> the answer to a call with these members."""
    for host in ("narrow", "plain"):
        network.post(f"https://{host}.test/v1/chat/completions", body=DOCUMENT, content_type="application/json")
    client = client_of(NARROW)
    return lambda model, **members: sent(client, "/v1/chat/completions", {"model": model, "messages": HI} | members)


def test_whoever_wants_every_parameter_carried_gets_a_channel_that_does(narrow):
    """One would drop top_k, two cannot say seed in its dialect: neither is asked, nor one of the `retries`."""
    answer = narrow("m", top_k=5, seed=7, provider={"require_parameters": True})
    assert (answer.status_code, answer.headers["x-gateway-channel"]) == (200, "three")
    assert "x-gateway-dropped" not in answer.headers
    assert narrow("m", top_k=5, seed=7).headers["x-gateway-channel"] == "one"


def test_where_nobody_carries_them_all_the_call_is_refused(narrow, network):
    answer = narrow("n", top_k=5, provider={"require_parameters": True})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "not_translatable")
    assert "top_k" in answer.json["error"]["message"]
    assert not network.calls


def test_who_takes_longer_than_the_client_likes_comes_later(gateways):
    gateway = gateways["channels"]
    case = {"body": {"provider": {"preferred_max_latency": 0.5}}}
    call, route = routed(gateway, case)
    bearings = Bearings()
    bearings.answered("a", 0.9)
    bearings.answered("b", 0.1)
    ordered = Choice("fastest", bearings).order("m", call.wishes).of_few(route.candidates, "seed")
    assert [item.channel.name for item in ordered][2:] == ["b", "a"]
