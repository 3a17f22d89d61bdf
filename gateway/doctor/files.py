"""Who may read, write and change the files of a deployment: folders to be written, secrets, and code.

Folders are judged for the user that the gateway runs as, by their mode bits where that is another one.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gateway.config.document import Complaints, Node, read_document
from gateway.doctor.findings import Finding, failed, ok, warning
from gateway.doctor.processes import Running
from gateway.ledger.options import ledger_options
from gateway.loading import Gateway

_LEAST_FREE = 200 * 10**6  # bytes
_SECRETS = frozenset({"key", "keys", "store", "state", "token", "password", "secret", "authorization"})


def check_folders(gateway: Gateway, masters: Sequence[Running]) -> list[Finding]:
    """Whether the state, the store, the spool and temporary files can be written, and the disk has room."""
    found = []
    for what, folder in _written(gateway).items():
        standing = next(path for path in (folder, *folder.parents) if path.exists())
        who = masters[0] if masters and masters[0].user != os.geteuid() else None
        facts = {"folder": str(folder)}
        if not _may_write(standing, who):
            whose = f"user {who.user}" if who else "this user"
            remedy = f"give it to the gateway's user: install -d -o gateway -m 0700 {folder}"
            found.append(failed(f"folder {what}", f"{whose} may not write in {standing}", remedy, **facts))
        elif (free := shutil.disk_usage(standing).free) < _LEAST_FREE:
            said = f"only {free // 10**6} MB are free in {standing}"
            found.append(warning(f"folder {what}", said, "make room before it is full", free=free, **facts))
        else:
            found.append(ok(f"folder {what}", f"{folder} can be written", free=free, **facts))
    return found


def _written(gateway: Gateway) -> dict[str, Path]:
    home, settings = gateway.path.resolve().parent, gateway.settings
    folders = {"temporary": Path(tempfile.gettempdir())}
    for name, url in (("state", settings.state), ("store", settings.store)):
        scheme, _, rest = url.reveal().partition(":///") if url else ("", "", "")
        if scheme == "sqlite":
            folders[name] = (home / rest).parent
    if settings.store:
        folders["spool"] = home / ledger_options(settings, Complaints(str(gateway.path))).spool
    return folders


def _may_write(folder: Path, who: Running | None) -> bool:
    if who is None:
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    status = folder.stat()
    if who.user == 0:
        return True
    shift = 6 if status.st_uid == who.user else 3 if status.st_gid in who.groups else 0
    return stat.S_ISDIR(status.st_mode) and (status.st_mode >> shift) & 3 == 3


def check_secrets(path: Path, text: str, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Whether others may read the files that hold secrets, and the configuration if it holds any itself."""
    root = read_document(text, environment, Complaints(str(path)))
    named, literal = {}, []
    for place, node in _scalars(root, ""):
        if node.raw.startswith("file:"):
            named[Path(node.text[5:])] = place
        elif place.endswith(".tls.key"):
            named[path.parent / node.text] = place
        elif _is_literal(place, node):
            literal.append(f"line {node.line}")
    found = [_secret_file(file, place) for file, place in named.items()]
    mode = path.stat().st_mode
    if literal and mode & stat.S_IROTH:
        remedy = f"chmod o= {path}; better: put them into the environment (${{NAME}}) or files (file:/path)"
        found.append(failed("secrets", f"{path} holds secrets ({', '.join(literal)}); any user may read it", remedy))
    elif not any(finding.state != "ok" for finding in found):
        said = "no file with secrets can be read by others"
        found.append(ok("secrets", said, files=len(named), literal=len(literal)))
    return found


def _scalars(node: Node, place: str) -> Iterable[tuple[str, Node]]:
    if isinstance(node.value, dict):
        for name, child in node.value.items():
            yield from _scalars(child, f"{place}.{name}")
    elif isinstance(node.value, list):
        for child in node.value:
            yield from _scalars(child, place)
    else:
        yield place, node


def _is_literal(place: str, node: Node) -> bool:
    """Whether a secret stands in the file itself. A database's address is one if it has a password."""
    name = place.rpartition(".")[2].lower()
    if name not in _SECRETS or "${" in node.raw or not isinstance(node.value, str):
        return False
    return name not in ("store", "state") or ("@" in node.raw and ":" in node.raw.partition("://")[2].partition("@")[0])


def _secret_file(file: Path, place: str) -> Finding:
    check, name = "secrets", place.removeprefix(".")
    try:
        mode = file.stat().st_mode
    except OSError as error:
        remedy = "run this as the gateway's user, or look at the path"
        return failed(check, f"{name}: {file}: {error.strerror}", remedy)
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return failed(check, f"{name}: any user may read or write {file}", f"chmod o= {file}")
    if mode & stat.S_IWGRP:
        return warning(check, f"{name}: a whole group may write {file}", f"chmod g-w {file}")
    return ok(check, f"{name}: {file} is closed to others")


def check_code(paths: Iterable[Path]) -> list[Finding]:
    """Whether others may change what the gateway executes: *paths* of plugins and the configuration."""
    open_to_all, checked = [], 0
    for path in paths:
        for each in (path, path.parent):
            checked += 1
            if _others_may_change(each):
                open_to_all.append(str(each))
    if open_to_all:
        shown = " ".join(sorted(set(open_to_all)))
        return [failed("code", f"any user may change what the gateway runs: {shown}", f"chmod o-w {shown}")]
    return [ok("code", "nobody else may change plugins or the configuration", looked_at=checked)]


def _others_may_change(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    # In a sticky folder such as /tmp nobody can exchange another's file.
    return bool(mode & stat.S_IWOTH) and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
