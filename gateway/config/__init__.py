"""gateway.yaml: read, checked and handed out as frozen values."""

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.config.checker import Checker
from gateway.config.document import Complaints, read_document
from gateway.config.settings import Settings
from gateway.config.whole import check_whole


def read_settings(
    path: Path, text: str, environment: Mapping[str, str] = os.environ
) -> tuple[Settings, Complaints]:
    """The settings that *text* (of the file *path*) gives, and the complaints to go on adding to:
    all of one file are said at once.

    Raises ConfigError when it is not YAML at all or, once nothing sensible is left to check
    further, with every complaint gathered so far.
    """
    complaints = Complaints(str(path))
    if (path, text) in _kept:
        settings, known = _kept[path, text]
        complaints.warnings += known.warnings
        return settings, complaints
    with without_garbage():
        settings = Checker(complaints).read(Settings, read_document(text, environment, complaints))
    if settings is None or settings.channels is None:
        complaints.raise_any()
    check_whole(settings, complaints)
    return settings, complaints


_kept: dict[tuple[Path, str], tuple[Settings, Complaints]] = {}


def keep_settings(path: Path, text: str, found: tuple[Settings, Complaints]) -> None:
    """In the master: what it *found* serves its workers, too, which are forked from it; a large file is read
    once. Not where secrets stand in files: another one may stand there when a worker is started anew."""
    if "file:" not in text:
        _kept[path, text] = found
        gc.freeze()  # a worker that looked for garbage among it would get a copy of all of its pages


@contextlib.contextmanager
def without_garbage() -> Iterator[None]:
    """A large file makes millions of objects, all of them in use: looking for garbage among them again
    and again takes longer than reading them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
