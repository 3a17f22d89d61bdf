"""Keys of the store on a gateway that serves: what the command line did holds on all workers within a second."""

import hashlib
import select
import signal
import time

import pytest
from click.testing import CliRunner
from live_cases import asking
from live_client import Client, Crowd
from live_servers import CLIENT_KEY, Gateway, end, until
from state_servers import PASSWORD, Postgres

from gateway.commands import db, keys, teams
from gateway.store import open_store

pytestmark = pytest.mark.live

BODY = asking("chat", "echo", "Hello", stream=False)
PATH = "/v1/chat/completions"
YAML = """
store: {store}
state: sqlite:///var/state.db
plugins: [call_log, {{stored_keys: {{grace: {grace}}}}}]
keys: [{{name: yaml, key: "${{CLIENT_KEY}}"}}]
channels: [{{name: echo, provider: echo}}]
"""


KINDS = ("sqlite", "postgres")
GRACE = 5
AT_ONCE = 1.0  # seconds after which a change holds everywhere: two looks of 0.4 s, and the rest for a look itself
on_postgres = pytest.mark.parametrize("served", ["postgres"], indirect=True)
on_both = pytest.mark.parametrize("served", KINDS, indirect=True)


class Served:
    """A gateway, and the command line on a file beside its own that says the same."""

    def __init__(self, folder, url, workers=2):
        text = YAML.format(store=url, grace=GRACE)
        self._file = folder / "for-commands.yaml"
        self._file.write_text(text)
        self._start = lambda: Gateway(folder, text, workers=workers, environment={"CLIENT_KEY": CLIENT_KEY})

    def __enter__(self):
        self.gateway = self._start()
        return self

    def __exit__(self, *_):
        end(self.gateway)

    def run(self, command, *words):
        """What the command prints."""
        result = CliRunner(env={"GATEWAY_CONFIG": str(self._file)}).invoke(command.command, words)
        assert result.exit_code == 0, result.output
        return result.stdout.strip()


@pytest.fixture(scope="module", name="postgres")
def _postgres(tmp_path_factory):
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module", name="kinds")
def _kinds(tmp_path_factory, postgres):
    """A gateway with two workers on a store of each kind, for the whole module."""
    urls = {"sqlite": "sqlite:///var/gateway.db", "postgres": postgres.url}
    served = {kind: Served(tmp_path_factory.mktemp(kind), url) for kind, url in urls.items()}
    for each in served.values():
        each.run(db, "upgrade")
    with served["sqlite"], served["postgres"]:
        yield served


@pytest.fixture(name="served")
def _served(request, kinds):
    return kinds[getattr(request, "param", "sqlite")]


def ask(served, secret, path=PATH):
    """(status, code) of one call on a connection of its own, which any worker may take."""
    with Client(served.gateway.port) as client:
        client.post(path, BODY, x_api_key=secret).head()
        document = client.json()
    return client.status, document.get("error", {}).get("code")


def everywhere(served, secret, expected):
    """Waits until all workers say so."""
    until(lambda: all(ask(served, secret) == expected for _ in range(8)), f"{expected} everywhere")


class Load(Crowd):
    """Calls with one key, from many clients at once: ``seen`` are (when it was sent, its status), ``slowest``
    is the longest that one took."""

    def __init__(self, served, secret, clients=8):
        super().__init__(clients)
        self._port, self._secret = served.gateway.port, secret
        self.seen = []
        self.slowest = 0.0

    def _ask(self, number):
        with Client(self._port) as client:
            while not self._over.is_set():
                began = time.monotonic()
                client.post(PATH, BODY, x_api_key=self._secret).head().rest()
                self.seen.append((began, client.status))
                self.slowest = max(self.slowest, time.monotonic() - began)
                time.sleep(0.002)


@on_both
def test_a_key_is_made_changed_rotated_and_revoked_while_it_serves(served):
    run = served.run
    secret = run(keys, "create", "alice", "--model", "echo", "--owner", "me")
    everywhere(served, secret, (200, None))
    assert ask(served, CLIENT_KEY) == (200, None)
    assert ask(served, secret + "x") == (401, "invalid_api_key")

    run(keys, "set", "alice", "--model", "other")
    everywhere(served, secret, (403, "model_not_allowed"))
    run(keys, "set", "alice", "--unset", "models")
    everywhere(served, secret, (200, None))

    second = run(keys, "rotate", "alice", "--overlap", "1h")
    everywhere(served, second, (200, None))
    assert ask(served, secret) == (200, None)
    newer = run(keys, "rotate", "alice", "--overlap", "2s")
    for old in (secret, second):
        until(lambda: ask(served, old) == (401, "expired_api_key"), "the end of the overlap")  # noqa: B023
    everywhere(served, newer, (200, None))

    run(keys, "set", "alice", "--expires", "1s")
    until(lambda: ask(served, newer) == (401, "expired_api_key"), "the key's end")
    for text in (secret, second, newer, hashlib.sha256(secret.encode()).hexdigest(), PASSWORD):
        assert text not in served.gateway.log()


