"""A configuration of 10,000 channels and 100,000 keys beside one of 10 and 10: how long the gateway takes
from the command to its first answer, what its processes use for that, and what a call costs.

    python -m benchmarks.scale [--channels 10000] [--keys 100000] [--rounds 3] [--seconds 5] [--only NAME]

The targets are a start within 10 seconds, and calls at 1.3 times the price at most. The price is CPU time, which
another's work on the same machine changes least; the less of the rounds counts.
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
from collections.abc import Callable
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


@dataclass(frozen=True)
class Scene:
    """How calls find their channel. ``models`` are those of the channel with a number, ``more`` its other members;
    ``asked`` are further members of a call's body."""

    models: Callable[[int], str] = lambda number: _grouped(number, "whole", "m{0}, m{0}-mini")
    more: Callable[[int], str] = lambda number: ""
    settings: str = ""
    bound: bool = False  # the key, to its tags
    asked: dict[str, Any] = field(default_factory=dict)


def _grouped(number: int, first: str, others: str) -> str:
    """What the first ten have, and what every further ten."""
    return others.format(number // _PER_MODEL) if number >= _PER_MODEL else first


def _globs(number: int) -> str:
    return _grouped(number, "'wh*'", "'m{0}-*'")


def _everywhere(number: int) -> str:
    return "'*'"


SCENES = {
    "exact": Scene(),
    "globs": Scene(_globs),
    "everywhere": Scene(_everywhere),  # every channel has the model
    "tags": Scene(
        _everywhere, lambda number: _grouped(number, ", tags: [asked]", ", tags: [t{0}]"),
        bound=True,
    ),
    "order": Scene(asked={"provider": {"order": ["c7", "c3"]}}),
    "order-everywhere": Scene(_everywhere, asked={"provider": {"order": ["c7", "c3"]}}),
    "only-everywhere": Scene(_everywhere, asked={"provider": {"only": ["c7", "c3"]}}),
    "sticky": Scene(settings="routing: {sticky: true}", asked={"user": "somebody"}),
    "cheapest": Scene(settings="routing: {strategy: cheapest}"),
    "cheapest-everywhere": Scene(_everywhere, settings="routing: {strategy: cheapest}"),
    "resting": Scene(),  # one channel, which the calls do not ask for in the large configuration
    "resting-everywhere": Scene(_everywhere),
}  # fmt: skip


def configuration(channels: int, keys: int, scene: Scene = SCENES["exact"]) -> str:
    """YAML with so many of each."""
    bound = ", tags: [asked]" if scene.bound else ""
    lines = [scene.settings, "keys:", f'  - {{name: asker, key: "$key"{bound}}}']
    for number in range(keys - 1):
        digest = hashlib.sha256(f"key {number}".encode()).hexdigest()
        lines.append(f"  - {{name: key-{number}, sha256: {digest}, models: [gpt-4o, 'team-{number % 100}/*']}}")
    lines.append("channels:")
    for number in range(channels):
        members = f"base_url: 'http://127.0.0.1:$static', models: [{scene.models(number)}]{scene.more(number)}"
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
        serve = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.yaml")]
        serve += ["--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--graceful-timeout", "1"]
        headers = {**_HEADERS, "Content-Type": "application/json"}
        began = time.monotonic()
        process = stack.enter_context(_process(folder, "gateway", serve, dict(os.environ)))
        server = Server("gateway", port, port, process.pid)
        while process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                client.request("POST", _CHAT, _body("whole", False), headers)
                if client.getresponse().getheader("x-gateway-channel"):
                    return time.monotonic() - began, server.cpu(), server.memory()
            time.sleep(0.02)
        raise SystemExit((folder / "gateway.log").read_text())


def price(server: Server, scene: Scene, seconds: int) -> float:
    """Milliseconds of CPU time for one call."""
    body = json.dumps(json.loads(_body("whole", False)) | scene.asked).encode()
    used = server.cpu()
    load = wrk.run(server.whole, _CHAT, body, _HEADERS, _CONNECTIONS, seconds)
    if load.failed:
        raise SystemExit(f"{server.name}: {load.failed} calls failed")
    return (server.cpu() - used) / max(load.per_second * seconds, 1) * 1000


def compare(name: str, asked: argparse.Namespace) -> bool:
    """Says what a call costs in the scene *name*; whether the target is met."""
    scene, least = SCENES[name], {}
    sizes = {"small": (10, 10), "large": (asked.channels, asked.keys)}
    with pairs.servers({size: configuration(*numbers, scene) for size, numbers in sizes.items()}) as started:
        for size, server in started.items():
            if name.startswith("resting"):
                _put_to_rest(server, f"c{sizes[size][0] - 1}")
            price(server, scene, 2)  # what is loaded at the first calls is no call's
        for _ in range(asked.rounds):
            for size, server in started.items():
                least[size] = min(least.get(size, float("inf")), price(server, scene, asked.seconds))
    dearer = least["large"] / least["small"]
    what = f"{least['small']:.3f} ms of CPU in the small configuration, {least['large']:.3f} in the large one"
    _say(f"{name:20} {what}: {dearer:.2f} times as much (at most {_DEAREST}): {_met(dearer <= _DEAREST)}")
    return dearer <= _DEAREST


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
    parser.add_argument("--seconds", type=int, default=5)
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
    for name in SCENES:
        if name in wanted:
            good &= compare(name, asked)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
