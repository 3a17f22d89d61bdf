"""Which channel is tried when some are at rest, full or dear, and what the client is told when none is left."""

import json
import time

import pytest

from gateway.state import Slots, Window

CHANNELS = """
routing: {retries: 5, queue: %s}
health: {trips: 2, cool_down: 20}
channels:
  - {name: first, provider: openai, keys: [k-one, k-two], models: [m], priority: 1, base_url: https://first.test%s}
  - {name: second, provider: openai, key: k-three, models: [m], base_url: https://second.test%s}
"""
FIRST, SECOND = "https://first.test/v1/chat/completions", "https://second.test/v1/chat/completions"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"


@pytest.fixture(name="two_of")
def _two_of(client_of):
    """two_of(settings of the first, of the second, seconds of queue) -> a client of two channels."""
    return lambda first="", second="", queue=0: client_of(CHANNELS % (queue, first, second))


def services_of(client):
    return client.application.extensions["gateway"].gateway.services


def hosts(network):
    return [call.request.url.split("/")[2].partition(".")[0] for call in network.calls]


def keys(network):
    return [call.request.headers["authorization"].removeprefix("Bearer ") for call in network.calls]


def test_a_channel_that_failed_often_is_passed_over(two_of, network, sent):
    network.post(FIRST, status=500, json={})
    network.post(SECOND, json={})
    client = two_of()
    for _ in range(4):
        assert sent(client, PATH, ASKED).status_code == 200
    assert hosts(network) == ["first", "second"] * 2 + ["second"] * 2


def test_where_nobody_is_well_those_that_failed_are_tried_all_the_same(two_of, network, sent):
    network.post(FIRST, status=500, json={})
    network.post(SECOND, status=500, json={})
    client = two_of()
    for _ in range(3):
        sent(client, PATH, ASKED)
    network.replace("POST", FIRST, json={"good": 1})
    assert sent(client, PATH, ASKED).status_code == 200


def test_a_limited_key_rests_and_the_other_goes_on(two_of, network, sent):
    network.post(FIRST, status=429, headers={"retry-after": "30"}, json={})
    network.post(FIRST, json={})
    client = two_of()
    for _ in range(6):
        assert sent(client, PATH, ASKED).status_code == 200
    assert len(set(keys(network)[1:])) == 1
    assert hosts(network) == ["first"] * 7


def test_when_all_are_limited_the_client_is_told_when_to_come_again(two_of, network, sent):
    for url, seconds in ((FIRST, "40"), (SECOND, "30")):
        network.post(url, status=429, headers={"retry-after": seconds}, json={"error": {"message": "much"}})
    client = two_of()
    first, second = sent(client, PATH, ASKED), sent(client, PATH, ASKED)
    assert (first.status_code, first.headers["retry-after"]) == (429, "30")  # the last upstream's own
    assert (second.status_code, second.json["error"]["code"]) == (429, "channels_full")
    assert 28 <= int(second.headers["retry-after"]) <= 30
    assert "rests for 30 s: limited (429" in second.json["error"]["message"]
    assert len(network.calls) == 3


@pytest.mark.parametrize("headers, seconds", [
    ({"retry-after-ms": "1500"}, 1.5),
    ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
    ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "9s"}, 20),
    ({"retry-after": "3", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"}, 3),
])  # fmt: skip
def test_the_upstream_says_for_how_long(headers, seconds, two_of, network, sent):
    network.post(FIRST, status=429, headers=headers, json={})
    network.post(SECOND, json={})
    client = two_of()
    sent(client, PATH, ASKED)
    health = services_of(client).health
    assert [health.left(name) for name in health.names()] == pytest.approx([seconds] * 2, abs=0.5)


def test_health_can_be_left_alone(client_of, network, sent):
    network.post(FIRST, status=429, headers={"retry-after": "30"}, json={})
    network.post(SECOND, json={})
    client = client_of((CHANNELS % (0, "", "")).replace("trips: 2", "enabled: false"))
    for _ in range(3):
        assert sent(client, PATH, ASKED).status_code == 200
    assert hosts(network) == ["first", "first", "second"] * 3


def test_a_refused_key_is_not_tried_again(two_of, network, sent):
    network.post(FIRST, status=401, json={})
    network.post(SECOND, json={})
    client = two_of()
    for _ in range(3):
        assert sent(client, PATH, ASKED).status_code == 200
    assert hosts(network) == ["first", "first", "second", "second", "second"]


@pytest.mark.parametrize("status", [400, 404, 413, 422, 408, 409])
def test_what_the_client_or_chance_did_counts_against_nobody(status, two_of, network, sent):
    network.post(FIRST, status=status, json={})
    network.post(SECOND, json={})
    client = two_of()
    for _ in range(5):
        sent(client, PATH, ASKED)
    assert services_of(client).health.all_well


