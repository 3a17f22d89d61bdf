"""A configuration of 10,000 channels and 100,000 keys beside one of 10 and 10: how long the gateway takes
from the command to its first answer, and what a call costs.

    python -m benchmarks.scale [--channels 10000] [--keys 100000] [--rounds 3] [--seconds 5]

The targets are a start within 10 seconds, and calls at 1.3 times the price at most.
"""

import argparse
import contextlib
import hashlib
import http.client
import os
import sys
import tempfile
import time
from pathlib import Path
from string import Template

from benchmarks import pairs
from benchmarks.measures import _CHAT, _HEADERS, _body
from benchmarks.servers import KEY, _free_ports, _process

_LONGEST_START = 10.0  # seconds
_DEAREST = 1.3
_PER_MODEL = 10  # channels that have the same model
_CHANNEL = "  - {{name: c{0}, provider: openai, key: up-{0}, base_url: 'http://127.0.0.1:$static', models: [{1}]}}"


def configuration(channels: int, keys: int) -> str:
    """YAML with so many of each; ten channels have the model that is asked for."""
    lines = ["keys:", '  - {name: asker, key: "$key"}']
    for number in range(keys - 1):
        digest = hashlib.sha256(f"key {number}".encode()).hexdigest()
        lines.append(f"  - {{name: key-{number}, sha256: {digest}, models: [gpt-4o, 'team-{number % 100}/*']}}")
    lines.append("channels:")
    for number in range(channels):
        group = number // _PER_MODEL
        lines.append(_CHANNEL.format(number, "whole, m0" if not group else f"m{group}, m{group}-mini"))
    return "\n".join(lines) + "\n"


def seconds_to_first_answer(yaml: str, workers: int) -> float:
    """From the command to the first call that is answered, if only with an upstream's absence."""
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
        while process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                client.request("POST", _CHAT, _body("whole", False), headers)
                if client.getresponse().getheader("x-gateway-channel"):
                    return time.monotonic() - began
            time.sleep(0.02)
        raise SystemExit((folder / "gateway.log").read_text())


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
    parser.add_argument("--start-only", action="store_true", help="Only the time to the first answer.")
    asked = parser.parse_args()
    large = configuration(asked.channels, asked.keys)
    start = seconds_to_first_answer(large, asked.workers)
    what = f"{asked.channels} channels, {asked.keys} keys, {asked.workers} workers"
    _say(f"{what}: first answer after {start:.1f} s (at most {_LONGEST_START:.0f}): {_met(start <= _LONGEST_START)}")
    if asked.start_only:
        return
    with pairs.gateways({"small": configuration(10, 10), "large": large}) as ports:
        found = pairs.in_turns(ports, asked.rounds, asked.seconds)
    _say("\n".join(pairs.table(found, "small")))
    dearer = found["small"]["per_second"] / found["large"]["per_second"]
    _say(f"a call costs {dearer:.2f} times as much (at most {_DEAREST}): {_met(dearer <= _DEAREST)}")


if __name__ == "__main__":
    main()
