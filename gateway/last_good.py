"""The last configuration text that could be used, shared by a master and all its workers.

A worker that is started anew (after a crash, say) while the file on disk is broken goes on with
what its siblings run. The text is kept in a nameless temporary file that forked workers inherit;
secrets are in it only if the operator wrote them into the YAML itself.
"""

import os
import tempfile


class LastGood:
    """Made before workers are forked."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()

    def write(self, text: str) -> None:
        data = text.encode()
        os.pwrite(self._file.fileno(), data, 0)
        os.ftruncate(self._file.fileno(), len(data))

    def read(self) -> str:
        """The text, empty when nothing was good yet."""
        return os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0).decode()
