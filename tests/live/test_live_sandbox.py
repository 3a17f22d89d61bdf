"""The gateway with the system calls that conf/gateway.service leaves it: all of it works, the processes beside the
workers, too."""

import json
import subprocess
import sys

import pytest
from live_sandbox import calls_of
from live_servers import CLIENT_KEY, ROOT, Process, end, free_port, until

pytestmark = pytest.mark.live

UNIT = (ROOT / "conf" / "gateway.service").read_text()
YAML = """
store: sqlite:///gateway.db
state: sqlite:///state.db
keys: [{name: tester, key: "${CLIENT_KEY}"}]
channels: [{name: echo, provider: echo, models: [doctor]}]
"""


def test_what_could_harm_the_machine_is_not_left():
    left = calls_of(UNIT)
    assert {"read", "futex", "epoll_wait", "execve"} <= left
    assert not left & {"mount", "ptrace", "bpf", "setuid", "chown", "reboot", "init_module", "clock_settime"}


@pytest.mark.parametrize("unit", [UNIT, UNIT.replace("SystemCallFilter=setpriority\n", "")], ids=["unit", "stricter"])
def test_what_a_call_came_to_is_carried_to_the_store_in_the_sandbox(unit, tmp_path, clients):
    config, port = tmp_path / "gateway.yaml", free_port()
    config.write_text(YAML)
    (tmp_path / "unit").write_text(unit)
    command = [sys.executable, str(ROOT / "tests" / "live" / "live_sandbox.py"), str(tmp_path / "unit"), sys.executable,
               "-m", "gateway", "serve", "--config", str(config), "--bind", f"127.0.0.1:{port}"]  # fmt: skip
    gateway = Process(command, tmp_path, "gateway", {"CLIENT_KEY": CLIENT_KEY})
    try:
        gateway.logged("is serving|Booting worker")
        client = clients(port)
        asked = {"model": "doctor", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        assert client.post("/v1/chat/completions", asked).head().status == 200
        until(lambda: rows(config), "the call in the ledger")
    finally:
        end(gateway)


def rows(config):
    command = [sys.executable, "-m", "gateway", "usage", "--config", str(config), "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env={"CLIENT_KEY": CLIENT_KEY}, capture_output=True, text=True, timeout=60)
    return done.returncode == 0 and json.loads(done.stdout)
