"""The database: forms of its URL, transactions, the schema and its versions, and what is said while it is away."""

import os
import sqlite3
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from gateway.errors import ConfigError
from gateway.store import StoreAway, migrations, open_store
from gateway.store.migrations import NEWEST
from gateway.store.tables import calls, metadata, schema_version, teams
from tests.state_servers import PASSWORD, Postgres
from tests.store_cases import KINDS, opened, url_of

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(name="store")
def _store(kind, tmp_path):
    store = opened(kind, tmp_path)
    yield store
    store.close()


def team(name):
    return teams.insert().values(name=name, settings="{}", note="", created=0)


def names(store):
    with store.read() as connection:
        return set(connection.execute(select(teams.c.name)).scalars())


# --- the URL -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [
    "sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://u:db-CANARY-5555@h/x", "store.db", "",
    "postgresql+psycopg://u:db-CANARY-5555@h", "redis://h/0", "postgresql+asyncpg-db-CANARY-5555",
    "postgresql+psycopg://u:db-CANARY-5555@h:port/x",
])  # fmt: skip
def test_another_url_is_refused_and_not_quoted(url, tmp_path):
    with pytest.raises(ConfigError) as caught:
        open_store(url, tmp_path)
    assert "expected sqlite:///path or postgresql" in str(caught.value)
    assert PASSWORD not in repr(caught.value.complaints)


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_postgresql_may_be_spelt_as_elsewhere_and_shows_no_password(scheme, tmp_path):
    store = open_store(f"{scheme}://u:{PASSWORD}@h/x", tmp_path)
    assert store.place == "postgresql+psycopg://u:***@h/x"
    assert PASSWORD not in repr(vars(store))


def test_a_password_in_the_query_is_not_shown_either(tmp_path):
    store = open_store(f"postgresql://u@127.0.0.1:1/x?password={PASSWORD}", tmp_path)
    with pytest.raises(StoreAway) as caught, store.read():
        pass
    assert caught.value.reason.startswith("postgresql+psycopg://u@127.0.0.1:1/x: ")
    assert PASSWORD not in caught.value.reason


def test_nothing_is_opened_before_it_is_needed(tmp_path):
    open_store("sqlite:///var/gateway.db", tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_relative_file_is_beside_the_configuration_and_nobody_elses(tmp_path):
    store = open_store("sqlite:///var/gateway.db", tmp_path)
    with store.read() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")]
    assert found == ["wal", 1]
    for path in (tmp_path / "var").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    absolute = open_store(f"sqlite:///{tmp_path}/other.db", Path("/nowhere"))
    absolute.upgrade()
    assert (tmp_path / "other.db").exists()


# --- transactions ------------------------------------------------------------------------------------


@each_kind
def test_a_transaction_is_everything_or_nothing(store):
    with store.begin() as connection:
        connection.execute(team("a"))
    with pytest.raises(KeyError), store.begin() as connection:
        connection.execute(team("b"))
        raise KeyError
    assert names(store) == {"a"}


@each_kind
def test_reading_does_not_wait_for_whoever_writes(store):
    with store.begin() as connection:
        connection.execute(team("a"))
        assert names(store) == set()
    assert names(store) == {"a"}


@each_kind
def test_writers_wait_for_each_other(store):
    """Each reads what was there and adds one: none may have read before another wrote."""

    def add():
        for _ in range(10):
            with store.begin() as connection:
                connection.exec_driver_sql("UPDATE newest_change SET number = number")  # takes the row, in PostgreSQL
                count = connection.execute(text("SELECT count(*) FROM teams")).scalar()
                connection.execute(team(f"team-{count}"))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(store) == {f"team-{number}" for number in range(40)}


# --- the schema --------------------------------------------------------------------------------------


@each_kind
def test_the_migrations_lead_to_the_tables(store):
    with store.read() as connection:
        there = inspect(connection)
        assert set(there.get_table_names()) == set(metadata.tables)
        for table in metadata.sorted_tables:
            found = {c["name"]: (str(c["type"]), c["nullable"]) for c in there.get_columns(table.name)}
            assert found == {c.name: (str(c.type), c.nullable) for c in table.columns}
            indexes = {index["name"]: index["column_names"] for index in there.get_indexes(table.name)}
            assert indexes == {index.name: [c.name for c in index.columns] for index in table.indexes}
            assert there.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
    assert store.flaws() == []


@each_kind
def test_flaws_are_named(store):
    with store.begin() as connection:
        connection.exec_driver_sql("DROP INDEX calls_by_key")
        connection.exec_driver_sql("DROP TABLE days")
        connection.exec_driver_sql("ALTER TABLE calls DROP COLUMN images")
    assert sorted(store.flaws()) == [
        "index calls_by_key is missing", "table calls: column images is missing", "table days is missing",
    ]  # fmt: skip


def test_an_embedded_store_is_brought_up_to_date_by_its_first_use(tmp_path):
    store = open_store("sqlite:///gateway.db", tmp_path)
    assert names(store) == set()
    assert store.version() == NEWEST
    assert store.upgrade() == (NEWEST, NEWEST)


def test_postgresql_is_upgraded_by_command_only(tmp_path):
    store = open_store(url_of("postgres"), tmp_path)
    with pytest.raises(StoreAway) as caught:
        names(store)
    assert caught.value.reason == "the database is empty; run: gateway db upgrade"
    assert store.version() == 0
    assert store.upgrade() == (0, NEWEST)
    assert names(store) == set()
    store.close()


@each_kind
def test_a_schema_of_a_newer_gateway_is_refused(kind, tmp_path):
    url = url_of(kind)
    newer = open_store(url, tmp_path)
    newer.upgrade()
    with newer.begin() as connection:
        connection.execute(schema_version.insert().values(version=NEWEST + 6, name="later", at=0, release="9.9"))
    newer.close()
    store = open_store(url, tmp_path)
    for use in (store.upgrade, lambda: names(store)):
        with pytest.raises(StoreAway) as caught:
            use()
        assert f"has schema version {NEWEST + 6}" in caught.value.reason
        assert "use a newer one" in caught.value.reason
    store.close()


@each_kind
def test_many_that_start_at_once_migrate_once(kind, tmp_path):
    url = url_of(kind)
    stores = [open_store(url, tmp_path) for _ in range(6)]
    together = threading.Barrier(len(stores))

    def start(store):
        together.wait()
        return store.upgrade()

    with ThreadPoolExecutor(len(stores)) as pool:
        came = sorted(pool.map(start, stores))
    assert came == [(0, NEWEST)] + [(NEWEST, NEWEST)] * 5
    store = stores[0]
    with store.read() as connection:
        versions = connection.execute(select(schema_version.c.version)).scalars().all()
    assert versions == list(range(1, NEWEST + 1))
    for store in stores:
        store.close()


@each_kind
def test_a_step_that_fails_leaves_everything_as_it_was(kind, tmp_path, monkeypatch):
    store = open_store(url_of(kind), tmp_path)

    class Broken:
        NAME, STATEMENTS = "broken", ("CREATE TABLE half (a TEXT)", "CREATE TABLE half (a TEXT)")

    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, Broken))
    with pytest.raises(Exception) as caught:
        store.upgrade()
    assert "half" in getattr(caught.value, "reason", str(caught.value))
    assert store.version() == 0
    monkeypatch.undo()
    store.upgrade()
    assert names(store) == set()
    store.close()


