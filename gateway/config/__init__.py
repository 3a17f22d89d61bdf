"""gateway.yaml: read, checked and handed out as frozen values."""

import os
from collections.abc import Mapping
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
    root = read_document(text, environment, complaints)
    settings = Checker(complaints).read(Settings, root)
    if settings is None or settings.channels is None:
        complaints.raise_any()
    check_whole(settings, complaints)
    return settings, complaints
