"""A gateway and an nginx as operators run them: processes, ports, output files."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from free_ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds; only ever used up by a failure
SECRETS = {"sk-upstream-CANARY-1111", "sk-client-CANARY-2222", "sk-other-CANARY-3333"}
UPSTREAM_KEY, CLIENT_KEY, OTHER_KEY = sorted(SECRETS, key=lambda secret: secret[-4:])


def until(condition, what, seconds=PATIENCE):
    """What *condition* says once it is true; fails when that takes longer than *seconds*."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} seconds: {what}")
        time.sleep(0.01)


def answers(port):
    """Whether an HTTP server answers there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as sock:
            sock.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return sock.recv(12).startswith(b"HTTP/1.1")
    except OSError:
        return False


class Process:
    """A process of its own group, its whole output in one file."""

    def __init__(self, command, folder, name, environment=None):
        self.output = folder / f"{name}.out"
        self._file = self.output.open("ab")
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT,
            start_new_session=True, env=os.environ | (environment or {}),
        )  # fmt: skip
        self.pid = self._process.pid

    def log(self):
        return self.output.read_text("utf-8", "replace")

    def logged(self, pattern, times=1):
        """Waits until the output holds *pattern* so many times; the matches."""

        def found():
            matches = list(re.finditer(pattern, self.log()))
            return matches if len(matches) >= times else None

        try:
            return until(found, f"{pattern!r} in the output")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.log()[-3000:]}") from None

    def signal(self, number):
        os.kill(self.pid, number)

    def running(self):
        return self._process.poll() is None

    def exited(self, seconds=PATIENCE):
        """Waits for the end; the exit code."""
        return self._process.wait(seconds)

    def stop(self):
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
        self._file.close()


def end(*processes):
    """Stops them all; none may have written a secret down."""
    for process in processes:
        process.stop()
    leaked = [(secret, process.output) for secret in SECRETS for process in processes if secret in process.log()]
    assert not leaked


class Gateway(Process):
    """``gateway serve``, ready to answer. ``port`` is its own."""

    def __init__(self, folder, yaml, *, workers=1, worker_class="gevent", name="gateway", options=(), environment=None):
        self.config = folder / f"{name}.yaml"
        self.config.write_text(yaml)
        self.port = free_port()
        command = [
            sys.executable, "-m", "gateway", "serve", "--config", str(self.config), "--access-log",
            "--bind", f"127.0.0.1:{self.port}", "--workers", str(workers), "--worker-class", worker_class, *options,
        ]  # fmt: skip
        super().__init__(command, folder, name, environment)
        _until_it_answers(self, self.port)
        self.staffed(workers)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def workers(self):
        """The process ids of the workers there are now."""
        return children(self.pid)

    def staffed(self, number):
        """Waits until so many workers are there that listen to signals; one that still boots dies of
        a SIGHUP (and another takes its place), and misses a SIGTERM."""
        until(lambda: len(self.workers()) == number and all(map(_listens, self.workers())), "all workers")

    def outcome(self, request_id):
        """What the call log says of a call: (outcome, attempts, error); waits for it."""
        (line, *more) = self.logged(rf"{re.escape(request_id)} .*?outcome=(\w+) attempts=(\d+) [^\n]*")
        assert not more, "a call is logged once"
        error = re.search(r" error=(\S+)", line[0])
        return line[1], int(line[2]), error[1] if error else ""


class Nginx(Process):
    """nginx with the project's own configuration in front of a gateway."""

    def __init__(self, folder, gateway_port, name="nginx"):
        prefix = folder / name
        prefix.mkdir()
        prefix.chmod(0o777)  # started by root it writes as somebody else
        self.port = free_port()
        text = (ROOT / "conf" / "nginx.conf").read_text()
        for shipped, ours in ((8080, gateway_port), (8000, self.port)):
            assert text.count(f"127.0.0.1:{shipped}") == 1, f"conf/nginx.conf does not name port {shipped} once"
            text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{ours}")
        file = prefix / "nginx.conf"
        file.write_text(text)
        self.access_log = prefix / "access.log"
        command = ["/usr/sbin/nginx", "-e", "stderr", "-p", str(prefix), "-c", str(file), "-g", "daemon off;"]
        super().__init__(command, folder, name)
        _until_it_answers(self, self.port)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def log(self):
        access = self.access_log.read_text() if self.access_log.exists() else ""
        return super().log() + access


def _until_it_answers(process, port):
    def there():
        assert process.running(), f"it did not start:\n{process.log()}"
        return answers(port)

    try:
        until(there, "an answer")
    except AssertionError:
        process.stop()
        raise


def _listens(pid):
    """Whether a worker has its own signal handlers; the master's, which it is born with, know USR2."""
    caught = int(re.search(r"SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())[1], 16)
    return caught >> (signal.SIGHUP - 1) & 1 and not caught >> (signal.SIGUSR2 - 1) & 1


def children(pid):
    """The process ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident_mb(pid):
    """The resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def descriptors(pid):
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
