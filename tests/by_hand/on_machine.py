"""Run as root inside the machine that machine.sh boots: the block of docs/deploying.md as it stands there, and then
what a real systemd makes of the gateway. Each check says what it saw; nothing but Python's own library is needed."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

PROJECT = Path("/root/project")
CONFIG = Path("/etc/gateway/gateway.yaml")
KEY = "sk-by-hand"
PATIENCE = 120.0  # seconds
WORDS = 40
# As the page has it, with a channel that needs no account.
YAML = """
state: sqlite:////var/lib/gateway/state.db
store: sqlite:////var/lib/gateway/gateway.db
plugins: [call_log, {ledger: {spool: /var/lib/gateway/spool}}]
keys: [{name: tester, key: "${TESTER_KEY}"}]
channels:
  - {name: echo, provider: echo, models: [doctor, MORE]}
"""
CHECKS = []
# What a program in the unit's sandbox may do: its own folders, and nothing else.
PROBE = """
import json, os, socket, time

def tried(what):
    try:
        what()
    except OSError as error:
        return os.strerror(error.errno)
    return "done"

print(json.dumps({
    "tmp": tried(lambda: open("/tmp/x", "w")), "state": tried(lambda: open("/var/lib/gateway/x", "w")),
    "etc": tried(lambda: open("/etc/x", "w")), "usr": tried(lambda: open("/usr/x", "w")),
    "var": tried(lambda: open("/var/x", "w")), "home": tried(lambda: os.listdir("/root")),
    "packets": tried(lambda: socket.socket(17, 3)), "clock": tried(lambda: time.clock_settime(0, 0)),
    "name": tried(lambda: socket.sethostname("x")), "first": tried(lambda: os.nice(-5)),
    "owner": tried(lambda: os.chown("/tmp/x", 1, 1)),
}))
"""


def check(function):
    CHECKS.append(function)
    return function


def run(*command, ok=True, **more):
    """What it printed. Raises AssertionError when it fails and should not (*ok*), or the other way round."""
    done = subprocess.run(command, capture_output=True, text=True, **more)
    said = done.stdout + done.stderr
    assert ok is None or (done.returncode == 0) == ok, f"{command}: {done.returncode}\n{said[-3000:]}"
    return said.strip()


def until(condition, what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")


class Stream(threading.Thread):
    """A streamed call of some eight seconds, read while other things happen. ``whole``: it came to its end."""

    def __init__(self, model="doctor"):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE)
        text = "[[delay 0.2]] " + " ".join(f"w{number}" for number in range(WORDS))
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": text}]}
        self.connection.request("POST", "/v1/chat/completions", json.dumps(body), headers())
        self.answer = self.connection.getresponse()
        self.text, self.first, self.last, self.broken = b"", 0.0, 0.0, False
        assert self.answer.status == 200, self.answer.read()
        self.start()
        until(lambda: b"w1" in self.text, "the stream's first words")

    def run(self):
        try:
            while data := self.answer.read1():
                self.first = self.first or time.monotonic()
                self.last, self.text = time.monotonic(), self.text + data
        except (OSError, http.client.HTTPException):
            self.broken = True

    @property
    def whole(self):
        self.join(PATIENCE)
        return not self.broken and self.text.endswith(b"data: [DONE]\n\n") and f"w{WORDS - 1}".encode() in self.text


def headers():
    return {"authorization": f"Bearer {KEY}", "content-type": "application/json"}


def status(model="doctor", path="/v1/chat/completions"):
    """Of a small call; 0 where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE)
    try:
        if path == "/healthz":
            connection.request("GET", path)
        else:
            asked = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
            connection.request("POST", path, json.dumps(asked), headers())
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def block(heading, contains):
    """The `sh` block of docs/deploying.md below a heading."""
    page = (PROJECT / "docs" / "deploying.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return next(text for text in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) if contains in text)


def shell(text, **environment):
    return run("bash", "-euo", "pipefail", "-c", text, cwd=PROJECT, env=os.environ | environment)


def gateway(*arguments, ok=True):
    environment = os.environ | {"TESTER_KEY": KEY, "GATEWAY_CONFIG": str(CONFIG)}
    return run("/opt/gateway/bin/gateway", *arguments, ok=ok, env=environment)


def main_pid(unit="gateway.service"):
    return int(run("systemctl", "show", "--value", "-p", "MainPID", unit))


def workers():
    """Process ids of the workers: children of the master."""
    pid = main_pid()
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def journal(since):
    return run("journalctl", "-u", "gateway.service", "--since", f"@{since}", "-o", "cat", "--no-pager")


# --- systemd ---------------------------------------------------------------------------------------------


@check
def systemd_runs_the_pages_block():
    before, starts, rest = block("systemd", "systemctl enable --now").partition("systemctl daemon-reload")
    shell(before)
    CONFIG.write_text(YAML)
    Path("/etc/gateway/environment").write_text(f"TESTER_KEY={KEY}\n")
    shell(starts + rest)
    until(lambda: status("doctor") == 200, "an answer")
    active = run("systemctl", "is-active", "gateway.service")
    return f"{active}, PID {main_pid()}, enabled: {run('systemctl', 'is-enabled', 'gateway.service')}"


@check
def a_stream_flows():
    stream = Stream()
    assert stream.whole, stream.text[-300:]
    seconds = stream.last - stream.first
    assert seconds > WORDS * 0.2 * 0.9, f"came at once: {seconds}"
    return f"{WORDS} words over {seconds:.1f} s"


@check
def the_sandbox_is_in_force():
    worker = workers()[0]
    facts = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE))
    limits = Path(f"/proc/{worker}/limits").read_text()
    files = int(re.search(r"Max open files\s+(\d+)", limits)[1])
    assert int(facts["Uid"].split()[0]) not in (0, 1000)
    assert facts["NoNewPrivs"] == "1" and facts["Seccomp"] == "2"
    assert all(int(facts[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert files > 8200, limits  # the unit's 65536, or what the machine has
    spaces = [name for name in ("mnt", "user", "uts", "pid", "net", "ipc") if _own_space(worker, name)]
    assert {"mnt", "user", "uts"} <= set(spaces), spaces
    seen = json.loads(
        run("systemd-run", "--wait", "--pipe", "--quiet", *_sandbox(), "/opt/gateway/bin/python", "-c", PROBE)
    )
    assert seen.pop("tmp") == seen.pop("state") == "done" and "done" not in seen.values(), seen
    level = run("systemd-analyze", "security", "--no-pager", "gateway.service").splitlines()[-1]
    return f"uid {facts['Uid'].split()[0]}, {files} files, own namespaces {spaces}; refused: {seen}; {level}"


def _own_space(pid, name):
    return os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/1/ns/{name}")


def _sandbox():
    """The unit's settings of its sandbox, for another program."""
    service = (PROJECT / "conf" / "gateway.service").read_text().partition("[Service]")[2].partition("[Install]")[0]
    others = ("#", "Exec", "Type=", "Restart", "KillMode=", "Timeout", "EnvironmentFile=")
    lines = [line for line in service.splitlines() if "=" in line and not line.startswith(others)]
    return [word for line in lines for word in ("-p", line)]


@check
def systemd_complains_of_nothing():
    said = run("journalctl", "-b", "-o", "cat", "--no-pager", "_PID=1")
    odd = [
        line
        for line in said.splitlines()
        if "gateway" in line and re.search(r"[Ff]ail|ignor|[Uu]nknown|[Ii]nvalid", line)
    ]
    assert not odd, odd
    return "no line of systemd names a directive"


@check
def the_ledger_is_carried():
    (row,) = until(lambda: json.loads(gateway("usage", "--format", "json")), "rows in the ledger")
    return f"{row['calls']} calls"


@check
def reload_keeps_the_stream():
    stream, pid = Stream(), main_pid()
    assert status("later") == 404
    CONFIG.write_text(YAML.replace("MORE", "later"))
    run("systemctl", "reload", "gateway.service")
    until(lambda: status("later") == 200, "the new configuration")
    assert stream.is_alive(), "the stream had ended before"
    assert stream.whole and main_pid() == pid
    return "new configuration in force while a stream went on to its end, same master"


@check
def a_bad_file_changes_nothing():
    since = int(time.time())
    CONFIG.write_text(YAML.replace("provider: echo", "provider: ecco"))
    run("systemctl", "reload", "gateway.service")
    until(lambda: "ecco" in journal(since), "the complaint in the journal")
    assert status("later") == 200
    CONFIG.write_text(YAML)
    run("systemctl", "reload", "gateway.service")
    return "refused, named in the journal, the old one served on"


@check
def a_killed_master_is_replaced():
    stream, before, began = Stream(), main_pid(), time.monotonic()
    os.kill(before, 9)
    until(lambda: main_pid() not in (0, before) and status() == 200, "a new master that answers")
    seconds = time.monotonic() - began
    stream.join(PATIENCE)
    return f"answers again after {seconds:.1f} s; the open stream was {'cut, visibly' if not stream.whole else 'whole'}"


@check
def a_killed_worker_is_replaced():
    worker, pid = workers()[0], main_pid()
    os.kill(worker, 9)
    until(lambda: worker not in workers() and status() == 200, "another worker")
    assert main_pid() == pid
    return "same master"


@check
def stop_lets_the_stream_end():
    stream, began = Stream(), time.monotonic()
    stopping = subprocess.Popen(["systemctl", "stop", "gateway.service"])
    until(lambda: status(path="/healthz") == 0, "no more connections")
    assert stopping.poll() is None and stream.is_alive()
    assert stream.whole, stream.text[-300:]
    stopping.wait(PATIENCE)
    seconds = time.monotonic() - began
    result = run("systemctl", "show", "--value", "-p", "Result", "gateway.service")
    assert result == "success", result
    return f"stopped after {seconds:.1f} s, {time.monotonic() - stream.last:.1f} s after the stream's last word"


@check
def a_bad_file_is_named_at_the_start():
    since = int(time.time())
    CONFIG.write_text(YAML.replace("provider: echo", "provider: ecco"))
    run("systemctl", "start", "gateway.service", ok=False)
    said = until(lambda: "ecco" in journal(since) and journal(since), "the complaint in the journal")
    run("systemctl", "stop", "gateway.service")
    CONFIG.write_text(YAML)
    return next(line for line in said.splitlines() if "ecco" in line)


@check
def the_socket_waits_while_the_gateway_starts():
    run("systemctl", "start", "gateway.socket")
    began = time.monotonic()
    assert status() == 200  # this connection starts the service
    seconds = time.monotonic() - began
    stream = Stream()
    assert stream.whole
    failed = []

    def asks():
        while not over.is_set():
            answer = status()
            if answer != 200:
                failed.append(answer)

    over = threading.Event()
    asker = threading.Thread(target=asks, daemon=True)
    asker.start()
    run("systemctl", "restart", "gateway.service")
    assert status() == 200
    over.set()
    asker.join(PATIENCE)
    assert not failed, failed
    return f"the first call started it ({seconds:.1f} s); none was refused during a restart"


@check
def the_doctor_finds_it_well():
    said = gateway("doctor", ok=None)
    failed = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert not failed and "running: process" in said, said
    run("systemctl", "stop", "gateway.socket", "gateway.service")
    return " / ".join(line for line in said.splitlines() if not line.startswith(("ok", "skipped")))


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main():
    wrong = 0
    for each in CHECKS:
        began = time.monotonic()
        try:
            said = each()
        except Exception:  # whatever it was, the others are looked at, too
            wrong += 1
            log = run("journalctl", "-u", "gateway.service", "-n", "30", "-o", "cat", "--no-pager", ok=None)
            say(f"FAILED {each.__name__}\n{traceback.format_exc()}\n{log}")
        else:
            say(f"ok {each.__name__} ({time.monotonic() - began:.1f} s): {said}")
    say(f"{len(CHECKS) - wrong} of {len(CHECKS)} checks passed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
