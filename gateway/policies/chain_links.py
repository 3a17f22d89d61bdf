"""How the lines of a chained file hang together: the hash at a line's end, and the files in which a chain goes on."""

import hashlib
import hmac
import os
import re
from pathlib import Path

GENESIS = "0" * 64
TAIL = 80  # bytes: enough for a line's hash and its end
HASH_AT_END = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n?\Z')


def hash_of(said: bytes, key: bytes) -> str:
    """The hash of a line that says *said*."""
    return hmac.new(key, said, "sha256").hexdigest() if key else hashlib.sha256(said).hexdigest()


def hash_at_end(text: bytes) -> str:
    """The hash of the line that *text* ends with; empty if it ends with none."""
    found = HASH_AT_END.search(text)
    return found[1].decode() if found else ""


def set_aside(path: Path) -> list[Path]:
    """The files that were set aside of the chain at *path*, oldest first."""
    name = re.compile(re.escape(path.name) + r"\.\d{8}T\d{6}\.\d{9}")
    return sorted(each for each in path.parent.iterdir() if name.fullmatch(each.name))


def last_hash(path: Path) -> str:
    """The hash of the last line of the file; its own name if it ends with none."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - TAIL))
        return hash_at_end(file.read()) or str(path)
