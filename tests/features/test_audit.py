"""What is written down, and that every later change of it shows."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from model_replies import reply_of

from gateway.commands.audit import command
from gateway.policies import ChainBroken, ChainedFile, Rotation, verify_files

KEYS = "keys: [{name: alice, key: key-CANARY-a, owner: Ann}]"
ALICE = {"X-Api-Key": "key-CANARY-a"}
NEVER = Rotation(per="never")


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "var" / "audit.jsonl"


@pytest.fixture(name="entries")
def _entries(path):
    """entries(number=2) -> all lines but those that begin a file, as soon as there are so many."""

    def entries(number=2):
        end = time.monotonic() + 10
        while True:
            found = _lines(path) if path.exists() else []
            if len(found) >= number or time.monotonic() > end:
                return found
            time.sleep(0.01)

    return entries


def _lines(path):
    whole = path.read_bytes().splitlines(keepends=True)
    found = [json.loads(line) for line in whole if line.endswith(b"\n")]
    return [one for one in found if one["event"] != "begun"]


# --- what is written ----------------------------------------------------------------------------------


def test_two_lines_a_call(serving, channels, ask, entries, path):
    client = serving("[audit]", KEYS)
    channels.say("chat", reply_of("chat", "hello"))
    answer = ask(client, said="hi there", headers=ALICE)
    asked, answered = entries()
    assert {asked[n] for n in ("event", "key", "owner", "model")} == {"asked", "alice", "Ann", "gpt"}
    assert asked["request"] == {"bytes": len(channels.sent[0]), "sha256": hashlib.sha256(channels.sent[0]).hexdigest()}
    assert answered["call"] == asked["call"] == answer.headers["x-request-id"]
    assert (answered["status"], answered["outcome"], answered["channel"]) == (200, "complete", "chat")
    assert answered["reply"] == {"bytes": len(answer.data), "sha256": hashlib.sha256(answer.data).hexdigest()}
    assert "hello" not in path.read_text() and "CANARY" not in path.read_text()
    assert verify_files([path]).lines == 3
    assert path.stat().st_mode & 0o077 == 0


def test_the_content_without_credentials(serving, channels, ask, entries, path):
    client = serving("[{audit: {content: full}}]", KEYS)
    key = "sk-proj-CANARYabcdefghijklmnopqrstuvwxyz"
    channels.say("chat", reply_of("chat", f"your key is {key}"))
    tool = {"type": "mcp", "authorization": "CANARY", "headers": {"X-Api-Key": "CANARY"}}
    ask(client, said="hello ünd so", headers=ALICE, tools=[tool])
    asked, answered = entries()
    assert json.loads(asked["request"]["content"])["messages"] == [{"role": "user", "content": "hello ünd so"}]
    assert json.loads(answered["reply"]["content"]) == reply_of("chat", "your key is ***")
    assert "CANARY" not in path.read_text()


def test_a_stream_is_written_as_it_passed(serving, channels, ask, entries):
    client = serving("[{audit: {content: full, most: 100}}]")
    body = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"x" * 80) + b"data: [DONE]\n\n"
    channels.say("chat", body, "text/event-stream")
    assert ask(client, stream=True).data == body
    reply = entries()[1]["reply"]
    assert reply["sha256"] == hashlib.sha256(body).hexdigest()
    assert (reply["content"], reply["cut"]) == (body[:100].decode(), True)


def test_refused_calls_are_written_down_too(serving, ask, entries):
    client = serving("[audit, {redact: {mode: refuse}}]")
    assert ask(client, said="alice@example.com").status_code == 403
    assert [(one["event"], one.get("error")) for one in entries()] == [("asked", None), ("answered", "sensitive_data")]


def test_behind_redact_it_sees_what_the_channel_sees(serving, channels, ask, entries, path):
    client = serving("[redact, {audit: {content: full}}]")
    channels.say("chat", reply_of("chat", "to <EMAIL_1>"))
    assert ask(client, said="alice@example.com").json == reply_of("chat", "to alice@example.com")
    assert len(entries()) == 2
    assert "alice@" not in path.read_text()
    assert path.read_text().count("<EMAIL_1>") == 2


@pytest.mark.parametrize("mode, status", [("enforce", 500), ("observe", 200)])
def test_a_call_that_cannot_be_written_down(mode, status, serving, channels, ask, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    client = serving(f"[{{audit: {{file: file/audit.jsonl, mode: {mode}}}}}]")
    channels.say("chat", reply_of("chat", "ok"))
    answer = ask(client)
    assert answer.status_code == status
    assert len(channels.sent) == (status == 200)
    if status == 500:
        assert answer.json["error"]["code"] == "plugin_error"
    _until(lambda: "audit" in caplog.text)


def test_the_line_of_a_calls_beginning_is_there_before_the_channel_hears_of_it(serving, channels, ask, path, network):
    client = serving("[audit]")
    seen = []

    def answer(request):
        seen.extend(one["event"] for one in _lines(path))
        return 200, {"content-type": "application/json"}, json.dumps(reply_of("chat", "ok"))

    network.add_callback("POST", "https://chat.test/v1/chat/completions", answer)
    assert ask(client).status_code == 200
    assert seen == ["asked"]


def test_who_observes_writes_both_lines_when_there_is_time(serving, channels, ask, entries):
    client = serving("[{audit: {mode: observe}}]")
    channels.say("chat", reply_of("chat", "ok"))
    assert ask(client).status_code == 200
    assert [one["event"] for one in entries()] == ["asked", "answered"]


def test_what_waits_is_written_when_a_worker_ends(serving, channels, ask, path):
    client = serving("[audit]")
    channels.say("chat", reply_of("chat", "ok"))
    ask(client)
    client.application.extensions["gateway"].end()
    assert [one["event"] for one in _lines(path)] == ["asked", "answered"]


def _until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- the chain ----------------------------------------------------------------------------------------


def filled(path, number=5, **options):
    chain = ChainedFile(path, options.pop("rotation", NEVER), **options)
    for each in range(number):
        chain.append({"event": "test", "n": each})
    chain.close()
    return path.read_bytes().splitlines(keepends=True)


def files_of(path):
    return sorted(file for file in path.parent.iterdir() if file.suffix != ".lock")


@pytest.mark.parametrize("spoil, line, why", [
    (lambda lines: [*lines[:2], lines[2].replace(b'"n":1', b'"n":9'), *lines[3:]], 3, "changed"),
    (lambda lines: [*lines[:2], *lines[3:]], 3, "does not follow"),
    (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3, "does not follow"),
    (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "does not follow"),
    (lambda lines: [*lines, b'{"event":"forged"}\n'], 7, "no whole line"),
    (lambda lines: [*lines[:-1], lines[-1][:-1]], 6, "no whole line"),
    (lambda lines: [lines[0].replace(b'{"at"', b'{ "at"'), *lines[1:]], 1, "changed"),
])  # fmt: skip
def test_a_change_shows(spoil, line, why, path):
    path.parent.mkdir()
    path.write_bytes(b"".join(spoil(filled(path))))
    with pytest.raises(ChainBroken, match=rf":{line}: .*{why}"):
        verify_files([path])


def test_every_changed_byte_shows(path):
    lines = b"".join(filled(path, 1))
    for place in range(len(lines)):
        path.write_bytes(lines[:place] + bytes([lines[place] ^ 1]) + lines[place + 1 :])
        with pytest.raises(ChainBroken):
            verify_files([path])


def test_what_is_cut_off_shows_by_a_hash_that_was_noted(path):
    lines = filled(path)
    last = verify_files([path]).last
    path.write_bytes(b"".join(lines[:-1]))
    assert verify_files([path]).lines == 5
    with pytest.raises(ChainBroken, match="no line has the hash"):
        verify_files([path], passes=last)


def test_with_a_key_nobody_else_can_chain_it_anew(path):
    filled(path, key=b"secret")
    assert verify_files([path], b"secret").lines == 6
    for wrong in (b"", b"other"):
        with pytest.raises(ChainBroken, match="key"):
            verify_files([path], wrong)


def test_the_chain_goes_on_in_a_new_file(path):
    clock = iter(range(0, 40 * 86400, 43200)).__next__  # two lines a day
    chain = ChainedFile(path, Rotation(per="day"), clock=lambda: float(clock()))
    for each in range(9):
        chain.append({"n": each})
    files = files_of(path)
    assert len(files) == 5
    assert verify_files(files).first == "0" * 64
    assert verify_files(files).lines == 9 + 5
    with pytest.raises(ChainBroken, match="does not follow"):
        verify_files([file for file in files if "03T" not in file.name])
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["event"], first["after"]) == ("begun", max(file.name for file in files if file != path))


def test_files_are_set_aside_by_size_and_the_oldest_go(path):
    filled(path, 40, rotation=Rotation(size=1000, per="never", keep=3))
    files = files_of(path)
    assert len(files) == 4
    assert all(file.stat().st_size < 1500 for file in files)
    assert verify_files(files).first != "0" * 64


def test_it_goes_on_when_the_file_was_taken_away(path, tmp_path):
    chain = ChainedFile(path, NEVER)
    chain.append({"n": 1})
    path.rename(tmp_path / "elsewhere")
    chain.append({"n": 2})
    assert verify_files([path, tmp_path / "elsewhere"]).lines == 4


def test_half_a_line_of_a_worker_that_died_is_mended(path):
    lines = filled(path)
    path.write_bytes(b"".join(lines) + b'{"at":"2026-01-01T00:00:00","n":9')
    filled(path, 1)
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [one.get("event") for one in found[-2:]] == ["mended", "test"]
    assert verify_files([path]).lines == 8


def test_a_file_of_another_kind_is_not_touched(path):
    path.parent.mkdir()
    path.write_text("something else\n")
    with pytest.raises(OSError, match="no chained file"):
        ChainedFile(path, NEVER).append({})
    assert path.read_text() == "something else\n"


def test_what_can_wait_is_written_with_the_next_line_that_cannot(path):
    chain = ChainedFile(path, NEVER)
    for each in range(3):
        chain.put({"n": each})
    assert not path.exists()
    chain.append({"n": 3})
    chain.put({"n": 4})
    chain.flush()
    assert [json.loads(line).get("n") for line in path.read_text().splitlines()] == [None, 0, 1, 2, 3, 4]
    assert verify_files([path]).lines == 6


def test_much_that_can_wait_does_not(path):
    chain = ChainedFile(path, NEVER)
    for _ in range(3):
        chain.put({"text": "x" * 100_000})
    assert verify_files([path]).lines == 1 + 3


def test_what_a_file_does_not_take_waits_and_what_is_too_much_is_counted(path):
    path.parent.mkdir()
    path.mkdir()  # it cannot be written
    chain = ChainedFile(path, NEVER)
    for each in range(20):
        with contextlib.suppress(OSError):
            chain.put({"n": each, "text": "x" * 1_000_000})
    with pytest.raises(OSError):
        chain.append({"n": "refused"})
    path.rmdir()
    chain.append({"n": "last"})
    found = [json.loads(line) for line in path.read_text().splitlines()]
    kept = sum("text" in one for one in found)
    assert 10 < kept < 20
    assert [one.get("n") for one in found] == [None, *range(kept), None, "last"]
    assert (found[-2]["event"], found[-2]["lines"]) == ("lost", 20 - kept)
    assert verify_files([path]).lines == len(found)


def _append_many(path, number):
    chain = ChainedFile(Path(path), Rotation(size=20_000, per="never"))
    threads = [threading.Thread(target=lambda: [chain.append({"n": n}) for n in range(number)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_workers_write_one_chain(path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append_many, args=(str(path), 100)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    files = files_of(path)
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert sum("n" in line for line in lines) == 600
    assert verify_files(files).lines == 600 + len(files)


def _append_for_ever(path):
    chain = ChainedFile(Path(path), Rotation(size=20_000, per="never"))
    while True:
        chain.append({"text": "x" * 500})


def test_workers_that_are_killed_leave_a_chain(path):
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        worker = context.Process(target=_append_for_ever, args=(str(path),))
        worker.start()
        size = _size(path)
        while _size(path) < size + 30_000:
            worker.join(0.01)
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    filled(path, 1)
    files = files_of(path)
    assert verify_files(files).lines > 100


def _size(path):
    """Bytes of all files; one may be renamed meanwhile."""
    size = 0
    for file in path.parent.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


# --- the command --------------------------------------------------------------------------------------


def test_the_command(path, tmp_path):
    filled(path, key=b"secret")
    key = tmp_path / "key"
    key.write_text("secret\n")
    found = CliRunner().invoke(command, ["verify", str(path), f"{path}.lock", "--key-file", str(key)])
    assert found.exit_code == 0, found.output
    last = re.fullmatch(r"unbroken: 6 lines from its beginning, last (\w{64})\n", found.output)[1]
    assert CliRunner().invoke(command, ["verify", str(path), "--key-file", str(key), "--passes", last]).exit_code == 0
    found = CliRunner().invoke(command, ["verify", str(path)])
    assert found.exit_code == 1
    assert "audit.jsonl:1: it was changed, or it was hashed with a key" in found.output
