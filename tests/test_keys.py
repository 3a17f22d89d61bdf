"""Keys and teams in the store, the feed of what was changed, and what a worker remembers of it."""

import ipaddress
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import delete, event, func, insert, select, update

from gateway.config.settings import TeamSettings
from gateway.errors import ConfigError, Forbidden, Unauthorized
from gateway.store import StoreAway, changes, clock, open_store
from gateway.store.directory import Directory
from gateway.store.importing import import_keys
from gateway.store.keys import KeyRefused, Wanted, digest_of, new_secret, prefix_of
from gateway.store.tables import calls, keys, newest_change, secrets
from gateway.store.tables import changes as changes_table
from gateway.store.teams import TeamRefused
from tests.store_cases import KINDS, opened

DAY = 86_400_000_000  # microseconds
HERE = ipaddress.ip_address("10.1.2.3")


@pytest.fixture(name="store", params=KINDS)
def _store(request, tmp_path):
    store = opened(request.param, tmp_path)
    yield store
    store.close()


@pytest.fixture(name="embedded")
def _embedded(tmp_path):
    store = opened("sqlite", tmp_path)
    yield store
    store.close()


def make(store, name, secret="", **columns):
    secret = secret or new_secret()
    store.keys.create(Wanted(name, digest_of(secret), prefix_of(secret), **columns))
    return secret


def found(store, secret):
    with store.read() as connection:
        return store.keys.find(connection, digest_of(secret))


# --- secrets -----------------------------------------------------------------------------------------


def test_a_secret_is_long_random_and_needs_no_quoting():
    made = {new_secret() for _ in range(200)}
    assert len(made) == 200
    for secret in made:
        assert secret.startswith("gw-")
        assert len(secret) == 43
        assert secret.replace("-", "").replace("_", "").isalnum()


def test_a_short_secret_shows_nothing_of_itself():
    assert prefix_of("sk-1234567890") == ""
    assert prefix_of("gw-abcdef" + "x" * 34) == "gw-abcdef"


# --- keys --------------------------------------------------------------------------------------------


def test_a_key_is_found_by_its_secret_alone_which_is_nowhere(store):
    rights = {"models": ["gpt-*"], "limits": {"rpm": 3}}
    secret = make(store, "alice", owner="me", team="search", document=rights, note="n", expires=clock.now() + DAY)
    make(store, "bob")
    key = found(store, secret).key
    assert (key.name, key.owner, key.team, key.document, key.note) == ("alice", "me", "search", rights, "n")
    assert found(store, secret + "x") is None
    with store.read() as connection:
        kept = [tuple(row) for table in (keys, secrets, changes_table) for row in connection.execute(select(table))]
    assert secret[9:] not in repr(kept)
    assert digest_of(secret) not in repr(store.keys.get("alice"))
    assert digest_of(secret) not in repr(Wanted("alice", digest_of(secret)))


def test_a_name_is_taken_once_and_for_ever(store):
    make(store, "alice")
    with pytest.raises(KeyRefused, match="'alice' exists"):
        make(store, "alice")
    store.keys.revoke("alice")
    with pytest.raises(KeyRefused, match="'alice' was revoked; take another name"):
        make(store, "alice")


@pytest.mark.parametrize("document, complaint", [
    ({"modles": []}, "unknown key 'modles', did you mean 'models'"), ({"models": 3}, "models: expected a list"),
    ({"limits": {"rpm": -1}}, "limits.rpm: expected at least 0"), ({"allow_ips": ["x"]}, "an address or a network"),
    ({"budget": {"per": "year"}}, "budget.per: expected one of day, month, total"),
])  # fmt: skip
def test_settings_are_checked_as_those_of_the_file_are(document, complaint, embedded):
    with pytest.raises(ConfigError, match=f"key 'alice': .*{complaint}"):
        make(embedded, "alice", document=document)
    make(embedded, "alice", document={"models": ["m"]})
    with pytest.raises(ConfigError, match=complaint):
        embedded.keys.change("alice", document)
    assert embedded.keys.get("alice").document == {"models": ["m"]}


