"""Files of keys to import: YAML in the form of `keys:` in gateway.yaml (such a file, too), or CSV."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.config.checker import Checker, option
from gateway.config.document import Complaints, Node, read_document
from gateway.config.forms import node_of
from gateway.config.settings import KeySettings
from gateway.issuer import is_token
from gateway.store import clock
from gateway.store.documents import KEY_MEMBERS, plain
from gateway.store.keys import Wanted, digest_of, is_name, prefix_of

_SHORTEST = 16  # characters: the digest of anything shorter can be undone by trying
_LISTS = ("models", "tags", "allow_ips")
_MAPPINGS = ("limits", "budget")
_YES_OR_NO = ("show_route", "show_timing", "may_choose")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PARTED = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry(KeySettings):
    """A key of `keys:`, with a note."""

    note: str = option("whatever should be remembered of it", "")


def read_yaml(text: str, environment: Mapping[str, str], file: str) -> list[tuple[str, Wanted]]:
    """(place in the file, key) of each entry. Raises ConfigError with every complaint."""
    complaints = Complaints(file)
    root = read_document(text, environment, complaints)
    entries = root.value.get("keys", Node(1, [])) if isinstance(root.value, dict) else root
    if not isinstance(entries.value, list):
        complaints.add(entries.line, "keys", "expected a list of keys")
        complaints.raise_any()
    return _read(entries.value, complaints)


def read_csv(lines: Iterable[str], file: str) -> list[tuple[str, Wanted]]:
    """The same of a table with a line of headings: name, sha256 (or key), owner, team, models, tags,
    allow_ips, expires, limits, budget, show_route, show_timing, may_choose, note. Lists are parted by spaces, commas or
    semicolons; limits and budget are written as in YAML. Raises ConfigError with every complaint."""
    complaints = Complaints(file)
    rows = csv.DictReader(lines, restkey="more cells than headings")
    entries = []
    for row in rows:
        cells = {name: cell for name, cell in row.items() if cell and not (isinstance(cell, str) and not cell.strip())}
        entries.append(Node(rows.line_num, {n: _cell(n, c, rows.line_num, complaints) for n, c in cells.items()}))
    return _read(entries, complaints)


def _cell(name: str, cell: Any, line: int, complaints: Complaints) -> Node:
    text = cell.strip() if isinstance(cell, str) else str(cell)
    if name in _LISTS:
        return Node(line, [Node(line, word, word, word) for word in _PARTED.split(text)])
    if name in _MAPPINGS:
        inner = Complaints(f"{complaints.file}:{line}")
        node = read_document(text, {}, inner)
        complaints.lines += inner.lines
        return node_of(plain(node), line)
    return Node(line, _FLAGS.get(text.lower(), text) if name in _YES_OR_NO else text, text, text)


def _read(entries: list[Node], complaints: Complaints) -> list[tuple[str, Wanted]]:
    checker, seen, read = Checker(complaints), {}, []
    for number, node in enumerate(entries):
        before = len(complaints.lines)
        entry = checker.read(KeyEntry, node, f"keys[{number}]")
        if entry is None or len(complaints.lines) > before:
            continue
        complaint = _complaint(entry)
        wanted = _wanted(entry, node)
        for what, value in (("name", wanted.name), ("secret", wanted.digest)):
            first, line = seen.setdefault((what, value), (number, node.line))  # one line may hold all keys
            if first != number and not complaint:
                complaint = f"the {what} stands in line {line} already"
        if complaint:
            complaints.add(node.line, f"keys.{entry.name}", complaint)
        read.append((f"{complaints.file}:{node.line}", wanted))
    complaints.raise_any()
    return read


def _complaint(entry: KeyEntry) -> str:
    if not is_name(entry.name):
        return "expected a name without spaces, of at most 128 characters"
    if bool(entry.key) == bool(entry.sha256):
        return "give either 'key' or 'sha256'"
    if entry.certificates:
        return "only a key of the configuration has 'certificates'"
    secret = entry.key.reveal() if entry.key else ""
    if secret and len(secret) < _SHORTEST:
        return f"a secret has at least {_SHORTEST} characters; a shorter one could be guessed"
    if is_token(secret):
        return "this is a JSON Web Token, no key"
    return ""


def _wanted(entry: KeyEntry, node: Node) -> Wanted:
    secret = entry.key.reveal() if entry.key else ""
    return Wanted(
        entry.name, digest_of(secret) if secret else str(entry.sha256), prefix_of(secret), entry.owner, entry.team,
        {member: plain(node.value[member]) for member in KEY_MEMBERS if member in node.value}, entry.note,
        None if entry.expires is None else clock.micros(entry.expires),
    )  # fmt: skip
