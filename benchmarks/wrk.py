"""Drives one server with wrk, which counts whole replies, chunked ones too."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Load:
    """What came of one run; ``median`` is a whole reply's time in milliseconds."""

    per_second: float
    median: float
    p99: float
    bytes_each: float
    failed: int


def run(port: int, path: str, body: bytes, headers: dict[str, str], connections: int, seconds: int) -> Load:
    """Post *body* over *connections* kept connections, one request after another on each."""
    fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", *fields, "-s", str(_SCRIPT)]
    command += [f"http://127.0.0.1:{port}{path}", "--", body.decode()]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    said = json.loads(output.splitlines()[-1])
    done = said["requests"]
    return Load(
        per_second=(done - said["bad_status"]) / said["seconds"],
        median=said["median"],
        p99=said["p99"],
        bytes_each=said["bytes"] / done if done else 0.0,
        failed=said["errors"],
    )