def test_a_change_leaves_the_rest(store):
    make(store, "alice", owner="me", document={"models": ["m"], "limits": {"rpm": 3}}, expires=clock.now() + DAY)
    store.keys.change("alice", {"limits": {"rpm": 9}, "expires": None, "note": "later"})
    key = store.keys.get("alice")
    assert (key.owner, key.document, key.expires, key.note) == (
        "me", {"models": ["m"], "limits": {"rpm": 9}}, None, "later",
    )  # fmt: skip
    store.keys.change("alice", {"models": None, "owner": None})
    assert (store.keys.get("alice").document, store.keys.get("alice").owner) == ({"limits": {"rpm": 9}}, "")


def test_rotating_ends_the_old_secrets_after_the_overlap_and_never_later(store):
    first = make(store, "alice")
    second, third = new_secret(), new_secret()
    now = clock.now()
    ends = store.keys.rotate("alice", digest_of(second), prefix_of(second), DAY)
    assert now + DAY <= ends <= clock.now() + DAY
    assert (found(store, first).until, found(store, second).until) == (ends, None)
    store.keys.rotate("alice", digest_of(third), prefix_of(third), 2 * DAY)
    assert found(store, first).until == ends
    assert found(store, second).until > ends
    store.keys.rotate("alice", digest_of(new_secret()), "", 0)
    assert max(found(store, secret).until for secret in (first, second, third)) <= clock.now()
    assert [secret.prefix for secret in store.keys.get("alice").secrets][:2] == [prefix_of(first), prefix_of(second)]


@pytest.mark.parametrize("act", [
    lambda store: store.keys.rotate("alice", digest_of("x"), "", 0),
    lambda store: store.keys.change("alice", {"note": "x"}),
])  # fmt: skip
def test_what_was_revoked_is_not_changed_any_more(act, embedded):
    with pytest.raises(KeyRefused, match="there is no key 'alice'"):
        act(embedded)
    make(embedded, "alice")
    embedded.keys.revoke("alice")
    with pytest.raises(KeyRefused, match="'alice' was revoked"):
        act(embedded)


def test_revoking_twice_keeps_the_first_time(store):
    make(store, "alice")
    assert store.keys.revoke("alice") is True
    at = store.keys.get("alice").revoked
    assert store.keys.revoke("alice") is False
    assert store.keys.get("alice").revoked == at
    with pytest.raises(KeyRefused, match="there is no key 'nobody'"):
        store.keys.revoke("nobody")


def test_keys_are_listed_by_name_with_their_last_use_by_the_ledger(store, monkeypatch):
    monkeypatch.setattr("gateway.store.keys._PORTION", 2)
    for name, team in (("c", "x"), ("a", "x"), ("e", ""), ("b", "y"), ("d", "x")):
        make(store, name, team=team, owner=name * 2)
    store.keys.revoke("d")
    row = {column.name: 0 for column in calls.columns} | {"id": "1", "key": "a", "at": 1_700_000_000_000_000}
    texts = {column.name: "" for column in calls.columns if str(column.type) == "TEXT"}
    with store.begin() as connection:
        connection.execute(insert(calls).values({**row, **texts, "id": "1", "key": "a"}))
    assert [key.name for key in store.keys.each()] == ["a", "b", "c", "e"]
    assert [key.name for key in store.keys.each(revoked=True)] == ["a", "b", "c", "d", "e"]
    assert [key.name for key in store.keys.each(team="x")] == ["a", "c"]
    assert [key.name for key in store.keys.each(owner="bb")] == ["b"]
    assert [key.last_used for key in store.keys.each(team="x")] == [1_700_000_000_000_000, None]
    assert store.keys.get("a").last_used == 1_700_000_000_000_000
    assert all(key.secrets[0].prefix.startswith("gw-") for key in store.keys.each())