def test_a_full_channel_is_passed_over(two_of, network, sent):
    network.post(FIRST, json={})
    network.post(SECOND, json={})
    client = two_of(first=", limits: {rpm: 3}")
    for _ in range(5):
        assert sent(client, PATH, ASKED).status_code == 200
    assert hosts(network) == ["first"] * 3 + ["second"] * 2


def test_the_limit_of_a_key_leaves_the_others_room(two_of, network, sent):
    network.post(FIRST, json={})
    network.post(SECOND, json={})
    client = two_of(first=", key_limits: {rpm: 2}")
    for _ in range(6):
        assert sent(client, PATH, ASKED).status_code == 200
    assert sorted(keys(network)) == ["k-one", "k-one", "k-three", "k-three", "k-two", "k-two"]


def test_tokens_are_counted_as_they_were_used(two_of, network, sent):
    network.post(FIRST, json={"usage": {"prompt_tokens": 400, "completion_tokens": 500, "total_tokens": 900}})
    network.post(SECOND, json={})
    client = two_of(first=", limits: {tpm: 1500}")
    for _ in range(3):
        assert sent(client, PATH, ASKED).status_code == 200
    assert hosts(network) == ["first", "first", "second"]
    level = services_of(client).state.levels([Window("first:tpm", 60, 1500)])[0]
    assert level.used == 1800


def test_places_are_given_back(two_of, network, sent):
    network.post(FIRST, json={})
    client = two_of(first=", limits: {concurrency: 1}")
    for _ in range(4):
        assert sent(client, PATH, ASKED).status_code == 200
    network.replace("POST", FIRST, status=500, json={})
    network.post(SECOND, json={})
    sent(client, PATH, ASKED)
    assert hosts(network) == ["first"] * 5 + ["second"]
    assert services_of(client).state.levels([Slots("first:open", 1)])[0].used == 0


def test_a_call_waits_for_room_as_long_as_the_queue_lets_it(two_of, network, sent):
    network.post(FIRST, json={})
    client = two_of(first=", limits: {concurrency: 1}", second=", enabled: false", queue=0.3)
    taken = services_of(client).state.take([Slots("first:open", 1)])
    began = time.monotonic()
    answer = sent(client, PATH, ASKED)
    assert (answer.status_code, answer.json["error"]["code"]) == (429, "channels_full")
    assert "retry-after" in answer.headers
    assert time.monotonic() - began >= 0.25
    services_of(client).state.settle(taken)
    assert sent(client, PATH, ASKED).status_code == 200


