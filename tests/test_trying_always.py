"""What holds whatever channels there are and however they fail: nobody is asked twice, no lower priority
comes before a higher, the deadline holds, and what was held for the call is given back."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.app import create_app
from gateway.state import Slots
from tests.routing_cases import ASKED, KEY, PATH, scripted

DEADLINE = 0.3
RETRIED = {500, 503, 529, 408, 429, "429 soon", 401, "close", "empty", "stall", "slow 500"}
OUTCOMES = st.sampled_from([200, "slow", 400, 404, 422, *sorted(RETRIED, key=str)])
CHANNELS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(OUTCOMES, min_size=1, max_size=3), st.booleans()), min_size=1, max_size=4
)


def yaml_of(folder, channels, retries, hedged):
    told = []
    for number, (priority, keys, bounded) in enumerate(channels):
        names = ", ".join(f"c{number}-{position}" for position in range(len(keys)))
        limits = ", limits: {concurrency: 1, rpm: 100}, key_limits: {concurrency: 1}" if bounded else ""
        told.append(f"name: c{number}, priority: {priority}, keys: [{names}], timeout: {{first_event: 0.1}}{limits}")
    hedge = ", hedge_after: 0.02" if hedged else ""
    more = f"routing: {{retries: {retries}, queue: 0, deadline: {DEADLINE}{hedge}}}\nhealth: {{trips: 100}}"
    return scripted(folder, told, more)


def tried(answer):
    """(channel, key, outcome) of each request that was made."""
    found = re.findall(r"c(\d)#(\d):([\w.-]+)/", answer.headers.get("x-gateway-route", ""))
    return [(int(channel), int(key), outcome) for channel, key, outcome in found]


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    return tmp_path_factory.mktemp("always")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(channels=CHANNELS, retries=st.integers(0, 6), hedged=st.booleans(), stream=st.booleans())
def test_whatever_happens(folder: Path, plugin_of, sent, channels, retries, hedged, stream):
    path = folder / "gateway.yaml"
    path.write_text(yaml_of(folder, channels, retries, hedged))
    for _ in range(3):  # what takes too long each time does so of itself, not because the machine is busy
        client = create_app(path).test_client()
        plugin = plugin_of(client, "scripted")
        plugin.script = {f"c{i}-{k}": told for i, (_, keys, _) in enumerate(channels) for k, told in enumerate(keys)}
        began = time.monotonic()
        answer = sent(client, PATH, ASKED | {"stream": stream}, KEY)
        answer.get_data()
        answer.close()
        if time.monotonic() - began < DEADLINE + 0.4:
            break
    else:
        raise AssertionError("the deadline was passed three times")
    sendings = tried(answer)
    seen = [f"c{channel}-{key}" for channel, key, _ in sendings]
    assert sorted(plugin.asked) == sorted(seen)
    attempts = [each for each in sendings if each[2] != "stale_connection"]
    assert len({attempt[:2] for attempt in attempts}) == len(attempts) <= retries + 1
    asked = [f"c{channel}-{key}" for channel, key, _ in attempts]
    hedging = hedged and not stream
    if not hedging:  # where two run at once, who ends first is told first
        assert plugin.asked == seen
        priorities = [channels[channel][0] for channel, _, _ in attempts]
        assert priorities == sorted(priorities, reverse=True)
        told = [plugin.script[key] for key in asked]
        assert all(each in RETRIED for each in told[:-1]), "tried again after what nobody could do better"
        assert (answer.status_code == 200) == (attempts[-1][2] == "ok")
    if answer.status_code == 200:
        assert sum(outcome == "ok" for _, _, outcome in attempts) == 1
    services = client.application.extensions["gateway"].gateway.services
    for number, (_, keys, bounded) in enumerate(channels):
        assert services.bearings.open_calls(f"c{number}") == 0
        if bounded and keys:
            assert services.state.levels([Slots(f"c{number}:open", 1)])[0].used == 0
