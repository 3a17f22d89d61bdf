"""The same gateway with different configurations, under the same load in turns: what a feature costs."""

import collections
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template

from benchmarks import wrk
from benchmarks.first_event import first_event
from benchmarks.measures import _CHAT, _HEADERS, _body
from benchmarks.servers import HERE, KEY, WORKERS, Server, _await, _free_ports, _process, _tool

_CONNECTIONS = 32


@contextlib.contextmanager
def servers(configurations: dict[str, str], beside: dict[str, str] | None = None) -> Iterator[dict[str, Server]]:
    """name -> a gateway for each YAML, all in front of one static upstream (``$static`` in the
    YAML is its port, ``$mock`` that of one that streams, ``$folder`` a folder of the gateway's own, ``$key``
    the client's key); *beside* are files in that folder, by name."""
    names = ["static", "mock", "nginx_whole", "nginx_streams", "litellm", "gateway", *configurations]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        folder.chmod(0o755)
        values = {name: str(port) for name, port in ports.items()} | {"key": KEY, "workers": str(WORKERS)}
        (folder / "static.conf").write_text(Template((HERE / "conf" / "static.conf").read_text()).substitute(values))
        static = [_tool("nginx"), "-p", str(folder), "-c", str(folder / "static.conf")]
        process = stack.enter_context(_process(folder, "static", static, {}))
        _await(ports["static"], process, folder / "static.log")
        streaming = [sys.executable, "-m", "benchmarks.upstream", values["mock"]]
        process = stack.enter_context(_process(folder, "mock", streaming, {}))
        _await(ports["mock"], process, folder / "mock.log")
        started = {}
        for name, yaml in configurations.items():
            own = folder / name
            own.mkdir()
            (own / "gateway.yaml").write_text(Template(yaml).substitute(values | {"folder": str(own)}))
            for file, text in (beside or {}).items():
                (own / file).write_text(text)
            serve = [sys.executable, "-m", "gateway", "serve", "--config", str(own / "gateway.yaml")]
            serve += ["--bind", f"127.0.0.1:{ports[name]}", "--workers", str(WORKERS), "--graceful-timeout", "1"]
            process = stack.enter_context(_process(own, "gateway", serve, dict(os.environ)))
            _await(ports[name], process, own / "gateway.log")
            started[name] = Server(name, ports[name], ports[name], process.pid)
        yield started


def in_turns(started: dict[str, Server], rounds: int, seconds: int) -> dict[str, dict[str, float]]:
    """name -> medians over the rounds: whole replies a second of many connections (``per_second``) and what each of
    them costs in CPU time (``cpu``; all processes, until they are done with what the calls left them to do), a
    reply's time on one connection (``median``) and a stream's first event (``first_event``), in milliseconds."""
    body, found = _body("whole", False), {name: collections.defaultdict(list) for name in started}
    for server in started.values():
        wrk.run(server.whole, _CHAT, body, _HEADERS, _CONNECTIONS, 1)  # what is loaded at the first calls is no call's
    for _ in range(rounds):
        for name, server in started.items():
            before, figures = _idle(server), found[name]
            many = wrk.run(server.whole, _CHAT, body, _HEADERS, _CONNECTIONS, seconds)
            figures["per_second"].append(many.per_second)
            figures["cpu"].append((_idle(server) - before) * 1000 / (many.per_second * seconds))
            alone = wrk.run(server.whole, _CHAT, body, _HEADERS, 1, seconds)
            if many.failed or alone.failed:
                raise SystemExit(f"{name}: {many.failed + alone.failed} calls failed")
            figures["median"].append(alone.median)
            figures["first_event"].append(first_event(server.streams, seconds))
    return {name: {figure: statistics.median(each) for figure, each in by.items()} for name, by in found.items()}


def _idle(server: Server) -> float:
    """The CPU time of *server* in seconds, once it has hardly anything to do."""
    used, then = server.cpu(), float("-inf")
    while used - then > 0.05:
        time.sleep(1)
        used, then = server.cpu(), used
    return used


def table(results: dict[str, dict[str, float]], first: str) -> list[str]:
    """Lines that compare all with *first*."""
    base, times = results[first], [figure for figure in results[first] if figure != "per_second"]
    heads = {"cpu": "CPU a call, ms", "median": "one call, ms", "first_event": "first event, ms"}
    lines = [f"{'':12}{'calls/s':>10}{'':>8}" + "".join(f"{heads[figure]:>16}{'':>8}" for figure in times)]
    for name, found in results.items():
        share = f"{found['per_second'] / base['per_second']:.0%}"
        columns = (f"{found[figure]:16.2f}{found[figure] - base[figure]:+8.2f}" for figure in times)
        lines.append(f"{name:12}{found['per_second']:10.0f}{share:>8}" + "".join(columns))
    return lines
