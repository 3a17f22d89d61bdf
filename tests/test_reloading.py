"""The exchange of a configuration: all or nothing, and calls under way keep theirs."""

import logging
import re
import time

import pytest

from gateway.app import create_app
from gateway.errors import ConfigError
from gateway.health import resting_name
from gateway.last_good import LastGood

ONE = "channels: [{name: one, provider: echo}]"
TWO = "channels: [{name: two, provider: echo}]"


def channel_of(client):
    answer = client.post("/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    return answer.headers["x-gateway-channel"]


@pytest.fixture(name="one")
def _one(client_of):
    return client_of(ONE)


def current(client):
    return client.application.extensions["gateway"]


def test_a_good_file_takes_its_place(one, write_config):
    assert channel_of(one) == "one"
    write_config(TWO)
    assert channel_of(one) == "one"
    assert current(one).reload() is True
    assert channel_of(one) == "two"


@pytest.mark.parametrize(
    "text", ["channels: [", "channels: [{name: x, provider: nosuch, key: k}]", "max_bdoy: 1\n" + TWO]
)
def test_a_bad_file_is_refused_with_its_complaints_and_the_old_one_stays(text, one, write_config, caplog):
    write_config(text)
    with caplog.at_level(logging.ERROR):
        assert current(one).reload() is False
    assert re.search(r"gateway\.yaml:\d: ", caplog.text)
    assert channel_of(one) == "one"


def test_a_file_that_is_gone_is_refused_too(one, write_config):
    write_config(ONE).unlink()
    assert current(one).reload() is False
    assert channel_of(one) == "one"


def test_a_stream_under_way_ends_on_the_configuration_it_began_with(one, write_config):
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "a b c [[delay 0.01]]"}]}
    answer = one.post("/v1/chat/completions", json=body, buffered=False)
    pieces = iter(answer.response)
    said = next(pieces)
    write_config(TWO)
    assert current(one).reload()
    said += b"".join(pieces)
    answer.close()
    assert b"[DONE]" in said
    assert answer.headers["x-gateway-channel"] == "one"
    assert channel_of(one) == "two"


def test_keys_change_with_the_file(client_of, write_config):
    client = client_of(ONE + "\nkeys: [{name: a, key: first}]")
    for key, status in (("first", 200), ("second", 401)):
        assert client.get("/v1/models", headers={"X-Api-Key": key}).status_code == status
    write_config(ONE + "\nkeys: [{name: a, key: second}]")
    assert current(client).reload()
    for key, status in (("first", 401), ("second", 200)):
        assert client.get("/v1/models", headers={"X-Api-Key": key}).status_code == status


def test_a_worker_that_starts_on_a_broken_file_goes_on_with_the_last_good_one(write_config, caplog):
    last_good = LastGood()
    create_app(write_config(ONE), last_good)
    path = write_config("channels: [")
    assert channel_of(create_app(path, last_good).test_client()) == "one"
    assert "going on with the last good one" in caplog.text
    with pytest.raises(ConfigError):
        create_app(path, LastGood())


def test_the_last_good_text_is_the_latest_and_no_longer_than_itself():
    last_good = LastGood()
    assert last_good.read() == ""
    for text in ("a long text, é", "short", ""):
        last_good.write(text)
        assert last_good.read() == text


def test_warnings_of_a_reload_are_logged(one, write_config, caplog):
    write_config("plugins: [dashboard]\n" + ONE)
    assert current(one).reload()
    assert "plugins.dashboard: understood, but without effect" in caplog.text


def test_a_watched_file_is_reloaded_when_it_changes(client_of, write_config):
    client = client_of("watch: true\n" + ONE)
    current(client).watch()
    write_config(TWO)
    deadline = time.monotonic() + 10
    while channel_of(client) != "two" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert channel_of(client) == "two"


PLACES = """
channels:
  - {name: moved, provider: openai, key: k-moved, base_url: https://%s.test, models: [m]}
  - {name: stays, provider: openai, key: k-stays, base_url: https://stays.test, models: [m]}
"""


def test_a_channel_that_leads_elsewhere_has_a_clean_record_and_the_others_keep_theirs(client_of, write_config):
    client = client_of(PLACES % "here")
    gateway = current(client).gateway
    health, settings = gateway.services.health, gateway.settings.health
    names = [name for each in gateway.channels for name in (each.name, resting_name(each.name, each.keys[0]))]
    for name in names:
        health.refused(name, settings, "401")
    health.put_to_rest(names[0], 60, "told to")
    write_config(PLACES % "there")
    assert current(client).reload()
    assert current(client).gateway.services.health is health
    assert set(health.names()) == {*names} - {names[1]}