LONGER = """
routes: {smart: [small/m-8k, other/m-8k, large/m-1m]}
channels:
  - {name: small, provider: openai, key: k, base_url: https://small.test, context: {m-8k: 8000}}
  - {name: other, provider: openai, key: k, base_url: https://other.test, context: {"m-8*": 8000}}
  - {name: large, provider: openai, key: k, base_url: https://large.test, context: {m-1m: 1000000}}
"""
TOO_LONG = [
    (400, {"error": {"message": "too much", "code": "context_length_exceeded"}}),
    (400, {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
    (400, {"error": {"message": "This model's maximum context length is 8192 tokens."}}),
]


@pytest.mark.parametrize("status, document", TOO_LONG)
def test_what_is_too_long_goes_to_a_model_that_reads_more(status, document, client_of, network, sent):
    network.post("https://small.test/v1/chat/completions", status=status, json=document)
    network.post("https://large.test/v1/chat/completions", json={"good": 1})
    answer = sent(client_of(LONGER), PATH, ASKED | {"model": "smart"})
    assert answer.status_code == 200
    assert hosts(network) == ["small", "large"]


def test_what_is_too_long_for_all_is_the_clients_to_know(client_of, network, sent):
    client = client_of(LONGER.replace("large/m-1m", "large/m-4k"). replace("m-1m: 1000000", "m-4k: 4000"))
    network.post("https://small.test/v1/chat/completions", status=400, json=TOO_LONG[0][1])
    answer = sent(client, PATH, ASKED | {"model": "smart"})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "context_length_exceeded")
    assert hosts(network) == ["small"]


@pytest.mark.parametrize("status", [504, 524])
def test_a_status_that_may_be_billed_twice_is_tried_elsewhere_on_request(status, client_of, network, sent):
    network.post(FIRST, status=status, json={})
    network.post(SECOND, json={})
    client = client_of((CHANNELS % (0, "", "")).replace("retries: 5", f"retries: 5, retry_on: [{status}]"))
    assert sent(client, PATH, ASKED).status_code == 200


def test_a_key_may_be_kept_from_choosing_channels(client_of, network, sent):
    network.post(SECOND, json={})
    keys = "keys: [{name: a, key: a-key}, {name: b, key: b-key, may_choose: false}]"
    client = client_of((CHANNELS % (0, "", "")) + keys)
    wish = {"x-gateway-channel": "second"}
    answers = [sent(client, PATH, ASKED, wish | {"x-api-key": key}) for key in ("a-key", "b-key")]
    assert [answer.status_code for answer in answers] == [200, 403]
    assert answers[1].json["error"]["code"] == "choice_not_allowed"


PRICED = """
prices: prices.yaml
routing: {strategy: %s, sticky: %s}
channels:
  - {name: dear, provider: openai, key: k, models: [m], base_url: https://dear.test}
  - {name: cheap, provider: openai, key: k, models: [m], base_url: https://cheap.test}
  - {name: unknown, provider: openai, key: k, models: [m], base_url: https://unknown.test}
"""
PRICES = """
channels:
  dear: {m: {input: 10, output: 30}}
  cheap: {m: {input: 1, output: 3}}
"""


@pytest.fixture(name="priced")
def _priced(client_of, network, tmp_path):
    (tmp_path / "prices.yaml").write_text(PRICES)
    for name in ("dear", "cheap", "unknown"):
        network.post(f"https://{name}.test/v1/chat/completions", json={})
    return lambda strategy="weighted", sticky="false": client_of(PRICED % (strategy, sticky))


def test_the_cheapest_goes_first_if_wanted(priced, network, sent):
    client = priced("cheapest")
    for _ in range(5):
        sent(client, PATH, ASKED)
    assert set(hosts(network)) == {"cheap"}


def test_a_client_may_want_the_cheapest(priced, network, sent):
    client = priced()
    for _ in range(5):
        sent(client, PATH, ASKED | {"provider": {"sort": "price"}})
    assert set(hosts(network)) == {"cheap"}
    assert json.loads(network.calls[0].request.body) == ASKED


@pytest.mark.parametrize("most, served", [
    ({"prompt": 1, "completion": "3"}, {"cheap"}), ({"prompt": 20}, {"cheap", "dear"}), ({"completion": 2}, set()),
])  # fmt: skip
def test_a_client_may_name_the_most_it_wants_to_pay(most, served, priced, network, sent):
    client = priced()
    answers = [sent(client, PATH, ASKED | {"provider": {"max_price": most}}) for _ in range(12)]
    assert set(hosts(network)) == served
    assert {answer.status_code for answer in answers} == {200 if served else 503}


@pytest.mark.parametrize("bad", [{"sort": "colour"}, {"max_price": 3}, {"max_price": {"prompt": "much"}}])
def test_a_wish_that_cannot_be_understood_is_told(bad, priced, sent):
    answer = sent(priced(), PATH, ASKED | {"provider": bad})
    assert answer.status_code == 400
    assert answer.json["error"]["param"] == f"provider.{next(iter(bad))}"


@pytest.mark.parametrize("told", [
    {"user": "u-%d"}, {"prompt_cache_key": "u-%d"}, {"metadata": {"user_id": "u-%d"}},
])  # fmt: skip
def test_a_conversation_stays_with_its_channel(told, priced, network, sent):
    client = priced(sticky="true")
    homes = set()
    for number in range(8):
        before = len(network.calls)
        for _ in range(3):
            sent(client, PATH, json.loads(json.dumps(ASKED | told).replace("%d", str(number))))
        mine = set(hosts(network)[before:])
        assert len(mine) == 1
        homes |= mine
    assert len(homes) > 1


def test_a_conversation_leaves_a_channel_that_fails(priced, network, sent):
    client = priced(sticky="true")
    asked = {"x-session-id": "s"}
    sent(client, PATH, ASKED, asked)
    home = hosts(network)[0]
    network.replace("POST", f"https://{home}.test/v1/chat/completions", status=500, json={})
    assert sent(client, PATH, ASKED, asked).status_code == 200
    assert hosts(network)[-1] != home


def test_the_least_busy_goes_first(client_of, network, sent):
    client = client_of((PRICED % ("least_busy", "false")).replace("prices: prices.yaml", ""))
    network.post("https://cheap.test/v1/chat/completions", json={})
    bearings = services_of(client).bearings
    for name in ("dear", "unknown"):
        bearings.began(name)
    for _ in range(5):
        sent(client, PATH, ASKED)
    assert set(hosts(network)) == {"cheap"}
    assert bearings.open_calls("cheap") == 0


def test_the_fastest_goes_first_and_the_unknown_are_found_out(client_of, network, sent):
    client = client_of((PRICED % ("fastest", "false")).replace("prices: prices.yaml", ""))
    for name in ("dear", "cheap", "unknown"):
        network.post(f"https://{name}.test/v1/chat/completions", json={})
    bearings = services_of(client).bearings
    bearings.answered("dear", 3.0)
    bearings.answered("unknown", 2.0)
    sent(client, PATH, ASKED)
    assert hosts(network) == ["cheap"]
    bearings.answered("cheap", 60.0)
    sent(client, PATH, ASKED)
    assert hosts(network) == ["cheap", "unknown"]
