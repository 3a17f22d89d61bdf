"""Rows into the store, exactly once, on both databases; and the process that brings them there."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import json_text
from gateway.ledger.bookkeeper import REJECTED, Bookkeeper
from gateway.ledger.books import enter
from gateway.ledger.entries import BEGUN
from gateway.ledger.rows import COLUMNS, read_line, row_of
from gateway.ledger.spool import Spool, segments, workers
from gateway.ledger.starting import is_kept, lock, reaped, start
from gateway.store import StoreAway
from tests.ledger_cases import AT, DAY, KINDS, days_in, entry, rows_of, store_at, sums_of
from tests.state_servers import Postgres

PATIENCE = 20.0

# Members of lines as workers, other versions' workers, clients and upstreams may make them up.
_ODD = st.one_of(
    st.none(), st.booleans(), st.text(max_size=200), st.integers(-(10**20), 10**20),
    st.just(10**12), st.just(1 - (1 << 53)), st.just("\ud83d"), st.just("a" * 161), st.just({}),
)  # fmt: skip
_TRIED = st.lists(st.tuples(st.text(max_size=3), st.integers(0, 9), st.sampled_from(["ok", "x\n"]), st.floats(0, 9)))
MEMBERS = st.fixed_dictionaries(
    {}, optional={name: _TRIED if name == "tried" else _ODD for name in COLUMNS if name != "id"} | {"later": _ODD}
)


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory):
    """server() -> a Postgres, started when it is first asked for."""
    started = []

    def server():
        if not started:
            started.append(Postgres(tmp_path_factory.mktemp("postgres")))
        return started[0]

    yield server
    for one in started:
        one.stop()


@pytest.fixture(name="store", params=KINDS)
def _store(request, tmp_path, server):
    store = store_at(request.param, tmp_path, server)
    yield store
    store.close()


@pytest.fixture(name="embedded")
def _embedded(tmp_path):
    store = store_at("sqlite", tmp_path, None)
    yield store
    store.close()


@pytest.fixture(name="spool")
def _spool(tmp_path):
    spool = Spool(tmp_path / "spool", 10**9, segment=2000)
    yield spool
    spool.close()


def bookkeeper_of(spool, store):
    return Bookkeeper(spool.folder, store, 0.01)


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


# --- rows -----------------------------------------------------------------------------------------------


def rows(count, **members):
    return [row_of(entry(**members), "host", "worker") for _ in range(count)]


def members(row):
    return dict(zip(COLUMNS, row, strict=True))


def test_a_row_is_as_the_line_says(store):
    line = entry(cached=3, cache_write=None)
    enter(store, [row_of(line, "host", "worker")])
    row = rows_of(store)[line["id"]]
    assert {name: row[name] for name in line if name != "tried"} == {n: v for n, v in line.items() if n != "tried"}
    assert (row["tried"], row["machine"], row["worker"]) == ("main#0:ok/1500", "host", "worker")


def test_what_is_entered_again_is_there_once(store):
    some = rows(5)
    enter(store, some[:3])
    enter(store, some)
    enter(store, [*some, *some])
    assert len(rows_of(store)) == 5
    assert days_in(store) == sums_of(map(members, some))
    assert days_in(store)[0]["calls"] == 5


def test_the_days_add_up(store):
    seed = random.Random(7)
    some = [
        row_of(
            entry(
                at=AT + seed.randrange(3 * DAY), key=seed.choice("ab"), outcome=seed.choice(["complete", "failed"]),
                input=seed.choice([None, 5, 7]), output=seed.choice([None, 2]), cost=seed.choice([None, 0, 11]),
            ),
            "host", "worker",
        )
        for _ in range(300)
    ]  # fmt: skip
    for at in range(0, 300, 37):
        enter(store, some[at : at + 37])
    assert days_in(store) == sums_of(map(members, some))
    sums = days_in(store)
    assert sum(day["calls"] for day in sums) == 300
    costs = [members(row)["cost"] for row in some]
    assert sum(day["cost"] for day in sums) == sum(cost or 0 for cost in costs)
    assert sum(day["unpriced"] for day in sums) == costs.count(None)


def test_bookkeepers_of_two_machines_add_to_the_same_days(server, tmp_path):
    """Many rows of the same days at the same time: no deadlock, and nothing is lost."""
    store = store_at("postgresql", tmp_path, server)
    batches = [[row for key in "cab" for row in rows(20, key=key)] for _ in range(12)]
    threads = [threading.Thread(target=enter, args=(store, batch)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [day["calls"] for day in days_in(store)] == [240, 240, 240]
    store.close()


@pytest.mark.parametrize(
    "members",
    [
        {"public_model": "gp\x00t"}, {"request_id": "\ud83d"}, {"public_model": "x" * 10_000}, {"input": 10**30},
        {"cost": "many"}, {"input": True}, {"at": None}, {"tried": "main#0:ok/3"}, {"from_a_later_version": {}},
    ],
)  # fmt: skip
def test_nothing_that_a_client_or_an_upstream_says_keeps_a_row_out(store, members):
    line = json.loads(json.dumps(entry(**members)))
    assert enter(store, [row_of(line, "host", "worker"), *rows(1)]) == []
    assert len(rows_of(store)) == 2


@given(members=MEMBERS)
def test_a_line_is_read_as_it_is_made_to_fit(members):
    """The quick reader and the patient one agree on every line that both take."""
    written = json_text.write({"id": "row-1"} | members)
    line = json.loads(written)
    assert read_line(written, "host", "worker") == ("row-1", row_of(line, "host", "worker"))


def test_a_usual_line_is_read_quickly(monkeypatch):
    monkeypatch.setattr("gateway.ledger.rows.row_of", None)
    line = entry()
    assert read_line(json_text.write(line), "host", "worker")[0] == line["id"]
    assert read_line(json_text.write({BEGUN: "row-1", "at": AT}), "host", "worker") == ("row-1", None)


def test_upstreams_that_lie_do_not_make_the_sums_overflow(store):
    lies = [row_of(entry(input=2**53 - 1, cost=2**53 - 1), "host", "worker") for _ in range(2000)]
    assert enter(store, [*lies, *rows(1)]) == []
    (day,) = days_in(store)
    assert (day["calls"], day["input"], day["cost"], day["unpriced"]) == (2001, 10, 1000, 2000)


def test_a_row_that_the_database_refuses_is_given_back_and_the_others_are_entered(store):
    some = rows(7)
    some[3] = tuple((members(some[3]) | {"outcome": None}).values())
    assert enter(store, some) == [some[3]]
    assert set(rows_of(store)) == {members(row)["id"] for row in some[:3] + some[4:]}
    assert days_in(store)[0]["calls"] == 6


def test_a_table_that_is_missing_is_waited_for(store):
    """No row is to blame for what an administrator has to mend."""
    some = rows(3)
    with store.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE days RENAME TO gone")
    with pytest.raises(StoreAway) as raised:
        enter(store, some)
    assert "days" in raised.value.reason
    with store.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO days")
    assert enter(store, some) == []
    assert days_in(store)[0]["calls"] == 3


# --- the bookkeeper ---------------------------------------------------------------------------------------


def test_what_workers_write_comes_into_the_store(spool, store):
    bookkeeper = bookkeeper_of(spool, store)
    written = [entry() for _ in range(50)]
    for line in written[:30]:
        spool.put(line)
    bookkeeper.turn()
    assert set(rows_of(store)) == {line["id"] for line in written[:30]}
    for line in written[30:]:
        spool.put(line)
    bookkeeper.turn()
    assert set(rows_of(store)) == {line["id"] for line in written}


def test_what_was_carried_on_is_removed_and_the_folder_of_a_dead_worker_too(spool, embedded):
    bookkeeper = bookkeeper_of(spool, embedded)
    for _ in range(50):
        spool.put(entry())
    (worker,) = workers(spool.folder)
    assert len(segments(worker)) > 2
    bookkeeper.turn()
    assert len(segments(worker)) == 1
    spool.close()
    bookkeeper.turn()
    assert workers(spool.folder) == []


def test_a_call_under_way_holds_its_file_and_is_lost_with_its_worker(spool, embedded):
    bookkeeper = bookkeeper_of(spool, embedded)
    first = {name: value for name, value in entry().items() if name in ("at", "key", "public_model", "channel")}
    spool.put({BEGUN: "under-way"} | first)
    for _ in range(50):
        spool.put(entry())
    bookkeeper.turn()
    (worker,) = workers(spool.folder)
    assert len(segments(worker)) == 2
    assert "under-way" not in rows_of(embedded)
    # Another bookkeeper learns of it from the file that is left.
    spool.close()
    bookkeeper_of(spool, embedded).turn()
    row = rows_of(embedded)["under-way"]
    assert (row["outcome"], row["error"], row["key"], row["cost"]) == ("failed", "worker_lost", "alice", None)
    assert len(rows_of(embedded)) == 51
    assert workers(spool.folder) == []


def test_a_call_that_ended_is_not_lost(spool, embedded):
    line = entry()
    spool.put({BEGUN: line["id"], "at": AT})
    spool.put(line)
    spool.close()
    bookkeeper_of(spool, embedded).turn()
    assert [row["outcome"] for row in rows_of(embedded).values()] == ["complete"]


def test_half_a_line_is_read_once_it_is_whole(spool, embedded):
    bookkeeper = bookkeeper_of(spool, embedded)
    spool.open()
    (worker,) = workers(spool.folder)
    text = json.dumps(entry(id="halved")) + "\n"
    with segments(worker)[0].open("a") as file:
        file.write(text[:40])
        file.flush()
        bookkeeper.turn()
        assert rows_of(embedded) == {}
        file.write(text[40:])
    bookkeeper.turn()
    assert set(rows_of(embedded)) == {"halved"}


@pytest.mark.parametrize("torn", ['{"id": "x", "at', "[1, 2]", '{"id": "x", "tried": [3]}', "\x00\x00\xff"])
def test_a_line_that_cannot_be_read_harms_no_other(spool, embedded, torn):
    spool.open()
    (worker,) = workers(spool.folder)
    with segments(worker)[0].open("a", encoding="latin-1") as file:
        file.write(f"{json.dumps(entry(id='before'))}\n{torn}\n{json.dumps(entry(id='behind'))}\n")
    spool.close()
    bookkeeper_of(spool, embedded).turn()
    assert set(rows_of(embedded)) == {"before", "behind"}
    assert workers(spool.folder) == []


class _Failing:
    """A store that fails *before* or *behind* its transactions as often as told."""

    def __init__(self, store, error):
        self._store = store
        self._error = error
        self.before = self.behind = 0

    @contextlib.contextmanager
    def begin(self):
        if self.before:
            self.before -= 1
            raise self._error
        with self._store.begin() as connection:
            yield connection
        if self.behind:
            self.behind -= 1
            raise self._error


def test_while_the_store_is_away_lines_wait(spool, embedded):
    failing = _Failing(embedded, StoreAway("it is away"))
    bookkeeper = bookkeeper_of(spool, failing)
    for _ in range(50):
        spool.put(entry())
    failing.before = 2
    for _ in range(2):
        with pytest.raises(StoreAway):
            bookkeeper.turn()
    spool.put(entry())
    bookkeeper.turn()
    bookkeeper.turn()
    assert len(rows_of(embedded)) == 51


def test_a_commit_whose_answer_was_lost_is_not_repeated(spool, embedded):
    failing = _Failing(embedded, StoreAway("it went away"))
    bookkeeper = bookkeeper_of(spool, failing)
    for _ in range(9):
        spool.put(entry())
    failing.behind = 1
    with pytest.raises(StoreAway):
        bookkeeper.turn()
    bookkeeper.turn()
    assert len(rows_of(embedded)) == 9
    assert days_in(embedded)[0]["calls"] == 9


def test_more_lines_than_one_transaction_takes_come_in_one_turn(spool, embedded, monkeypatch):
    monkeypatch.setattr("gateway.ledger.bookkeeper._BATCH", 7)
    lines = [entry() for _ in range(40)]
    other = Spool(spool.folder, 10**9)
    for number, line in enumerate(lines):
        (spool if number % 2 else other).put(line)
    bookkeeper_of(spool, embedded).turn()
    assert set(rows_of(embedded)) == {line["id"] for line in lines}
    other.close()


def test_rows_that_the_database_refuses_are_put_aside(spool, embedded, monkeypatch):
    monkeypatch.setattr("gateway.ledger.bookkeeper.enter", lambda store, rows: rows)
    line = entry()
    spool.put(line)
    bookkeeper_of(spool, embedded).turn()
    (text,) = (spool.folder / REJECTED).read_text().splitlines()
    assert json.loads(text)["id"] == line["id"]


def test_it_ends_when_nobody_has_needed_it_for_a_while(spool, embedded):
    clock = iter(range(1000))
    line = entry()
    spool.put(line)
    spool.close()
    Bookkeeper(spool.folder, embedded, 0.001, lambda: next(clock)).run(threading.Event(), lambda: True)
    assert set(rows_of(embedded)) == {line["id"]}


def test_it_ends_for_a_new_configuration_with_everything_in_the_store(spool, embedded):
    spool.put(entry())
    bookkeeper_of(spool, embedded).run(threading.Event(), lambda: False)
    assert len(rows_of(embedded)) == 1


# --- the process -------------------------------------------------------------------------------------------

YAML = "store: sqlite:///ledger.db\nplugins: [{ledger: {spool: spool, interval: 0.02}}]\n"
COMMAND = "import sys; from gateway.commands.bookkeeper import command; command(sys.argv[1:])"


@pytest.fixture(name="config")
def _config(write_config):
    return write_config(YAML + "keys: [{name: a, key: k}]\nchannels: [{name: echo, provider: echo}]\n")


@pytest.fixture(name="run")
def _run(config):
    """Starts a bookkeeper; whatever still runs is killed behind the test."""
    running = []

    def run():
        running.append(subprocess.Popen([sys.executable, "-c", COMMAND, "--config", config]))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait()


def test_killed_at_any_time_it_enters_each_row_once(spool, embedded, run):
    """Three are killed while lines are written; the last one is let finish."""
    seed = random.Random(3)
    written = {}
    for _ in range(3):
        process = run()
        until(lambda: is_kept(spool.folder))
        end = time.monotonic() + seed.uniform(0.3, 0.8)
        while time.monotonic() < end:
            line = entry()
            written[line["id"]] = line
            spool.put(line)
            time.sleep(0.0005)
        process.kill()
        process.wait()
    process = run()
    until(lambda: len(rows_of(embedded)) >= len(written))
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    found = rows_of(embedded)
    assert set(found) == set(written)
    assert days_in(embedded) == sums_of(found.values())


def test_a_sigterm_carries_everything_on_first(spool, embedded, run):
    process = run()
    until(lambda: is_kept(spool.folder))
    for _ in range(20):
        spool.put(entry())
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert len(rows_of(embedded)) == 20


def test_there_is_one_at_a_time(spool, run):
    spool.put(entry())  # a worker lives, so it does not end by itself
    first = run()
    until(lambda: is_kept(spool.folder))
    assert run().wait(PATIENCE) == 0
    assert first.poll() is None


def test_a_worker_starts_one_unless_another_lives(tmp_path, config, monkeypatch):
    """The lock is handed over with the start: a second start finds it taken at once."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    spool = tmp_path / "spool"
    process = start(spool, config)
    assert process is not None
    assert start(spool, config) is None
    assert lock(spool) is None
    assert reaped(process) is None
    subprocess.run(["kill", "-9", str(process)], check=True)
    until(lambda: reaped(process) is not None)
    assert not is_kept(spool)
