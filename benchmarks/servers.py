"""Starts what is measured: a mock upstream, and in front of it nginx, the gateway and LiteLLM."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
KEY = "sk-benchmark"
WORKERS = 2
LITELLM_VENV = HERE / ".venv-litellm"

_START = 90.0  # seconds; LiteLLM takes ten of them
_STOP = 10.0


class CannotStart(Exception):
    """Something that the benchmark needs is missing or does not come up."""


@dataclass(frozen=True)
class Server:
    """One of those that are compared. ``whole`` and ``streams`` are its ports; only nginx, which
    does not look into bodies, needs two to tell the upstreams apart."""

    name: str
    whole: int
    streams: int
    pid: int

    def cpu(self) -> float:
        """Seconds of CPU time that its processes have used."""
        ticks = 0
        for pid in _family(self.pid):
            ticks += sum(int(word) for word in _after_name(pid)[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes of its processes, what they share counted once in each."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in _family(self.pid))
        return pages * os.sysconf("SC_PAGE_SIZE")


def _after_name(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _family(pid: int) -> list[int]:
    """*pid* and all its descendants."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(path.name)] = int(_after_name(int(path.name))[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


@contextlib.contextmanager
def running(folder: Path, litellm: bool) -> Iterator[dict[str, Server]]:
    """All servers by name, ``direct`` (the upstream itself) among them; stopped at the end.

    Raises CannotStart.
    """
    for tool in ("nginx", "wrk"):
        if _tool(tool) is None:
            raise CannotStart(f"{tool} is missing; on Debian: apt-get install nginx-light wrk")
    names = ["static", "mock", "nginx_whole", "nginx_streams", "gateway", "litellm"]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    values = {name: str(port) for name, port in ports.items()} | {"key": KEY, "workers": str(WORKERS)}
    for template in (HERE / "conf").iterdir():
        (folder / template.name).write_text(Template(template.read_text()).substitute(values))
    with contextlib.ExitStack() as stack:

        def start(name: str, command: list[str], *needed: str, **environment: str) -> int:
            process = stack.enter_context(_process(folder, name, command, environment))
            for port in needed:
                _await(ports[port], process, folder / f"{name}.log")
            return process.pid

        pid = start("upstream", [sys.executable, "-m", "benchmarks.upstream", values["mock"]], "mock")
        nginx = [_tool("nginx"), "-p", str(folder), "-c"]
        start("static", [*nginx, str(folder / "static.conf")], "static")
        servers = [Server("direct", ports["static"], ports["mock"], pid)]
        pid = start("nginx", [*nginx, str(folder / "nginx.conf")], "nginx_whole", "nginx_streams")
        servers.append(Server("nginx", ports["nginx_whole"], ports["nginx_streams"], pid))
        serve = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.yaml")]
        serve += ["--bind", f"127.0.0.1:{ports['gateway']}", "--workers", str(WORKERS), "--graceful-timeout", "1"]
        servers.append(Server("gateway", ports["gateway"], ports["gateway"], start("gateway", serve, "gateway")))
        if litellm:
            program = [str(_litellm()), "--config", str(folder / "litellm.yaml"), "--num_workers", str(WORKERS)]
            program += ["--host", "127.0.0.1", "--port", values["litellm"]]
            pid = start("litellm", program, "litellm", LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR")
            servers.append(Server("litellm", ports["litellm"], ports["litellm"], pid))
        yield {server.name: server for server in servers}


@contextlib.contextmanager
def _process(folder: Path, name: str, command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    with open(folder / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=HERE.parent, env=os.environ | environment
        )
    try:
        yield process
    finally:
        family = _family(process.pid) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            process.wait()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _await(port: int, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise CannotStart(f"{log.stem} does not listen; its log ends with:\n{log.read_text(errors='replace')[-2000:]}")


def _tool(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def _litellm() -> Path:
    """LiteLLM's program, in a virtual environment of its own that is made when it is not there."""
    program = LITELLM_VENV / "bin" / "litellm"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(LITELLM_VENV)], check=True)
        subprocess.run([str(LITELLM_VENV / "bin" / "pip"), "install", "--quiet", "litellm[proxy]"], check=True)
    return program