# --- away --------------------------------------------------------------------------------------------


def test_a_database_that_is_away_is_told_at_once_and_asked_again_when_it_is_back(tmp_path):
    with Postgres(tmp_path) as server:
        store = open_store(server.url, tmp_path)
        store.upgrade()
        server.stop()
        for _ in range(20):  # the first finds its connection dead, the others do not even try
            with pytest.raises(StoreAway) as caught:
                names(store)
            assert PASSWORD not in caught.value.reason + str(caught.value) + repr(caught.value.fault)
            assert "127.0.0.1" not in caught.value.fault.message
        server.start()
        end = time.monotonic() + 10
        while True:
            try:
                assert names(store) == set()
                break
            except StoreAway:
                assert time.monotonic() < end
                time.sleep(0.05)
        wrong = open_store(server.url.replace(PASSWORD, "db-WRONG-6666"), tmp_path)
        with pytest.raises(StoreAway) as caught:
            names(wrong)
        assert "password authentication failed" in caught.value.reason
        assert "WRONG" not in caught.value.reason
        store.close()


def test_one_that_answers_nothing_holds_nobody_for_long(tmp_path):
    with Postgres(tmp_path) as server:
        store = open_store(server.url, tmp_path)
        store.upgrade()
        server.freeze()
        with pytest.raises(StoreAway) as caught:
            open_store(server.url, tmp_path).version()
        assert "timeout" in caught.value.reason
        server.kill()
        store.close()


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "gateway.db").write_bytes(b"this is no database, and long enough to be seen as none" * 40)
    with pytest.raises(StoreAway) as caught:
        names(open_store("sqlite:///gateway.db", tmp_path))
    assert "not a database" in caught.value.reason


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "var").write_text("a file")
    with pytest.raises(StoreAway) as caught:
        names(open_store("sqlite:///var/gateway.db", tmp_path))
    assert "gateway.db" in caught.value.reason


def test_a_file_that_somebody_holds_is_waited_for(tmp_path):
    store = opened("sqlite", tmp_path)
    (path,) = (tmp_path / "var").glob("*.db")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, lambda: other.execute("COMMIT")).start()
    with store.begin() as connection:
        connection.execute(team("a"))
    assert names(store) == {"a"}
    other.close()


# --- what is asked for must be found without reading everything ----------------------------------------


@pytest.mark.parametrize("statement, index", [
    (select(calls).where(calls.c.key == "a", calls.c.at > 5), "calls_by_key"),
    (select(calls).where(calls.c.public_model == "a", calls.c.at > 5), "calls_by_model"),
    (select(calls).where(calls.c.at > 5), "calls_by_time"),
])  # fmt: skip
def test_reports_have_their_indexes(statement, index, tmp_path):
    store = opened("sqlite", tmp_path)
    with store.read() as connection:
        literal = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {literal}"))
    assert index in plan
    assert os.listdir(tmp_path / "var")
