"""What a worker writes down, and what is known of its folder from outside."""

import json
import os
import shutil
import subprocess
import sys
import threading
import types

import pytest

from gateway.bodies import JsonBody
from gateway.domain import Attempt, Call, Endpoint, Principal, Record, Route
from gateway.headers import Headers
from gateway.ledger import Ledger, LedgerOptions
from gateway.ledger.entries import BEGUN, begun, ended, lost
from gateway.ledger.spool import Spool, clear_away, is_alive, segments, size_of, workers
from gateway.usage import Usage


@pytest.fixture(name="spool")
def _spool(tmp_path):
    spool = Spool(tmp_path / "spool", 10**6)
    yield spool
    spool.close()


def lines(folder):
    """All lines of all workers."""
    texts = [path.read_text() for worker in workers(folder) for path in segments(worker)]
    return [json.loads(line) for text in texts for line in text.splitlines() if line]


def test_a_line_is_in_the_file_as_soon_as_it_is_put(spool):
    assert spool.put({"id": "a"})
    assert lines(spool.folder) == [{"id": "a"}]


def test_files_are_nobody_elses_business(spool):
    spool.put({"id": "a"})
    (worker,) = workers(spool.folder)
    assert [path.stat().st_mode & 0o77 for path in (spool.folder, worker, *segments(worker))] == [0, 0, 0]


def test_a_full_file_is_followed_by_another(tmp_path):
    spool = Spool(tmp_path, 10**6, segment=100)
    for number in range(10):
        spool.put({"id": f"{number:030}"})
    (worker,) = workers(tmp_path)
    assert len(segments(worker)) > 2
    assert [line["id"] for line in lines(tmp_path)] == [f"{number:030}" for number in range(10)]
    spool.close()


def test_ids_are_unique_among_workers_and_over_a_reopening(tmp_path):
    spools = [Spool(tmp_path, 10**6) for _ in range(20)]
    ids = [spool.new_id() for spool in spools for _ in range(20)]
    spools[0].open()
    spools[0].close()
    ids += [spools[0].new_id() for _ in range(20)]
    assert len(set(ids)) == len(ids)


def test_threads_lose_no_line_while_files_are_exchanged(tmp_path):
    spool = Spool(tmp_path, 10**9, segment=2000)

    def work(name):
        for number in range(300):
            spool.put({"id": f"{name}-{number}"})

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = {f"{name}-{number}" for name in range(8) for number in range(300)}
    assert {line["id"] for line in lines(tmp_path)} == written
    spool.close()


def test_half_a_line_spoils_no_other(spool, monkeypatch):
    """As on a full disk: the kernel takes a part."""
    spool.put({"id": "a"})
    usual = os.write
    monkeypatch.setattr(os, "write", lambda file, data: usual(file, data[:5]))
    spool.put({"id": "cut"})
    monkeypatch.setattr(os, "write", usual)
    spool.put({"id": "b"})
    (worker,) = workers(spool.folder)
    text = segments(worker)[0].read_text()
    assert text.splitlines() == ['{"id":"a"}', '{"id"', '{"id":"b"}']
    assert spool.dropped == 1


def test_a_spool_that_cannot_be_written_is_counted_and_raises_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool", 10**6)
    assert [spool.put({"id": "a"}), spool.put({"id": "b"})] == [False, False]
    spool.look()
    assert "LOST 2 lines" in caplog.text
    assert spool.dropped == 0


def test_a_full_spool_is_seen_and_over_when_it_is_emptied(tmp_path):
    spool = Spool(tmp_path, 50)
    for _ in range(5):
        spool.put({"id": "0123456789"})
    spool.look()
    assert spool.full
    (worker,) = workers(tmp_path)
    os.truncate(segments(worker)[0], 0)
    spool.look()
    assert not spool.full
    spool.close()


def test_a_spool_that_was_removed_is_made_again(spool, caplog):
    spool.put({"id": "gone"})
    shutil.rmtree(spool.folder)
    spool.look()
    spool.put({"id": "there"})
    assert "was removed" in caplog.text
    assert lines(spool.folder) == [{"id": "there"}]


def test_a_worker_lives_until_its_spool_is_closed(spool):
    spool.open()
    (worker,) = workers(spool.folder)
    assert is_alive(worker)
    assert is_alive(worker)  # looking takes nothing away
    spool.close()
    assert not is_alive(worker)


def test_a_killed_worker_is_dead_at_once_and_its_lines_are_there(tmp_path):
    code = (
        "import sys; from pathlib import Path; from gateway.ledger.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), 10**6); spool.put({'id': 'a'}); print('there', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"there\n"
        (worker,) = workers(tmp_path)
        assert is_alive(worker)
        process.kill()
        process.wait()
        assert not is_alive(worker)
    assert lines(tmp_path) == [{"id": "a"}]


def test_folders_without_a_name_are_cleared_away_once_they_are_old(tmp_path):
    for name, age in ((".old", 100), (".new", 0)):
        (tmp_path / name).mkdir()
        stamp = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (stamp, stamp))
    clear_away(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".new"]


def test_the_size_is_that_of_all_workers(tmp_path):
    assert size_of(tmp_path / "nowhere") == 0
    spools = [Spool(tmp_path, 10**6) for _ in range(2)]
    for spool in spools:
        spool.put({"id": "a"})
    assert size_of(tmp_path) == 2 * len('{"id":"a"}\n')
    for spool in spools:
        spool.close()


# --- what stands in the lines ------------------------------------------------------------------------

