"""What a worker sees of its channels: how soon they begin, and how fast they write."""

import pytest

from gateway.routing.bearings import Bearings

PATH = "/v1/chat/completions"
YAML = """
channels:
  - {name: slow, provider: openai, key: k, models: [m], base_url: https://slow.test}
  - {name: quick, provider: openai, key: k, models: [m], base_url: https://quick.test}
"""
WROTE = {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 100}}
STREAM = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\ndata: [DONE]\n\n' % (b"some words of it " * 40)


def bearings_of(client):
    return client.application.extensions["gateway"].gateway.services.bearings


@pytest.fixture(name="now")
def _now():
    return [1000.0]


@pytest.fixture(name="bearings")
def _bearings(now):
    return Bearings(lambda: now[0])


def test_speed_is_a_mean_of_recent_answers(bearings, now):
    assert bearings.speed("a") is None
    bearings.wrote("a", 100, 2.0)
    assert bearings.speed("a") == 50
    bearings.wrote("a", 100, 1.0)
    assert bearings.speed("a") == pytest.approx(65)
    now[0] += 61
    assert bearings.speed("a") is None
    bearings.wrote("a", 100, 10.0)
    assert bearings.speed("a") == 10


@pytest.mark.parametrize("tokens", [None, 0, 15])
def test_too_short_an_answer_says_nothing_of_speed(tokens, bearings):
    bearings.wrote("a", tokens, 1.0)
    assert bearings.speed("a") is None


def test_speed_is_measured_once_somebody_wants_to_know(client_of, network, sent):
    network.post("https://slow.test/v1/chat/completions", json=WROTE)
    network.post("https://quick.test/v1/chat/completions", json=WROTE)
    client = client_of(YAML)
    bearings = bearings_of(client)
    asked = {"model": "m", "messages": []}
    sent(client, PATH, asked | {"provider": {"only": ["slow"]}})
    assert not bearings.measures_speed
    sent(client, PATH, asked | {"provider": {"only": ["slow"], "sort": "throughput"}})
    assert bearings.speed("slow") > 0
    assert bearings.speed("quick") is None
    sent(client, PATH, asked | {"provider": {"only": ["quick"]}})  # all calls count from now on
    assert bearings.speed("quick") > 0


def test_a_stream_that_does_not_tell_is_estimated_for_whoever_wants_to_know(client_of, network, sent):
    network.post("https://slow.test/v1/chat/completions", body=STREAM, content_type="text/event-stream")
    client = client_of(YAML)
    asked = {"model": "m:nitro", "stream": True, "messages": [], "provider": {"only": ["slow"]}}
    assert sent(client, PATH, asked).data == STREAM
    assert bearings_of(client).speed("slow") > 0


def test_the_one_that_writes_fastest_serves(client_of, network, sent):
    for name in ("slow", "quick"):
        network.post(f"https://{name}.test/v1/chat/completions", json=WROTE)
    client = client_of(YAML)
    for name, seconds in (("slow", 1e6), ("quick", 0.1)):
        bearings_of(client).wrote(name, 100, seconds)
    for _ in range(4):
        assert sent(client, PATH, {"model": "m:nitro", "messages": []}).headers["x-gateway-channel"] == "quick"
