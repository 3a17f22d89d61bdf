"""gunicorn around the application. The one door to gunicorn; nothing here may import urllib3.

gevent replaces sockets and TLS in each worker after the fork: modules that took the originals
before would block a whole worker. So the master never loads the configuration; it checks the
file's text at most.

SIGHUP does not replace workers: each one exchanges its configuration in place, so that no stream
has to end for it.
"""

import importlib
import re
import signal
import threading
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from gateway.last_good import LastGood

DEFAULT_BIND = "127.0.0.1:8080"
_KEY = re.compile(r"([?&]key=)[^&\s\"]*")


class ScrubbingLogger(Logger):
    """gunicorn's logger; clients' ``?key=`` never reaches its access log."""

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        atoms = super().atoms(resp, req, environ, request_time)
        return {name: _KEY.sub(r"\1***", value) if isinstance(value, str) else value for name, value in atoms.items()}


def hold_reload(server: Any) -> None:
    """In the master: pass SIGHUP on to the workers instead of replacing them."""

    def handle_hup() -> None:
        server.log.info("SIGHUP: workers reload the configuration")
        server.kill_workers(signal.SIGHUP)

    server.handle_hup = handle_hup


def take_reload(worker: Any) -> None:
    """In a worker: reload on SIGHUP, and when the file changes if it says so."""
    current = worker.wsgi.extensions["gateway"]
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=current.reload, daemon=True).start())
    current.watch()


# What conf/gunicorn.conf.py and `gateway serve` share.
SETTINGS: dict[str, Any] = {
    "bind": DEFAULT_BIND,
    "workers": 2,
    "worker_class": "gevent",
    "worker_connections": 4000,
    "threads": 64,  # of a gthread worker: as many streams it holds at once
    "timeout": 60,  # a worker that does not even say it lives; streams are not bounded by it
    "graceful_timeout": 3600,  # longer than the longest stream
    "keepalive": 20,  # longer than nginx keeps its side (conf/nginx.conf)
    "backlog": 4096,
    "limit_request_line": 8190,
    "limit_request_fields": 100,
    "limit_request_field_size": 16380,
    "control_socket_disable": True,
    "logger_class": ScrubbingLogger,
    "access_log_format": '%(h)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms',
    "on_starting": hold_reload,
    "post_worker_init": take_reload,
}


class Server(BaseApplication):
    """``gateway serve``: gunicorn with our settings, without a configuration file of its own."""

    def __init__(self, config: Path, options: dict[str, Any]):
        self._config = config
        self._options = options
        self._last_good = LastGood()
        super().__init__()

    def load_config(self) -> None:
        for name, value in {**SETTINGS, **self._options}.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        # Runs in the worker, after gevent has done its work; see the top of this file.
        app = importlib.import_module("gateway.app")
        return app.create_app(self._config, self._last_good)
