"""Where a gateway keeps what need not outlive the machine: a folder in the temporary one, of this user's alone."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from gateway.errors import ConfigError


def private_folder() -> Path:
    """The folder, made if need be. Raises ConfigError for one that somebody else could have made, or look into."""
    folder = Path(tempfile.gettempdir()) / f"gateway-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError([f"{folder} is not a private folder of this user (mode 0700); remove it, or set TMPDIR"])
    return folder
