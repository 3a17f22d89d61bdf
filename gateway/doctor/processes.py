"""The gateways that run on this machine, as /proc shows them: only names, limits and a few settings of
theirs are read, never the rest of their environment."""

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from gateway.serving import DEFAULT_BIND, SETTINGS

_SETTINGS = ("GATEWAY_CONFIG", "GATEWAY_BIND", "GATEWAY_WORKER_CLASS")
_OPTIONS = {"--config": "GATEWAY_CONFIG", "--bind": "GATEWAY_BIND", "--worker-class": "GATEWAY_WORKER_CLASS"}


@dataclass(frozen=True, slots=True)
class Running:
    """A master process. ``files`` is the soft limit of open files (of a worker, if there is one)."""

    pid: int
    user: int
    groups: frozenset[int]
    bind: str
    worker_class: str
    threads: int
    files: int


def running(config: Path, proc: Path = Path("/proc")) -> list[Running]:
    """The masters that serve the file *config*, as far as this user may look at them."""
    found = []
    for folder in proc.glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
            start = _start(words)
            if start is None or _is_worker(folder, proc):
                continue
            master = _read(folder, words[start:], config)
        except (OSError, ValueError, IndexError):  # gone meanwhile, or somebody else's
            continue
        if master is not None:
            found.append(master)
    return sorted(found, key=lambda each: each.pid)


def _start(words: list[str]) -> int | None:
    """Where the options of `gateway serve` begin in a command line; None if it is another one."""
    for place, (before, word) in enumerate(zip(words, words[1:], strict=False)):
        if word == "serve" and (before == "gateway" or before.endswith("/gateway")):
            return place + 2
    return None


def _is_worker(folder: Path, proc: Path) -> bool:
    parent = re.search(r"^PPid:\s+(\d+)", (folder / "status").read_text(), re.MULTILINE)
    try:
        words = (proc / parent[1] / "cmdline").read_bytes().decode("utf-8", "replace").split("\0") if parent else []
    except OSError:
        return False
    return words[:-1] == (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]


def _read(folder: Path, options: list[str], config: Path) -> Running | None:
    said = _environment(folder) | _given(options, _OPTIONS)
    path = Path(os.readlink(folder / "cwd")) / said.get("GATEWAY_CONFIG", "conf/gateway.yaml")
    if path.resolve() != config.resolve():
        return None
    status = (folder / "status").read_text()
    user = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    groups = re.search(r"^Groups:[ \t]*(.*)", status, re.MULTILINE)
    group = re.search(r"^Gid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    assert user and groups and group
    return Running(
        int(folder.name),
        int(user[1]),
        frozenset({int(group[1]), *map(int, groups[1].split())}),
        said.get("GATEWAY_BIND", DEFAULT_BIND),
        said.get("GATEWAY_WORKER_CLASS", SETTINGS["worker_class"]),
        int(_given(options, {"--threads": "threads"}).get("threads", SETTINGS["threads"])),
        _files(folder),
    )


def _environment(folder: Path) -> dict[str, str]:
    pairs = (pair.partition(b"=") for pair in (folder / "environ").read_bytes().split(b"\0"))
    return {name.decode(): value.decode() for name, _, value in pairs if name.decode("utf-8", "replace") in _SETTINGS}


def _given(options: list[str], names: dict[str, str]) -> dict[str, str]:
    found = {}
    for word, following in itertools.pairwise([*options, ""]):
        name, equals, value = word.partition("=")
        if name in names:
            found[names[name]] = value if equals else following
    return found


def _files(folder: Path) -> int:
    children = (folder / "task" / folder.name / "children").read_text().split()
    limits = (folder.parent / (children or [folder.name])[0] / "limits").read_text()
    match = re.search(r"^Max open files\s+(\w+)", limits, re.MULTILINE)
    assert match
    return 2**63 if match[1] == "unlimited" else int(match[1])
