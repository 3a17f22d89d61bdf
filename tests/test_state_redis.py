"""Redis started, stopped, killed, frozen; over TLS; and what is left in it."""

import subprocess
import threading
import time

import pytest

from gateway.errors import ConfigError
from gateway.state import Purse, Slots, StateAway, Window, open_state
from gateway.state.redis import RedisState
from tests.state_servers import PASSWORD, RedisServer

CLAIMS = [Window("rpm", 60, 5), Slots("open", 5), Purse("usd", 50, 10)]


@pytest.fixture(name="server")
def _server(tmp_path):
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture(name="state")
def _state(server, tmp_path):
    state = open_state(server.url, tmp_path)
    yield state
    state.close()


def used(state):
    return [level.used for level in state.levels(CLAIMS)]


def back(state):
    """Waits until it can be asked again; what is used then."""
    end = time.monotonic() + 20
    while True:
        try:
            return used(state)
        except StateAway:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_while_it_is_away_callers_hear_so_at_once(server, state, caplog):
    taken, lost = state.take(CLAIMS), state.take(CLAIMS)
    server.stop()
    began = time.monotonic()
    for _ in range(200):
        _refused(state)
    assert time.monotonic() - began < 20  # 200, if each had waited for a connection
    with pytest.raises(StateAway) as caught:
        state.take(CLAIMS)
    assert PASSWORD not in f"{caught.value!r} {caught.value.fault}"
    state.settle(taken, {"usd": 3})  # raises nothing
    server.start()
    assert back(state) == [2, 1, 13]
    state.settle(taken, {"usd": 0})
    state.settle(lost, {"rpm": 0})
    assert used(state) == [1, 0, 13]
    assert "is back" in caplog.text
    assert PASSWORD not in caplog.text + repr(state)


def test_while_it_is_away_nobody_can_give_a_sign_of_life(server):
    alive = 3.0
    one, other = RedisState(server.url, alive=alive), RedisState(server.url, alive=alive)
    open_ = Slots("open", 2)
    one.take([open_])
    held = other.take([open_])
    server.stop()
    end = time.monotonic() + 1.2 * alive
    while time.monotonic() < end:
        for state in one, other:
            with pytest.raises(StateAway):
                state.beat()
        time.sleep(0.05)
    server.start()
    assert back(one)[1] == 2
    assert one.take([open_]).refused
    back(other)
    other.settle(held)
    assert one.take([open_]).refused is None
    one.close()
    other.close()


def test_a_restart_between_two_calls_is_not_noticed(server, state):
    state.take(CLAIMS)
    server.kill()
    server.start()
    assert state.take(CLAIMS).refused is None
    assert state.claim("probe", 60)
    server.stop()
    server.start()
    assert not state.claim("probe", 60)
    assert used(state) == [2, 2, 20]


def test_what_nobody_heard_of_is_undone(server, state):
    """Frozen, it takes the calls and answers them later, when nobody listens any more."""
    taken = state.take(CLAIMS)
    server.freeze()
    asked = [threading.Thread(target=_refused, args=(state,)) for _ in range(20)]
    began = time.monotonic()
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join(20)
    assert 0.9 < time.monotonic() - began < 10  # 20, if they had waited for an answer one after the other
    state.settle(taken, {"rpm": 0})
    began = time.monotonic()
    for _ in range(50):
        _refused(state)
    assert time.monotonic() - began < 25  # 50, if each had waited for an answer
    server.thaw()
    assert back(state) == [0, 0, 10]
    assert state.take(CLAIMS).refused is None


def _refused(state):
    with pytest.raises(StateAway):
        state.take(CLAIMS)


def test_one_that_was_never_there_may_come_later(tmp_path):
    server = RedisServer(tmp_path)
    server.stop()
    state = RedisState(server.url)
    with pytest.raises(StateAway, match="cannot be asked"):
        state.take(CLAIMS)
    server.start()
    assert back(state) == [0, 0, 0]
    state.close()
    server.stop()


def test_a_wrong_password_is_not_repeated(server, tmp_path):
    state = open_state(server.url.replace(PASSWORD, "wr0ng-CANARY"), tmp_path)
    with pytest.raises(StateAway) as caught:
        state.take(CLAIMS)
    assert "CANARY" not in f"{caught.value!r} {caught.value.fault} {state!r}"
    assert "127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("query", ["?prefix=", "?prefix={a}", "?socket_timeout=soon", "?no_such_setting=1"])
def test_a_url_that_cannot_be_read_is_not_repeated(query, tmp_path):
    with pytest.raises(ConfigError) as caught:
        open_state(f"redis://:{PASSWORD}@localhost:6379/0{query}", tmp_path)
    assert str(caught.value).startswith("state: ")
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


def test_prefixes_keep_gateways_apart(server, tmp_path):
    one, other = (open_state(f"{server.url}?prefix={name}", tmp_path) for name in ("one", "other"))
    one.take(CLAIMS)
    one.post("a", "b", 60)
    assert used(other) == [0, 0, 0]
    assert other.posted(-1) == (0, {})
    assert [key for key in server.ask("KEYS", "*").split() if not key.startswith("{one}:")] == ["{other}:clock"]


def test_nothing_stays_for_ever_but_what_shall(server, state):
    state.settle(state.take(CLAIMS), {"rpm": 3, "usd": 1})
    state.take([*CLAIMS, Purse("total", None, 5, seconds=0), Window("day", 86400, 7)])
    state.spend("counted", 5)
    state.post("notice", "text", 100 * 86400)
    state.post("short", "text", 1)
    state.claim("probe", 60)
    state.beat()
    keys = server.ask("KEYS", "*").split()
    assert len(keys) == 13
    left = {key.partition(":")[2]: int(server.ask("PTTL", key)) / 1000 for key in keys}
    assert left.pop("purse:total") == -0.001
    assert 0 < left["window:60:rpm"] <= 120
    assert 0 < left["had:probe"] <= 60
    assert 39 * 86400 < left["purse:usd"] <= 40 * 86400
    assert left["board"] > 99 * 86400
    assert all(0 < seconds <= 100 * 86400 for seconds in left.values())


def test_scripts_may_be_flushed(server, state):
    state.take(CLAIMS)
    server.ask("SCRIPT", "FLUSH")
    assert state.take(CLAIMS).refused is None
    assert used(state) == [2, 2, 20]


def test_a_worker_that_ends_leaves_no_key_of_its_own(server, state, tmp_path):
    state.take(CLAIMS)
    other = open_state(server.url, tmp_path)
    other.take(CLAIMS)
    assert len([key for key in server.ask("KEYS", "*").split() if ":worker:" in key]) == 2
    other.close()
    assert len([key for key in server.ask("KEYS", "*").split() if ":worker:" in key]) == 1
    assert used(state) == [2, 1, 20]


def test_over_tls_only_to_whom_its_certificate_names(tmp_path):
    for name in "own", "foreign":
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    with RedisServer(tmp_path, tls=(tmp_path / "own.pem", tmp_path / "own.key")) as server:
        state = open_state(f"{server.url}?ssl_ca_certs={tmp_path / 'own.pem'}", tmp_path)
        assert state.take(CLAIMS).refused is None
        state.close()
        wrong = open_state(f"{server.url}?ssl_ca_certs={tmp_path / 'foreign.pem'}", tmp_path)
        with pytest.raises(StateAway, match="(?i)certificate"):
            wrong.take(CLAIMS)