@on_both
def test_a_revoked_key_has_no_success_a_second_later(served):
    revoked, kept = served.run(keys, "create", "revoked"), served.run(keys, "create", "kept")
    with Load(served, revoked) as load, Load(served, kept, clients=2) as other:
        until(lambda: len(load.seen) > 100 and {status for _, status in load.seen} == {200}, "a running load")
        served.run(keys, "revoke", "revoked")
        ended = time.monotonic()
        # On a machine that has too much to do, a worker's looks are as late as its calls.
        until(lambda: time.monotonic() > ended + AT_ONCE + 0.5 + load.slowest, "some more calls")
    late = [status for began, status in load.seen if began > ended + AT_ONCE + load.slowest]
    assert late
    assert set(late) == {401}
    assert ask(served, revoked) == (401, "revoked_api_key")
    assert {status for _, status in other.seen} == {200}


def test_a_team_has_its_limits_where_the_store_has_them(served):
    served.run(teams, "create", "search", "--limits", "{rph: 5}")
    secret = served.run(keys, "create", "searcher", "--team", "search")
    assert [ask(served, secret)[0] for _ in range(8)] == [200] * 5 + [429] * 3


def test_a_reload_goes_on_with_the_keys(served):
    secret = served.run(keys, "create", "reloading")
    with Load(served, secret, clients=4) as load:
        for times in (2, 4, 6):
            served.gateway.signal(signal.SIGHUP)
            served.gateway.logged("configuration reloaded", times)
        seen = len(load.seen)
        until(lambda: len(load.seen) > seen + 50, "some more calls")
    assert {status for _, status in load.seen} == {200}
    served.run(keys, "revoke", "reloading")
    everywhere(served, secret, (401, "revoked_api_key"))


# --- the database and its moods -------------------------------------------------------------------------


def test_a_database_may_be_empty_at_the_start_and_silent_later(tmp_path, postgres):
    """One worker: whoever waits for the database must hold nobody up."""
    url = postgres.new_database("moody")
    with Served(tmp_path, url, workers=1) as served:
        served.gateway.logged("the database is empty; run: gateway db upgrade")
        assert ask(served, "gw-unknown") == (503, "store_unavailable")
        assert ask(served, CLIENT_KEY) == (200, None)
        served.run(db, "upgrade")
        secret, another = (served.run(keys, "create", name) for name in ("alice", "another"))
        everywhere(served, another, (200, None))
        served.run(keys, "revoke", "another")
        everywhere(served, another, (401, "revoked_api_key"))  # there is no news now that could be heard later
        everywhere(served, secret, (200, None))
        with Client(served.gateway.port) as waiting:
            with open_store(url, tmp_path).begin() as connection:
                connection.exec_driver_sql("LOCK TABLE secrets")
                waiting.post(PATH, BODY, x_api_key="gw-never-seen-before")
                assert [ask(served, secret) for _ in range(20)] == [(200, None)] * 20
                assert not select.select([waiting.sock], [], [], 0.05)[0]
            assert waiting.head().status == 401


@on_postgres
def test_known_keys_outlive_the_database_for_the_grace(served, postgres):
    secret = served.run(keys, "create", "outliving")
    for _ in range(5):  # on a machine that has too much to do, the grace may be over before anybody can ask
        everywhere(served, secret, (200, None))
        began = time.monotonic()
        postgres.stop()
        try:
            known, unknown = ask(served, secret), ask(served, "gw-never-seen")
            told = time.monotonic() - began < GRACE - AT_ONCE
            assert unknown == (503, "store_unavailable")
            assert known == (200, None) or not told
            everywhere(served, secret, (503, "store_unavailable"))
            assert ask(served, CLIENT_KEY) == (200, None)
        finally:
            postgres.start()
        if told:
            break
    assert told, "too slow to tell"
    everywhere(served, secret, (200, None))
    assert PASSWORD not in served.gateway.log()
