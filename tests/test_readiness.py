"""Whether calls can be served."""

import pytest

from gateway import readiness
from gateway.state import StateAway

YAML = """
routes: {smart: [one/m], other: [two/m]}
channels:
  - {name: one, provider: openai, keys: [k-one, k-two], base_url: https://one.test}
  - {name: two, provider: openai, key: k-three, base_url: https://two.test}
  - {name: out, provider: openai, key: k-four, base_url: https://off.test, enabled: false}
"""


@pytest.fixture(name="asked")
def _asked(client_of):
    """asked(what to do to the services) -> (status, what fails)."""

    def ask(prepare=lambda services: None, yaml=YAML):
        client = client_of(yaml)
        prepare(client.application.extensions["gateway"].gateway.services)
        readiness._kept.clear()
        answer = client.get("/readyz")
        return answer.status_code, answer.json["failing"]

    return ask


def rest(*names):
    return lambda services: [services.health.put_to_rest(name, 60, "told to") for name in names]


def test_alive_is_who_answers(client_of):
    answer = client_of(YAML).get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"alive": True})
    assert answer.headers["x-request-id"].startswith("req_")


def test_all_is_well(asked):
    assert asked() == (200, [])


def test_a_route_without_an_awake_channel_is_not_ready(asked):
    assert asked(rest("two")) == (503, ["route other: no channel of it is awake"])
    assert asked(rest("one", "two")) == (503, ["channels: none is awake"])


def test_without_routes_one_awake_channel_is_enough(asked):
    yaml = YAML.replace("routes: {smart: [one/m], other: [two/m]}", "")
    assert asked(rest("two"), yaml) == (200, [])
    assert asked(rest("one", "two"), yaml)[0] == 503


def test_a_channel_whose_keys_all_rest_is_not_awake(asked, client_of):
    def keys(services):
        channel = client_of(YAML).application.extensions["gateway"].gateway.channels[0]
        rest(*(readiness.resting_name("one", key) for key in channel.keys))(services)

    assert asked(keys) == (503, ["route smart: no channel of it is awake"])


def test_the_shared_state_has_to_answer(asked, monkeypatch):
    def away(services):
        def posted(since):
            raise StateAway("away")

        monkeypatch.setattr(services.state, "posted", posted)

    assert asked(away) == (503, ["state"])


def test_an_answer_is_kept_for_a_moment(client_of):
    client = client_of(YAML)
    services = client.application.extensions["gateway"].gateway.services
    assert client.get("/readyz").status_code == 200
    rest("one", "two")(services)
    assert client.get("/readyz").status_code == 200
