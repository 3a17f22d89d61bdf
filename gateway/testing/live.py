"""A real gateway: ``gateway serve`` in a process of its own, on a free port."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.testing.asking import Answer, Asker
from gateway.testing.client import config_file

_PATIENCE = 20.0  # seconds; only ever used up by a failure


class LiveGateway(Asker):
    """Serves *config* (see Client) from *folder*, where its ``log`` stands too; each question has a
    connection of its own. Raises RuntimeError, with the log, when it does not start."""

    def __init__(self, config: str | Mapping[str, Any] | Path, folder: Path, *, workers: int = 1):
        path = config_file(config, folder)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "gateway.log"
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(path), "--bind", f"127.0.0.1:{self.port}",
                   "--workers", str(workers), "--graceful-timeout", "1"]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._until_it_answers()

    @property
    def log(self) -> str:
        """Everything it has written so far."""
        return self._log.read_text("utf-8", "replace")

    def _post(self, path: str, data: bytes, headers: Mapping[str, str], dialect: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        connection.request("POST", path, data, dict(headers))
        response = connection.getresponse()
        shown = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, shown, dialect, False, _pieces(response), connection.close)

    def reload(self) -> None:
        """Have the configuration file read again, as the operator does."""
        self._process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def _until_it_answers(self) -> None:
        end = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.close()
                raise RuntimeError(f"the gateway did not start:\n{self.log[-3000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("HEAD", "/")
            return connection.getresponse().status == 200
        return False


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read1(65536):
            yield piece
    except http.client.HTTPException as error:  # it ended without the last chunk
        raise ConnectionResetError(str(error)) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
