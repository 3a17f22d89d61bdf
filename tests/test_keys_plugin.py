"""Keys of the store on the road: beside those of the file, on every path, over a reload."""

import time

import pytest

from gateway.config.kinds import Secret
from gateway.domain import Inbound
from gateway.store import open_store
from gateway.store.keys import Wanted, digest_of, new_secret

YAML = """
store: sqlite:///gateway.db
state: memory://
teams: [{name: search, limits: {rpm: 5}}]
keys: [{name: bob, key: bobs-secret}]
channels: [{name: echo, provider: echo, models: [echo, other]}]
"""
BODY = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(name="current")
def _current(app_of):
    """The configuration of a gateway that serves."""
    current = app_of(YAML).extensions["gateway"]
    current.begin()
    yield current
    current.end()


@pytest.fixture(name="store")
def _store(tmp_path):
    store = open_store("sqlite:///gateway.db", tmp_path)
    store.upgrade()
    yield store
    store.close()


@pytest.fixture(name="client")
def _client(app_of, store):
    app = app_of(YAML)
    app.extensions["gateway"].begin()
    yield app.test_client()
    app.extensions["gateway"].end()


def make(store, name, **columns):
    secret = new_secret()
    store.keys.create(Wanted(name, digest_of(secret), "", **columns))
    return secret


def ask(client, secret):
    answer = client.post("/v1/chat/completions", json=BODY, headers={"X-Api-Key": secret} if secret else {})
    return answer.status_code, (answer.json.get("error") or {}).get("code")


def soon(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_keys_of_the_store_and_of_the_file_stand_side_by_side(client, store):
    secret = make(store, "alice", document={"models": ["echo"]})
    assert ask(client, secret) == (200, None)
    assert ask(client, "bobs-secret") == (200, None)
    assert ask(client, "gw-unknown") == (401, "invalid_api_key")
    assert ask(client, "") == (401, "invalid_api_key")
    listed = client.get("/v1/models", headers={"X-Api-Key": secret}).json["data"]
    assert [entry["id"] for entry in listed] == ["echo"]
    store.keys.revoke("alice")
    soon(lambda: ask(client, secret) == (401, "revoked_api_key"))


def test_a_team_of_the_file_counts_for_keys_of_the_store(client, store, plugin_of):
    secret = make(store, "alice", team="search")
    asked = Inbound("POST", "/", {}, None, (Secret(secret),))
    (allowance,) = plugin_of(client, "stored_keys").authenticate(asked).allowances
    assert (allowance.scope, allowance.limits.rpm) == ("team:search", 5)


def test_a_token_is_left_to_others_even_while_the_store_is_away(client, plugin_of, monkeypatch):
    plugin = plugin_of(client, "stored_keys")
    monkeypatch.setattr(plugin, "_directory", object())  # whoever asks it fails
    with pytest.raises(AttributeError):
        plugin.authenticate(Inbound("POST", "/", {}, None, (Secret("gw-x"),)))
    assert plugin.authenticate(Inbound("POST", "/", {}, None, (Secret("eyJhbGciOi.J9.x"),))) is None


def test_before_the_worker_begins_a_key_may_be_good(client_of):
    client = client_of(YAML)
    assert ask(client, "gw-whatever") == (503, "store_unavailable")
    assert ask(client, "bobs-secret") == (200, None)


def test_after_a_reload_the_keys_are_looked_at_on(current, store, tmp_path):
    (before,) = current.gateway.plugins.on("authenticate")[1:]
    assert current.reload()
    (after,) = current.gateway.plugins.on("authenticate")[1:]
    left, followed = (
        plugin.hooks["begin"].get_hookimpls()[0].plugin._directory._following for plugin in (before, after)
    )
    assert left.is_set()
    assert not followed.is_set()


def test_it_needs_a_store(client_of):
    with pytest.raises(Exception, match="stored_keys: it needs a `store:`"):
        client_of("plugins: [stored_keys]\nchannels: [{name: echo, provider: echo}]")


@pytest.mark.parametrize("option", ["grace: 1", "cached: 0", "gace: 5"])
def test_its_options_are_checked(option, client_of):
    text = f"store: sqlite:///x.db\nplugins: [{{stored_keys: {{{option}}}}}]\nchannels: [{{name: e, provider: echo}}]"
    with pytest.raises(Exception, match=f"stored_keys.*{option.split(':')[0]}"):
        client_of(text)


def test_a_team_of_the_store_counts_for_keys_of_the_file(app_of, store):
    store.teams.create("mobile", {"limits": {"rpm": 2}}, "")
    app = app_of(YAML.replace("key: bobs-secret}", "key: bobs-secret, team: mobile}"))
    app.extensions["gateway"].begin()
    try:
        client = app.test_client()
        assert [ask(client, "bobs-secret")[0] for _ in range(3)] == [200, 200, 429]
        store.teams.change("mobile", {"limits": {"rpm": 4}})
        soon(lambda: ask(client, "bobs-secret")[0] == 200)
        store.teams.remove("mobile")  # no limits must not come of it
        soon(lambda: ask(client, "bobs-secret") == (403, "access_denied"))
    finally:
        app.extensions["gateway"].end()


def test_a_key_whose_team_is_nowhere_does_not_go_without_limits(client, store):
    secret = make(store, "alice", team="gone")
    assert ask(client, secret) == (403, "access_denied")
    store.teams.create("gone", {"limits": {"rpm": 1}}, "")
    soon(lambda: ask(client, secret)[0] == 200)
    assert ask(client, secret)[0] == 429
