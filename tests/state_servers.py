"""A Redis and a PostgreSQL of a test's own, on free ports: started, stopped, killed and started again.

``server.url`` is what stands in a configuration. Its password (PASSWORD) must turn up nowhere else.
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from pathlib import Path

from tests.free_ports import free_port

PASSWORD = "db-CANARY-5555"
_PATIENCE = 30.0  # seconds; only ever used up by a failure
_POSTGRES = sorted(glob.glob("/usr/lib/postgresql/*/bin")) + [os.path.dirname(shutil.which("initdb") or "")]


class _Server:
    """A process that answers on ``port``; its data outlive it."""

    def __init__(self, folder, name):
        self.port = free_port()
        self.output = Path(folder) / f"{name}-{self.port}.out"
        self._process = None
        self._started = []
        weakref.finalize(self, _kill, self._started)  # also at exit, if nobody stopped it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Again, on the same port and data. Waits until it answers."""
        end = time.monotonic() + _PATIENCE
        while True:
            with self.output.open("ab") as output:
                self._process = subprocess.Popen(
                    self._command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True, **self._identity(),
                )  # fmt: skip
            self._started[:] = [self._process]
            while self._process.poll() is None and time.monotonic() < end:
                if self._ready():
                    return self
                time.sleep(0.02)
            # One killed a moment ago may have children that still hold its data.
            if time.monotonic() > end or self._process.returncode is None:
                self.kill()
                raise AssertionError(f"it did not start:\n{self.output.read_text('utf-8', 'replace')[-3000:]}")
            time.sleep(0.2)

    def stop(self):
        """In good order: it saves what it has, and its clients lose their connections."""
        self._end(signal.SIGINT)

    def kill(self):
        """At once, as in a crash."""
        self._end(signal.SIGKILL)

    def freeze(self):
        """It keeps its connections, takes new ones, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number):
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _identity(self):
        return {}


def _kill(processes):
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


class RedisServer(_Server):
    """``redis-server``; keeps its data over ``stop``, and mostly over ``kill`` (it appends to a file).
    With *tls* (certificate, key) files it speaks TLS only."""

    def __init__(self, folder, tls=None):
        super().__init__(folder, "redis")
        self._tls = tls
        self._data = Path(folder) / f"redis-{self.port}"
        self._data.mkdir()
        self.start()

    @property
    def url(self):
        return f"{'rediss' if self._tls else 'redis'}://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def _command(self):
        ports = ["--port", str(self.port)]
        if self._tls:
            ports = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no",
                     "--tls-cert-file", str(self._tls[0]), "--tls-key-file", str(self._tls[1])]  # fmt: skip
        return [
            "redis-server", *ports, "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--dir", str(self._data),
            "--save", "", "--appendonly", "yes", "--appendfsync", "no",
        ]  # fmt: skip

    def _ready(self):
        try:
            # With TLS the port only opens here: redis loads its data before.
            if self._tls:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            return self.ask("PING") == "PONG"
        except OSError:
            return False

    def ask(self, *words):
        """What redis-cli prints for a command."""
        command = ["redis-cli", "-p", str(self.port), "--no-auth-warning", "-a", PASSWORD, *map(str, words)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
        return found.stdout.strip()


class Postgres(_Server):
    """A PostgreSQL cluster with one empty database; nothing is synced to disk."""

    def __init__(self, folder):
        super().__init__(folder, "postgres")
        # initdb refuses root, and whoever runs it instead may not enter a test's own folder.
        self._home = Path(tempfile.mkdtemp(prefix="gateway-postgres-", dir="/tmp"))
        self._remove = weakref.finalize(self, shutil.rmtree, self._home, True)
        if self._identity():
            os.chown(self._home, self._identity()["user"], self._identity()["group"])
        secret = self._home / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        made = subprocess.run(
            [self._program("initdb"), "-D", self._home / "data", "-U", "gateway", "--pwfile", secret, "--no-sync",
             "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"],
            capture_output=True, text=True, cwd="/", **self._identity(),
        )  # fmt: skip
        secret.unlink()
        assert made.returncode == 0, made.stderr
        self.start()

    @property
    def url(self):
        return self.url_of("postgres")

    def url_of(self, database):
        return f"postgresql+psycopg://gateway:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name):
        """The URL of a further, empty database."""
        self.ask(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def ask(self, sql, database="postgres"):
        """What psql prints for a statement: rows a line, columns parted by ``|``."""
        found = subprocess.run(
            [self._program("psql"), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
             "-U", "gateway", "-d", database, "-c", sql],
            capture_output=True, text=True, timeout=_PATIENCE, env=os.environ | {"PGPASSWORD": PASSWORD},
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()

    def _command(self):
        # No -c for what a restart must not forget: it is all here.
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
            "full_page_writes": "off", "synchronous_commit": "off", "max_connections": 200, "shared_buffers": "32MB",
        }  # fmt: skip
        return [
            self._program("postgres"), "-D", str(self._home / "data"),
            *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
        ]  # fmt: skip

    def _ready(self):
        command = [self._program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-d", "postgres"]
        return subprocess.run(command, timeout=_PATIENCE).returncode == 0

    def _program(self, name):
        return next(path for folder in reversed(_POSTGRES) if os.path.exists(path := os.path.join(folder, name)))

    def _identity(self):
        if os.geteuid() != 0:
            return {}
        names = {user.pw_name: user for user in pwd.getpwall()}
        user = names.get("postgres") or names["nobody"]
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
