"""Drives one server with wrk, which counts whole replies, chunked ones too."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent


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
    command = [*fields, "-s", str(_HERE / "wrk.lua"), f"http://127.0.0.1:{port}{path}", "--", body.decode()]
    return _load(command, connections, seconds)


def run_with_keys(port: int, path: str, body: bytes, keys: int, connections: int, seconds: int) -> Load:
    """The same, each request with one of so many keys, by chance: ``gw-`` and its number, of 40 digits."""
    command = ["-s", str(_HERE / "wrk_keys.lua"), f"http://127.0.0.1:{port}{path}", "--", body.decode(), str(keys)]
    return _load(command, connections, seconds)


def _load(arguments: list[str], connections: int, seconds: int) -> Load:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", *arguments]
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
