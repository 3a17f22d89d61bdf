"""What is installed: versions, files that run code at every start of Python, and the plugins' digests."""

import base64
import csv
import hashlib
import importlib.metadata
import platform
import re
import site
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gateway import __version__
from gateway.doctor.findings import Finding, failed, ok, warning
from gateway.plugin_manager import Source

_SHOWN = ("gunicorn", "gevent", "flask", "requests", "urllib3", "pluggy", "msgspec", "pyyaml")
# What setuptools and pip put there: its shim, editable installs, namespace packages of old.
_KNOWN = [
    re.compile(r"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os\.environ\.get\(var, '(local|stdlib)'\) == "
               r"'local'; enabled and __import__\('_distutils_hack'\)(\.add_shim\(\))?;? *"),
    re.compile(r"import (__editable___\w+_finder); \1\.install\(\)"),
    re.compile(r"import sys, ?types, ?os; ?has_mfs = sys\.version_info > \(3, 5\);.*importlib\.util.*"),
]  # fmt: skip


def check_versions() -> Finding:
    found = {"gateway": __version__, "python": platform.python_version()}
    for name in _SHOWN:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ok("versions", ", ".join(f"{name} {version}" for name, version in found.items()), **found)


def site_folders() -> list[Path]:
    """Where Python looks for ``.pth`` files when it starts."""
    named = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return [folder for folder in dict.fromkeys(map(Path, named)) if folder.is_dir()]


def check_pth(folders: Iterable[Path]) -> list[Finding]:
    """Executable ``.pth`` files: their lines run in every Python of this environment, used or not."""
    found, known = [], []
    for folder in folders:
        records = _records(folder)
        for file in sorted(folder.glob("*.pth")):
            lines = file.read_text("utf-8", "replace").splitlines()
            code = [line for line in lines if line.startswith(("import ", "import\t"))]
            if not code:
                continue
            if all(any(form.fullmatch(line) for form in _KNOWN) for line in code):
                known.append(file.name)
                continue
            found.append(_pth(file, records.get(file.name)))
    if not found:
        said = f"no unknown executable .pth file ({len(known)} known)"
        found.append(ok("pth", said, known=known))
    return found


def _pth(file: Path, record: tuple[str, str] | None) -> Finding:
    digest = hashlib.sha256(file.read_bytes()).digest()
    facts = {"file": str(file), "sha256": digest.hex()}
    if record and record[1] == "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
        said = f"{file} of {record[0]} runs code at every start of Python"
        return warning("pth", said, f"read it; if it is not wanted: pip uninstall {record[0]}", **facts)
    whose = f"is not what {record[0]} installed" if record else "belongs to no installed package"
    said = f"{file} runs code at every start of Python, and {whose}"
    return failed("pth", said, "read it as you would malware; install anew from requirements.lock", **facts)


def _records(folder: Path) -> dict[str, tuple[str, str]]:
    """name of a ``.pth`` file -> (the package that brought it, its digest as RECORD has it)."""
    found = {}
    for record in folder.glob("*.dist-info/RECORD"):
        package = record.parent.name.partition("-")[0]
        with record.open(encoding="utf-8", newline="") as lines:
            for row in csv.reader(lines):
                if len(row) > 1 and row[0].endswith(".pth") and "/" not in row[0]:
                    found[row[0]] = package, row[1]
    return found


def digests(sources: Mapping[str, Source]) -> dict[str, str]:
    """name -> SHA-256 of a plugin's file, or of all Python files of the package that brings it. Nothing is imported."""
    return {name: _digest(source) for name, source in sorted(sources.items())}


def plugin_files(sources: Iterable[Source]) -> list[Path]:
    """The files of those plugins that are single files."""
    return [Path(source.origin) for source in sources if source.origin.endswith(".py")]


def _digest(source: Source) -> str:
    if source.origin.endswith(".py"):
        return hashlib.sha256(Path(source.origin).read_bytes()).hexdigest()
    total = hashlib.sha256()
    for file in sorted(map(str, importlib.metadata.files(source.origin.partition(" ")[0]) or ())):
        if file.endswith(".py"):
            place = Path(str(importlib.metadata.distribution(source.origin.partition(" ")[0]).locate_file(file)))
            total.update(f"{file}\0".encode() + hashlib.sha256(place.read_bytes()).digest())
    return total.hexdigest()


def check_plugins(found: Mapping[str, str], used: Sequence[str], lock: Path | None) -> list[Finding]:
    """*found* are the digests of all plugins there are, *used* the names of those in use, *lock* a file of
    lines ``digest  name`` that tells which ones are wanted."""
    if lock is None:
        shown = ", ".join(f"{name} {found[name][:12]}" for name in used if name in found) or "none"
        return [ok("plugins", f"in use, with the beginnings of their digests: {shown}", **found)]
    wanted = dict(reversed(line.split(maxsplit=1)) for line in lock.read_text("utf-8").splitlines() if line.strip())
    changed = sorted(name for name in found if name in wanted and wanted[name] != found[name])
    new = sorted(name for name in found if name not in wanted)
    gone = sorted(set(wanted) - set(found))
    results = [
        failed("plugins", f"{name}: {what} {lock}", "look at the file; write a new lock only if you know why")
        for names, what in ((changed, "changed since it was written into"), (new, "stands not in"))
        for name in names
    ]
    if gone:
        results.append(warning("plugins", f"no longer there: {', '.join(gone)}", f"write {lock} anew"))
    return results or [ok("plugins", f"all {len(found)} plugins are those of {lock}", **found)]


def written_lock(found: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in found.items())
