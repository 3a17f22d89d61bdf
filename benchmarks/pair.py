"""A gateway in front of another one, whose `echo` it takes for a vendor: every fault that the echo can play
goes over real sockets."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.servers import HERE, KEY, CannotStart

VENDOR = "channels: [{{name: echo, provider: echo, models: [echo]}}]\n"
GATEWAY = """
plugins: [call_log, metrics]
client_timeout: {{body: 3600, unread: 3600}}
keys: [{{name: bench, key: {key}}}]
max_body: 64MB
routing: {{retries: 1, deadline: 60}}
providers:
  vendor: {{dialects: [chat, messages], auth: none}}
  only_chat: {{dialects: [chat], auth: none}}
channels:
  - {{name: same, provider: vendor, models: {{same: echo}}, base_url: "http://127.0.0.1:{port}"}}
  - {{name: other, provider: only_chat, models: {{other: echo}}, base_url: "http://127.0.0.1:{port}"}}
  - {{name: echo, provider: echo, models: [echo]}}
  - {{name: more, provider: only_chat, models: [more], base_url: "http://127.0.0.1:{more}"}}
"""


class Pair:
    """``port`` is the front one's, ``master`` its master's process id."""

    def __init__(self, port: int, master: int):
        self.port = port
        self.master = master

    def workers(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()]

    def resident(self) -> dict[int, float]:
        """MB by worker."""
        page = os.sysconf("SC_PAGE_SIZE")
        return {pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page / 1e6 for pid in self.workers()}

    def cpu(self) -> float:
        """Seconds that the workers have used."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.workers()]
        return sum(int(word) for stat in stats for word in stat[11:13]) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> dict[int, int]:
        return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in self.workers()}


@contextlib.contextmanager
def running(folder: Path, workers: int = 2, more: int = 9) -> Iterator[Pair]:
    """Both, until the end of the `with`; the model `more` leads to the port *more*. Raises CannotStart."""
    vendor, front = _free_port(), _free_port()
    with contextlib.ExitStack() as stack:
        _serve(stack, folder, "vendor", VENDOR.format(), vendor, workers)
        process = _serve(stack, folder, "gateway", GATEWAY.format(key=KEY, port=vendor, more=more), front, workers)
        pair = Pair(front, process.pid)
        until = time.monotonic() + 10
        while len(pair.workers()) < workers and time.monotonic() < until:
            time.sleep(0.1)
        yield pair


def _serve(
    stack: contextlib.ExitStack, folder: Path, name: str, yaml: str, port: int, workers: int
) -> subprocess.Popen:
    config, log = folder / f"{name}.yaml", folder / f"{name}.log"
    config.write_text(yaml)
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--bind", f"127.0.0.1:{port}",
               "--workers", str(workers), "--graceful-timeout", "1"]  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=HERE.parent, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    stack.callback(_stop, process)
    until = time.monotonic() + 30
    while not _reachable(port):
        if process.poll() is not None or time.monotonic() > until:
            raise CannotStart(f"{name} does not listen; its log ends with:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
    return process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