def test_one_of_a_million_keys_is_found_without_reading_the_others(embedded):
    with embedded.read() as connection:
        asked = []
        event.listen(connection, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
        embedded.keys.find(connection, "digest")
        ((statement, parameters),) = asked
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert len(plan) == 3
    assert all(step.startswith("SEARCH") for step in plan)


# --- import ------------------------------------------------------------------------------------------


def wanted(name, secret, **columns):
    return "file:1", Wanted(name, digest_of(secret), "", **columns)


def counts(done):
    return done.created, done.changed, done.unchanged, done.revoked


def test_the_same_import_may_come_again(store, monkeypatch):
    monkeypatch.setattr("gateway.store.importing._PORTION", 2)
    file = [wanted(f"key-{number}", f"secret-{number}", document={"models": ["m"]}) for number in range(5)]
    assert counts(import_keys(store, file)) == (5, 0, 0, 0)
    assert counts(import_keys(store, file)) == (0, 0, 5, 0)
    file[3] = wanted("key-3", "secret-3", document={"models": ["other"]})
    store.keys.revoke("key-1")
    assert counts(import_keys(store, file)) == (0, 1, 3, 1)
    assert store.keys.get("key-3").document == {"models": ["other"]}
    assert store.keys.get("key-1").revoked is not None
    store.keys.rotate("key-2", digest_of("newer"), "", 0)
    assert counts(import_keys(store, file)) == (0, 0, 4, 1)
    assert found(store, "secret-2").until is not None


def test_an_import_that_contradicts_changes_nothing(store):
    make(store, "alice", "alice-secret")
    file = [wanted("new", "new-secret"), wanted("bob", "alice-secret"), wanted("alice", "other-secret")]
    with pytest.raises(KeyRefused) as caught:
        import_keys(store, file)
    assert len(caught.value.complaints) == 2
    assert "'bob' has the secret of the key 'alice'" in caught.value.complaints[0]
    assert "'alice' exists, with another secret" in caught.value.complaints[1]
    assert [key.name for key in store.keys.each()] == ["alice"]


def test_nothing_is_written_before_all_is_compared(store, monkeypatch):
    monkeypatch.setattr("gateway.store.importing._PORTION", 2)
    make(store, "zoe", "zoe-secret")
    file = [*(wanted(f"key-{number}", f"secret-{number}") for number in range(5)), wanted("zoe", "other-secret")]
    with pytest.raises(KeyRefused, match="'zoe' exists, with another secret"):
        import_keys(store, file)
    assert [key.name for key in store.keys.each()] == ["zoe"]


def test_an_import_that_breaks_off_says_how_far_it_came_and_may_come_again(store, monkeypatch):
    monkeypatch.setattr("gateway.store.importing._PORTION", 2)
    file = [wanted(f"key-{number}", f"secret-{number}") for number in range(5)]
    change, left = store.change, iter([False, False, True])
    monkeypatch.setattr(store, "change", lambda work: _gone() if next(left) else change(work))
    with pytest.raises(StoreAway) as caught:
        import_keys(store, file)
    assert caught.value.reason == "gone; 4 of 5 keys of the file are imported; it may come again for the others"
    assert len(list(store.keys.each())) == 4
    monkeypatch.undo()
    assert counts(import_keys(store, file)) == (1, 0, 4, 0)


def test_a_key_that_somebody_makes_while_others_are_imported_is_refused_with_its_portion(store, monkeypatch):
    monkeypatch.setattr("gateway.store.importing._PORTION", 2)
    file = [wanted(f"key-{number}", f"secret-{number}") for number in range(5)]
    change = store.change

    def meanwhile(work):
        if len(list(store.keys.each())) == 2:
            monkeypatch.undo()
            make(store, "key-3", "another-secret")
        return change(work)

    monkeypatch.setattr(store, "change", meanwhile)
    with pytest.raises(KeyRefused) as caught:
        import_keys(store, file)
    assert caught.value.complaints[0].startswith("file:1: the key 'key-3' exists")
    assert caught.value.complaints[1].startswith("2 of 5 keys of the file are imported")


def test_a_revocation_waits_for_a_portion_of_an_import_and_not_for_all_of_it(tmp_path):
    """SQLite has one lock for all who write. Another process imports; nobody else's clock is looked at."""
    other = open_store("sqlite:///store.db", tmp_path)
    other.upgrade()
    for number in range(5):
        make(other, f"mine-{number}")
    importer = subprocess.Popen([sys.executable, "-c", IMPORTING, str(tmp_path)])
    try:
        seen = _imported(other, at_least=1)
        for number in range(5):
            assert other.keys.revoke(f"mine-{number}")
            now = _imported(other)
            assert now - seen <= 4 * 2000, "the revocation had to wait for several portions"
            seen = now
        assert importer.poll() is None, "the import is over: nothing was shown"
    finally:
        importer.kill()
        importer.wait()
        other.close()


IMPORTING = """
import sys
from pathlib import Path
from gateway.store import open_store
from gateway.store.importing import import_keys
from gateway.store.keys import Wanted, digest_of

store = open_store("sqlite:///store.db", Path(sys.argv[1]))
import_keys(store, [(f"f:{n}", Wanted(f"key-{n:06}", digest_of(f"secret-{n}"), "")) for n in range(60_000)])
"""


def _imported(store, at_least=0):
    """How many keys of the other process's are there, once there are so many."""
    end = time.monotonic() + 60
    while True:
        with store.read() as connection:
            found = connection.execute(select(func.count()).select_from(keys).where(keys.c.name.like("key-%"))).scalar()
        if found >= at_least:
            return found
        assert time.monotonic() < end, "nothing is imported"
        time.sleep(0.01)


def _gone():
    raise StoreAway("gone")


# --- teams -------------------------------------------------------------------------------------------


def test_a_team_is_made_changed_and_removed_when_nobody_is_of_it(store):
    store.teams.create("search", {"limits": {"rpm": 5}}, "n")
    with pytest.raises(TeamRefused, match="exists"):
        store.teams.create("search", {}, "")
    with pytest.raises(ConfigError, match="team 'search': limits: unknown key 'rmp', did you mean 'rpm'"):
        store.teams.change("search", {"limits": {"rmp": 5}})
    store.teams.change("search", {"budget": {"usd": 3}, "limits": None})
    team = store.teams.get("search")
    assert (team.document, team.note) == ({"budget": {"usd": 3}}, "n")
    make(store, "alice", team="search")
    with pytest.raises(TeamRefused, match="has keys: alice"):
        store.teams.remove("search")
    store.keys.revoke("alice")
    store.teams.remove("search")
    assert store.teams.each() == []
    with pytest.raises(TeamRefused, match="there is no team"):
        store.teams.remove("search")


# --- the feed of changes -------------------------------------------------------------------------------


def since(store, position):
    with store.read() as connection:
        return changes.since(connection, position)


def test_the_feed_tells_what_was_changed_since(store):
    news = since(store, None)
    assert news.everything
    assert not since(store, news.position).any
    make(store, "alice")
    store.teams.create("search", {}, "")
    fresh = since(store, news.position)
    assert (fresh.everything, fresh.keys, fresh.teams) == (False, {"alice"}, {"search"})
    assert not since(store, fresh.position).any


def test_nothing_is_told_of_what_did_not_happen(store):
    position = since(store, None).position
    with pytest.raises(RuntimeError), store.begin() as connection:
        changes.note(connection, "key", ["alice"])
        raise RuntimeError
    make(store, "bob")
    assert since(store, position).keys == {"bob"}


def test_so_many_changes_are_told_as_one(store):
    position = since(store, None).position
    with store.begin() as connection:
        changes.note(connection, "key", [str(number) for number in range(5000)])
    news = since(store, position)
    assert news.everything
    assert news.position[0] == position[0] + 1


def test_who_is_too_far_behind_forgets_everything(store, monkeypatch):
    monkeypatch.setattr(changes, "KEPT", 3)
    position = since(store, None).position
    for name in "abcdef":
        make(store, name)
    assert since(store, position).everything
    with store.read() as connection:
        assert len(connection.execute(select(changes_table)).all()) == 3


def test_a_backup_that_was_put_back_is_noticed(store):
    make(store, "a")
    make(store, "b")
    position = since(store, None).position
    with store.begin() as connection:  # as it was before b, and then c came
        connection.execute(delete(changes_table).where(changes_table.c.number == position[0]))
        connection.execute(update(newest_change).values(number=position[0] - 1))
    assert since(store, position).everything
    make(store, "c")
    assert since(store, position).everything


def test_no_change_is_missed_however_many_write_at_once(store):
    """A number that becomes visible after a higher one would never be seen."""
    writing, seen = threading.Event(), set()
    writing.set()
    position = since(store, None).position

    def write(letter):
        for number in range(12):
            make(store, f"{letter}{number}")

    def follow():
        where = position
        while True:
            last = not writing.is_set()
            news = since(store, where)
            assert not news.everything
            seen.update(news.keys)
            where = news.position
            if last:
                return

    follower = threading.Thread(target=follow)
    writers = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in (follower, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    writing.clear()
    follower.join()
    assert seen == {f"{letter}{number}" for letter in "abcd" for number in range(12)}


# --- what a worker remembers -----------------------------------------------------------------------------


class Watched:
    """A store that counts its readings, and may be away; *meanwhile* happens behind the next reading."""

    def __init__(self, store):
        self.keys, self.teams = store.keys, store.teams
        self.readings, self.away, self.meanwhile = 0, False, None
        self._store = store

    @contextmanager
    def read(self):
        if self.away:
            raise StoreAway("it is away")
        self.readings += 1
        with self._store.read() as connection:
            yield connection
        if self.meanwhile:
            happen, self.meanwhile = self.meanwhile, None
            happen()


class Time:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(name="watched")
def _watched(embedded):
    return Watched(embedded)


@pytest.fixture(name="time")
def _time():
    return Time()


@pytest.fixture(name="directory")
def _directory(watched, time):
    directory = Directory(watched, {"yaml": TeamSettings(name="yaml")}, size=3, grace=60, clock=time)
    directory.look()
    watched.readings = 0
    return directory


def admit(directory, secret, address=HERE):
    return directory.admit(digest_of(secret), address)


def test_a_key_is_asked_for_once(directory, watched, embedded):
    secret = make(embedded, "alice", document={"models": ["m"]})
    for _ in range(5):
        assert admit(directory, secret).models == ("m",)
    assert watched.readings == 1


def test_what_opens_nothing_is_asked_for_once_in_a_while(directory, watched, time):
    for _ in range(5):
        assert admit(directory, "guess") is None
    assert watched.readings == 1
    time.now += 6
    admit(directory, "guess")
    assert watched.readings == 2


def test_a_key_made_after_it_was_tried_is_known_after_a_look(directory, embedded):
    assert admit(directory, "early-secret") is None
    make(embedded, "alice", "early-secret")
    directory.look()
    assert admit(directory, "early-secret").name == "alice"


def test_only_so_many_are_remembered(directory, watched, embedded):
    held = [make(embedded, name) for name in "abcde"]
    for secret in held:
        admit(directory, secret)
    for number in range(50):
        admit(directory, f"guess-{number}")
    assert len(directory._known) == len(directory._unknown) == 3
    watched.readings = 0
    admit(directory, held[4])
    assert watched.readings == 0
    admit(directory, held[0])
    assert watched.readings == 1
    admit(directory, held[3])  # still there: 2 had not been used for longer
    assert watched.readings == 1


@pytest.mark.parametrize("change, error, code", [
    (lambda store: store.keys.revoke("alice"), Unauthorized, "revoked_api_key"),
    (lambda store: store.keys.change("alice", {"expires": clock.now() - 1}), Unauthorized, "expired_api_key"),
    (lambda store: store.keys.change("alice", {"allow_ips": ["192.0.2.0/24"]}), Forbidden, "address_not_allowed"),
    (lambda store: store.keys.rotate("alice", digest_of("x"), "", 0), Unauthorized, "expired_api_key"),
])  # fmt: skip
def test_a_change_takes_effect_with_the_next_look(change, error, code, directory, embedded):
    secret = make(embedded, "alice")
    assert admit(directory, secret).name == "alice"
    change(embedded)
    directory.look()
    with pytest.raises(error) as caught:
        admit(directory, secret)
    assert caught.value.fault.code == code
    assert secret not in str(caught.value)


def test_others_are_not_forgotten_by_a_change(directory, watched, embedded):
    alice, bob = make(embedded, "alice"), make(embedded, "bob")
    directory.look()
    admit(directory, alice)
    admit(directory, bob)
    embedded.keys.revoke("alice")
    directory.look()
    watched.readings = 0
    assert admit(directory, bob).name == "bob"
    assert watched.readings == 0


def test_a_change_of_many_is_one_too(directory, embedded):
    secret = make(embedded, "alice")
    admit(directory, secret)
    import_keys(embedded, [wanted(f"k{number}", f"secret-{number}") for number in range(1500)])
    with embedded.begin() as connection:
        connection.execute(update(keys).where(keys.c.name == "alice").values(revoked=1))
    directory.look()
    with pytest.raises(Unauthorized):
        admit(directory, secret)


def test_an_answer_from_before_a_change_is_not_kept(directory, watched, embedded):
    """The key is read, then revoked, the look hears of it, and only then the reading call goes on."""
    secret = make(embedded, "alice")

    def meanwhile():
        embedded.keys.revoke("alice")
        directory.look()

    watched.meanwhile = meanwhile
    with pytest.raises(Unauthorized) as caught:
        admit(directory, secret)
    assert caught.value.fault.code == "revoked_api_key"


def test_a_teams_limits_come_with_its_keys_and_change_with_it(directory, embedded):
    embedded.teams.create("search", {"limits": {"rpm": 5}}, "")
    secret = make(embedded, "alice", team="search", document={"limits": {"rpm": 2}})
    scopes = {allowance.scope: allowance.limits.rpm for allowance in admit(directory, secret).allowances}
    assert scopes == {"key:alice": 2, "team:search": 5}
    embedded.teams.change("search", {"limits": {"rpm": 7}})
    edition = directory.edition
    directory.look()
    assert admit(directory, secret).allowances[1].limits.rpm == 7
    assert directory.edition != edition
    assert directory.team("search").limits.rpm == 7
    assert directory.team("nobody") is None


def test_a_team_of_the_configuration_comes_first(watched, embedded):
    directory = Directory(watched, {"search": TeamSettings(name="search")})
    embedded.teams.create("search", {"limits": {"rpm": 5}}, "")
    assert admit(directory, make(embedded, "alice", team="search")).allowances == ()
    assert directory.team("search").limits is None


def test_a_store_that_is_away_is_outlived_for_the_grace_and_no_longer(directory, watched, embedded, time, caplog):
    secret = make(embedded, "alice")
    admit(directory, secret)
    watched.away = True
    with pytest.raises(StoreAway):
        admit(directory, "not met yet")
    for _ in range(3):
        directory.look()
    assert [record.getMessage() for record in caplog.records] == [
        "it is away; keys that are known are valid for 60 seconds more"
    ]
    time.now += 60
    assert admit(directory, secret).name == "alice"
    time.now += 0.1
    with pytest.raises(StoreAway) as caught:
        admit(directory, secret)
    assert (caught.value.status, caught.value.fault.code) == (503, "store_unavailable")
    embedded.keys.revoke("alice")
    watched.away = False
    with pytest.raises(Unauthorized):  # nothing is served on what was known before
        admit(directory, secret)
    directory.look()
    assert "can be asked again" in caplog.text


def test_settings_that_cannot_be_read_open_nothing(directory, embedded):
    secret = make(embedded, "alice")
    with embedded.begin() as connection:
        connection.execute(update(keys).values(settings=json.dumps({"only_in_version_9": True})))
    with pytest.raises(StoreAway, match="database") as caught:
        admit(directory, secret)
    assert "only_in_version_9" in caught.value.reason
    assert "only_in_version_9" not in caught.value.fault.message