CHANNEL = types.SimpleNamespace(name="main", provider=types.SimpleNamespace(name="openai"))
ROUTE = Route([types.SimpleNamespace(channel=CHANNEL, model="gpt-1")])


def call_of(body=b"{}", request_id="req-1"):
    endpoint = Endpoint("chat", "generate", "/v1/chat/completions")
    principal = Principal("alice", team="search")
    return Call(request_id, endpoint, "POST", "", Headers(), JsonBody(body), "gpt", True, principal)


def record_of(attempts=(), cost=None, **more):
    usage = Usage(10, 5, cached=3, source="upstream")
    given = {"status": 200, "outcome": "complete", "channel": "main", "attempts": attempts, "usage": usage}
    times = {"first_event": 0.25, "total": 1.5, "bytes_out": 77, "queued": 0.125}
    return Record(**given | times | {"model": "gpt-1", "provider": "openai", "cost": cost} | more)


def attempt_of(status, outcome="ok"):
    return Attempt("main", 0, "gpt-1", status, outcome, 1.0)


def test_the_last_line_says_all_of_it():
    call = call_of()
    line = ended(call, record_of((attempt_of(200),), 1234), "row")
    assert line["at"] == int(call.received.timestamp() * 1e6)
    assert (line["id"], line["request_id"], line["key"], line["team"]) == ("row", "req-1", "alice", "search")
    assert (line["channel"], line["provider"], line["public_model"]) == ("main", "openai", "gpt")
    assert (line["upstream_model"], line["dialect"], line["operation"]) == ("gpt-1", "chat", "generate")
    assert (line["input"], line["output"], line["cached"], line["reasoning"]) == (10, 5, 3, None)
    assert (line["queued"], line["first_event"], line["total"]) == (125_000, 250_000, 1_500_000)
    assert (line["cost"], line["bytes_out"], line["attempts"]) == (1234, 77, 1)


@pytest.mark.parametrize(
    ("attempts", "cost"),
    [
        ((), 0),  # no upstream was asked
        ((attempt_of(429, "rate_limited"), attempt_of(401, "bad_key")), 0),  # each refused
        ((attempt_of(200),), None),
        ((attempt_of(429), attempt_of(200)), None),
        ((attempt_of(0, "upstream_first_event_timeout"),), None),  # it may have worked, and billed it
        ((attempt_of(500),), None),
    ],
)
def test_a_cost_that_is_not_known_is_0_only_where_nothing_can_be_billed(attempts, cost):
    assert ended(call_of(), record_of(attempts), "row")["cost"] == cost


@pytest.mark.parametrize(("size", "tokens", "source"), [(400, 100, "estimated"), (10**6, None, "unknown")])
def test_a_lost_call_is_failed_with_what_was_known_of_it(size, tokens, source):
    row = lost(begun(call_of(b"x" * size), ROUTE, "row"))
    assert (row["id"], row["outcome"], row["error"], row["channel"]) == ("row", "failed", "worker_lost", "main")
    assert (row["input"], row["source"], row.get("cost")) == (tokens, source, None)


# --- the worker's side of the plugin -----------------------------------------------------------------


@pytest.fixture(name="ledger")
def _ledger(tmp_path):
    """A Ledger at work, whose bookkeeper is another's."""
    folder = tmp_path / "spool"
    ledger = Ledger(LedgerOptions(spool="spool", spool_limit=10**6))
    ledger._spool = Spool(folder, 10**6)
    yield ledger, folder
    ledger._spool.close()


def test_a_call_leaves_two_lines_with_the_same_row(ledger):
    ledger, folder = ledger
    call = call_of()
    ledger.call_begins(call, ROUTE)
    ledger.call_ended(call, record_of())
    first, last = lines(folder)
    assert first[BEGUN] == last["id"]


def test_two_calls_with_the_same_request_id_are_two_rows(ledger):
    ledger, folder = ledger
    for _ in range(2):
        call = call_of(request_id="same")
        ledger.call_begins(call, ROUTE)
        ledger.call_ended(call, record_of())
    assert len({line["id"] for line in lines(folder) if "id" in line}) == 2


def test_a_call_that_was_refused_before_any_channel_leaves_one(ledger):
    ledger, folder = ledger
    ledger.call_ended(call_of(), record_of(outcome="refused"))
    (line,) = lines(folder)
    assert line["outcome"] == "refused"


def test_a_full_spool_takes_no_new_calls_but_the_ends_of_those_it_knows(ledger):
    ledger, folder = ledger
    known, late = call_of(), call_of()
    ledger.call_begins(known, ROUTE)
    ledger._spool.full = True
    ledger.call_begins(late, ROUTE)
    ledger.call_ended(late, record_of())
    ledger.call_ended(known, record_of())
    assert len(lines(folder)) == 2
    assert ledger._spool.dropped == 1


def test_a_replaced_configuration_closes_its_spool_behind_its_last_call(ledger):
    ledger, folder = ledger
    call, late = call_of(), call_of()
    ledger.call_begins(call, ROUTE)
    ledger.end()
    (worker,) = workers(folder)
    assert is_alive(worker)
    ledger.call_ended(call, record_of())
    assert not is_alive(worker)
    ledger.call_begins(late, ROUTE)  # it had begun before, too
    ledger.call_ended(late, record_of())
    assert [is_alive(worker) for worker in workers(folder)] == [False, False]
    assert len(lines(folder)) == 4


def test_a_ledger_that_serves_nobody_leaves_no_trace(tmp_path):
    ledger = Ledger(LedgerOptions())
    call = call_of()
    ledger.call_begins(call, ROUTE)
    ledger.call_ended(call, record_of())
    assert call.notes == {}
