"""A configuration of 10,000 channels and 100,000 keys beside one of 10 and 10: how long the gateway takes
from the command to its first answer, what its processes use for that, and what a call costs.

    python -m benchmarks.scale [--channels 10000] [--keys 100000] [--rounds 3] [--seconds 3] [--only NAME]

The targets are a start within 10 seconds, and calls at 1.3 times the price at most, in whichever way they find their
channel. The price is CPU time, which another's work on the same machine changes least; the less of the rounds counts.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from benchmarks import pairs, wrk
from benchmarks.measures import _CHAT, _HEADERS, _body
from benchmarks.servers import KEY, Server, _free_ports, _process

_LONGEST_START = 10.0  # seconds
_DEAREST = 1.3
_CONNECTIONS = 32
_PER_MODEL = 10  # channels that have the same model
_BOUND = "bound-" + KEY  # of a key that is bound to its tags


@dataclass(frozen=True)
class Scene:
    """One way in which calls find their channel: *model* is `exact` or `pattern-1`, of which ten channels have the name
    or a pattern, or `every-1`, of which all have one; ``asked`` are further members of a call's body. What another
    configuration is needed for is in ``settings``; the ``rested`` channel is none that could serve the call."""

    model: str
    asked: dict[str, Any] = field(default_factory=dict)
    key: str = KEY
    settings: str = ""
    rested: bool = False


def _provider(model: str, **wishes: Any) -> Scene:
    return Scene(model, {"provider": wishes})


_FEW_NAMED = ["c7", "c3"]
SCENES = {
    "exact": Scene("exact"),
    "pattern": Scene("pattern-1"),
    "everywhere": Scene("every-1"),
    "tags": Scene("every-1", key=_BOUND),
    "order": _provider("exact", order=_FEW_NAMED),
    "order-everywhere": _provider("every-1", order=_FEW_NAMED),
    "vendor-everywhere": _provider("every-1", order=["openai"]),
    "only-everywhere": _provider("every-1", only=_FEW_NAMED),
    "ignore-everywhere": _provider("every-1", ignore=_FEW_NAMED),
    "price": _provider("exact", sort="price"),
    "price-everywhere": _provider("every-1", sort="price"),
    "max-price-everywhere": _provider("every-1", max_price={"prompt": 100}),
    "latency-everywhere": _provider("every-1", sort="latency"),
    "throughput-everywhere": Scene("every-1:nitro"),
    "resting": Scene("exact", rested=True),
    "resting-everywhere": Scene("every-1", rested=True),
    "sticky": Scene("exact", {"user": "somebody"}, settings="routing: {sticky: true}"),
    "sticky-everywhere": Scene("every-1", {"user": "somebody"}, settings="routing: {sticky: true}"),
    "least-busy-everywhere": Scene("every-1", settings="routing: {strategy: least_busy}"),
}
_PRICES = "providers: {openai: {'*': {input: 1, output: 3}}}\n"


def configuration(channels: int, keys: int, settings: str = "") -> str:
    """YAML with so many of each, for all scenes with these *settings*."""
    lines = ["prices: prices.yaml", settings, "keys:", '  - {name: asker, key: "$key"}']
    lines.append('  - {name: bound, key: "bound-$key", tags: [asked]}')
    for number in range(keys - 2):
        digest = hashlib.sha256(f"key {number}".encode()).hexdigest()
        lines.append(f"  - {{name: key-{number}, sha256: {digest}, models: [gpt-4o, 'team-{number % 100}/*']}}")
    lines.append("channels:")
    for number in range(channels):
        group = number // _PER_MODEL
        own, tag = ("exact, 'pattern-*'", "asked") if not group else (f"m{group}, 'm{group}-*'", f"t{group}")
        members = f"base_url: 'http://127.0.0.1:$static', models: [{own}, 'every-*'], tags: [{tag}]"
        lines.append(f"  - {{name: c{number}, provider: openai, key: up-{number}, {members}}}")
    return "\n".join(lines) + "\n"


def start(yaml: str, workers: int) -> tuple[float, float, int]:
    """From the command to the first call that is answered, if only with an upstream's absence: seconds, seconds of
    CPU time, and then the resident bytes of all processes."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        port, nobody = _free_ports(2)
        values = {"static": str(nobody), "key": KEY}
        (folder / "gateway.yaml").write_text(Template(yaml).substitute(values))
        (folder / "prices.yaml").write_text(_PRICES)
        serve = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.yaml")]
        serve += ["--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--graceful-timeout", "1"]
        headers = {**_HEADERS, "Content-Type": "application/json"}
        began = time.monotonic()
        process = stack.enter_context(_process(folder, "gateway", serve, dict(os.environ)))
        server = Server("gateway", port, port, process.pid)
        while process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                client.request("POST", _CHAT, _body("exact", False), headers)
                if client.getresponse().getheader("x-gateway-channel"):
                    return time.monotonic() - began, server.cpu(), server.memory()
            time.sleep(0.02)
        raise SystemExit((folder / "gateway.log").read_text())


