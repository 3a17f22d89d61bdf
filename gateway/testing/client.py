"""A client of a gateway in this very process: no socket between the two."""

import json
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.app import create_app
from gateway.loading import Gateway
from gateway.testing.asking import Answer, Asker


def config_file(config: str | Mapping[str, Any] | Path, folder: Path) -> Path:
    """The path of *config*: a path is itself; YAML text, or a document, is written into *folder*."""
    if isinstance(config, Path):
        return config
    text = textwrap.dedent(config) if isinstance(config, str) else json.dumps(config)  # JSON is YAML
    path = folder / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class Client(Asker):
    """Asks a gateway that runs on *config*: YAML text, a document, or a file's path.

    Without *begins* it is as one that a command has loaded: it shares no state, does nothing in
    the background, and plugins are not told that they serve. Raises ConfigError, as the gateway
    does, when *config* cannot be used.
    """

    def __init__(self, config: str | Mapping[str, Any] | Path, folder: Path | None = None, *, begins: bool = True):
        self._folder = None
        if folder is None and not isinstance(config, Path):
            self._folder = tempfile.TemporaryDirectory(prefix="gateway-")
            folder = Path(self._folder.name)
        try:
            self._app = create_app(config_file(config, folder or Path()), begins=begins)
        except BaseException:  # Ctrl-C, too: nobody else knows of the folder
            self._forget_folder()
            raise
        self._client = self._app.test_client()
        if begins:
            self._app.extensions["gateway"].begin()

    @property
    def gateway(self) -> Gateway:
        """The configuration in force, with its loaded plugins."""
        return self._app.extensions["gateway"].gateway

    def _post(self, path: str, data: bytes, headers: Mapping[str, str], dialect: str) -> Answer:
        response = self._client.open(path, method="POST", data=data, headers=dict(headers), buffered=False)
        shown = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, shown, dialect, False, iter(response.response), response.close)

    def close(self) -> None:
        self._app.extensions["gateway"].end()
        self.gateway.transport.close()
        self._forget_folder()

    def _forget_folder(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
