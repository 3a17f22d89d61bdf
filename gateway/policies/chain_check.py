"""Whether a chain of lines (``chained_file``) is what was written."""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway import json_text
from gateway.policies.chain_links import HASH_AT_END, hash_of, last_hash


class ChainBroken(Exception):
    """The file is not what was written: where, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What an unbroken chain holds: *first* is the hash before its first line, *last* that of its last."""

    lines: int
    first: str
    last: str


def verify_files(paths: Iterable[Path], key: bytes = b"", passes: str = "") -> Verified:
    """Check the chain through *paths*, in any order. *passes* is a hash that it has to hold.

    Raises ChainBroken, which names file and line, and OSError.
    """
    lines, first, last, passed = 0, "", "", not passes
    for path in _in_order(list(paths)):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                said, own = _read_line(line, f"{path}:{number}", key)
                prev = said.get("prev")
                if last and prev != last:
                    raise ChainBroken(f"{path}:{number}: it does not follow the line before it")
                first, last = first or str(prev), own
                passed = passed or own == passes
                lines += 1
    if not passed:
        raise ChainBroken(f"no line has the hash {passes}")
    return Verified(lines, first, last)


def _read_line(line: bytes, where: str, key: bytes) -> tuple[dict, str]:
    found = HASH_AT_END.search(line)
    if not found or not line.endswith(b"\n"):
        raise ChainBroken(f"{where}: no whole line")
    said, own = line[: found.start()] + b"}", found[1].decode()
    if not hmac.compare_digest(hash_of(said, key), own):
        hint = "it was changed, or the key is another one" if key else "it was changed, or it was hashed with a key"
        raise ChainBroken(f"{where}: {hint}")
    try:
        document = json_text.parse(said)
    except json_text.NotJson as error:
        raise ChainBroken(f"{where}: {error}") from None
    return document, own


def _in_order(paths: list[Path]) -> list[Path]:
    """As their chain goes: each file begins with the hash that another ends with. Those that nobody leads
    to keep the order in which they were given."""
    begins = {path: _prev_of_first(path) for path in paths}
    ends = {last_hash(path): path for path in paths}
    follower = {ends[prev]: path for path, prev in begins.items() if ends.get(prev, path) != path}
    ordered: list[Path] = []
    for path in [*(p for p in paths if p not in follower.values()), *paths]:
        while path is not None and path not in ordered:
            ordered.append(path)
            path = follower.get(path)
    return ordered


def _prev_of_first(path: Path) -> str:
    with path.open("rb") as file:
        found = re.search(rb',"prev":"([0-9a-f]{64})","hash":"[0-9a-f]{64}"\}\n?\Z', file.readline())
    return found[1].decode() if found else ""