def price(server: Server, scene: Scene, seconds: int) -> float:
    """Milliseconds of CPU time for one call."""
    body = json.dumps(json.loads(_body(scene.model, False)) | scene.asked).encode()
    used = server.cpu()
    load = wrk.run(server.whole, _CHAT, body, {"Authorization": f"Bearer {scene.key}"}, _CONNECTIONS, seconds)
    if load.failed:
        raise SystemExit(f"{server.name}: {load.failed} calls failed")
    return (server.cpu() - used) / max(load.per_second * seconds, 1) * 1000


def compare(names: list[str], settings: str, asked: argparse.Namespace) -> bool:
    """Says what a call costs in each of these scenes, which share their *settings*; whether the target is met."""
    good, sizes = True, {"small": (10, 10), "large": (asked.channels, asked.keys)}
    with contextlib.ExitStack() as stack:
        configurations = {size: configuration(*numbers, settings) for size, numbers in sizes.items()}
        started = stack.enter_context(pairs.servers(configurations, {"prices.yaml": _PRICES}))
        for server in started.values():
            _loaded(server)
        rested = False
        for name in names:
            if SCENES[name].rested and not rested:
                rested = True
                for size, server in started.items():
                    _put_to_rest(server, f"c{sizes[size][0] - 1}")
            good &= _compare(name, started, asked)
    return good


def _compare(name: str, started: dict[str, Server], asked: argparse.Namespace) -> bool:
    least: dict[str, float] = {}
    for server in started.values():
        price(server, SCENES[name], 1)  # what is loaded at the first calls is no call's
    for _ in range(asked.rounds):
        for size, server in started.items():
            least[size] = min(least.get(size, float("inf")), price(server, SCENES[name], asked.seconds))
    dearer = least["large"] / least["small"]
    what = f"{least['small']:.3f} ms of CPU in the small configuration, {least['large']:.3f} in the large one"
    _say(f"{name:22} {what}: {dearer:.2f} times as much (at most {_DEAREST}): {_met(dearer <= _DEAREST)}")
    return dearer <= _DEAREST


def _loaded(server: Server) -> None:
    """Waits until all workers have read their configuration: nothing is to be done then."""
    before = -1.0
    while (now := server.cpu()) > before + 0.02:
        before = now
        time.sleep(1)


def _put_to_rest(server: Server, channel: str) -> None:
    """As an operator does it, whose word reaches the workers within a second."""
    arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes().decode().split("\0")
    config = arguments[arguments.index("--config") + 1]
    command = [sys.executable, "-m", "gateway", "channels", "--config", config, "rest", channel, "--for", "1h"]
    subprocess.run(command, check=True, capture_output=True)
    time.sleep(1)


def _met(good: bool) -> str:
    return "met" if good else "MISSED"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", action="append", choices=["start", *SCENES], help="Only this; may be repeated.")
    asked = parser.parse_args()
    wanted = asked.only or ["start", *SCENES]
    good = True
    if "start" in wanted:
        seconds, used, memory = start(configuration(asked.channels, asked.keys), asked.workers)
        good = seconds <= _LONGEST_START
        what = f"{asked.channels} channels, {asked.keys} keys, {asked.workers} workers"
        _say(f"{what}: first answer after {seconds:.1f} s (at most {_LONGEST_START:.0f}): {_met(good)}")
        _say(f"  {used:.1f} s of CPU time; {memory / 1e6:.0f} MB resident in all processes together")
    for settings in dict.fromkeys(scene.settings for scene in SCENES.values()):
        names = [name for name, scene in SCENES.items() if name in wanted and scene.settings == settings]
        if names:
            good &= compare(names, settings, asked)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
