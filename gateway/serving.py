"""gunicorn around the application. The one door to gunicorn; nothing here may import urllib3.

gevent replaces sockets and TLS in each worker after the fork: modules that took the originals
before would block a whole worker. So the master never loads the configuration; it checks the
file's text at most.

SIGHUP does not replace workers: each one exchanges its configuration in place, so that no stream
has to end for it.
"""

import _thread
import contextlib
import errno
import functools
import gc
import importlib
import logging
import os
import queue
import re
import resource
import signal
import sys
import time
import uuid
from email.utils import formatdate
from pathlib import Path
from typing import Any

from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from gateway import json_text
from gateway.arrival.laggards import reading
from gateway.last_good import LastGood

_MOST_LEAVING = 4
_FILES = 65536  # as conf/gateway.service and the container have them
DEFAULT_BIND = "127.0.0.1:8080"
_STATUS = {
    "LimitRequestLine": (414, "URI Too Long"),
    "LimitRequestHeaders": (431, "Request Header Fields Too Large"),
    "UnsupportedTransferCoding": (501, "Not Implemented"),
    "ExpectationFailed": (417, "Expectation Failed"),
}
_KEY = re.compile(r"([?&]key=)[^&\s\"]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class ScrubbingLogger(Logger):
    """gunicorn's logger; clients' ``?key=`` never reaches it."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.addFilter(_Scrub())

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        atoms = super().atoms(resp, req, environ, request_time)
        return {name: _scrubbed(value) if isinstance(value, str) else value for name, value in atoms.items()}


def _scrubbed(text: str) -> str:
    """Without keys, and on one line: a path may hold (encoded) line ends, which would forge lines."""
    return _CONTROL.sub("?", _KEY.sub(r"\1***", text))


class _Scrub(logging.Filter):
    """A request line that cannot be parsed is quoted in the error log, query and all. That the kernel broke
    a client's connection (laggards.py) is no error of ours: the call's own record says how it ended."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
            return False
        record.msg, record.args = _KEY.sub(r"\1***", record.getMessage()), ()
        return True


def refuse_politely(worker: Any) -> None:
    """In a worker: what gunicorn refuses before the application sees it is answered in JSON with a
    request id, too. Which dialect the client speaks is not known then: the members of all stand
    together."""
    usual = worker.handle_error

    def handle_error(req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        if not isinstance(exc, ParseException):
            usual(req, client, addr, exc)
            return
        status, reason = _STATUS.get(type(exc).__name__, (400, "Bad Request"))
        request_id = f"req_{uuid.uuid4().hex}"
        # The error quotes what could not be read, which may hold a key: its name has to do.
        worker.log.warning("%s refused (%d): %s", request_id, status, type(exc).__name__)
        error = {
            "type": "invalid_request_error", "code": status, "message": f"{reason}: the request cannot be read",
            "param": None, "status": "INVALID_ARGUMENT",
        }  # fmt: skip
        body = json_text.write({"type": "error", "error": error, "request_id": request_id})
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with contextlib.suppress(OSError):  # the client has gone
            util.write_nonblock(client, head.encode() + body)

    worker.handle_error = handle_error


def hold_reload(server: Any) -> None:
    """In the master: pass SIGHUP on to the workers instead of replacing them."""

    def handle_hup() -> None:
        server.log.info("SIGHUP: workers reload the configuration")
        server.kill_workers(signal.SIGHUP)

    server.handle_hup = handle_hup


def replace_leaving(server: Any) -> None:
    """In the master: a worker that takes no more calls (max_requests, or a SIGTERM of its own) is replaced
    at once, not when its last stream has ended. No more than so many at a time, or as there are workers to
    serve, so that streams of an hour cannot pile workers up."""
    usual = server.manage_workers

    def manage_workers() -> None:
        leaving = [pid for pid, worker in server.WORKERS.items() if _says_it_leaves(worker)]
        apart = {pid: server.WORKERS.pop(pid) for pid in leaving[: max(_MOST_LEAVING, server.num_workers)]}
        usual()
        server.WORKERS.update(apart)

    server.manage_workers = manage_workers


def _says_it_leaves(worker: Any) -> bool:
    return os.fstat(worker.tmp.fileno()).st_size > 0


def say_when_leaving(worker: Any) -> None:
    """In a worker: the file that it shares with the master (touched to show that it lives) is empty until
    it leaves."""
    usual = worker.notify

    def notify() -> None:
        if not worker.alive:
            os.ftruncate(worker.tmp.fileno(), 1)
        usual()

    worker.notify = notify


def find_itself_again(server: Any) -> None:
    """In the master: SIGUSR2 starts the same command anew. Of ``python -m gateway`` gunicorn only knows
    the file, which as a script would have the package's own folder to import from."""
    arguments = server.START_CTX["args"]
    if Path(arguments[1]) == Path(__file__).with_name("__main__.py"):
        arguments[1:2] = ["-m", "gateway"]


def open_many_files() -> None:
    """As many as it may, up to what all calls of a worker need: the soft limit of a shell is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def begin_as_master(server: Any) -> None:
    """Once, before anything listens."""
    open_many_files()
    hold_reload(server)
    replace_leaving(server)
    find_itself_again(server)


def end_while_booting(server: Any, worker: Any) -> None:
    """In a worker just forked: a SIGTERM ends it. The handler that it has from the master puts the
    signal into the worker's copy of the master's queue, where nobody looks, and the master would
    wait for the worker as long as for the longest stream."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(queue.Empty):
        while server.SIG_QUEUE.get_nowait() != signal.SIGTERM:
            pass
        sys.exit(0)


def stop_listening(worker: Any) -> None:
    """In a gthread worker: close the door before the last guests leave, as gevent's does. While it
    is open the kernel takes connections in that nobody will ever serve."""
    if not _is_gthread(worker):
        return
    usual = worker.set_accept_enabled

    def set_accept_enabled(enabled: bool) -> None:
        usual(enabled)
        if not worker.alive:
            for listener in worker.sockets:
                listener.close()

    worker.set_accept_enabled = set_accept_enabled


def end_slow_heads(worker: Any) -> None:
    """In a gthread worker: a request's head has no longer than in gevent's (`keepalive`). Else so many who send
    a byte now and then would hold all its threads."""
    if not _is_gthread(worker):
        return
    usual, patience = RequestParser.__next__, worker.cfg.keepalive

    def read_head(parser: Any) -> Any:
        with reading(parser, parser.unreader.sock, patience):
            return usual(parser)

    RequestParser.__next__ = read_head


def _is_gthread(worker: Any) -> bool:
    return hasattr(worker, "set_accept_enabled")


def write(sock: Any, data: bytes, chunked: bool = False) -> None:
    """gunicorn's own, at half the cost for an event: gevent's sendall() asks for the size of the socket's buffer
    each time before it sends, of which nearly always everything fits in."""
    if chunked:
        data = b"%X\r\n%b\r\n" % (len(data), data)
    sent = sock.send(data)
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])


@functools.lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def spare_what_stays(worker: Any) -> None:
    """gunicorn makes its date at each reply, and looks for 26 settings a call where they are not: 5% of a call."""
    util.http_date = lambda: _date(int(time.time()))
    vars(worker.cfg).update({name: setting.get() for name, setting in worker.cfg.settings.items()})


def prepare(worker: Any) -> None:
    """In a worker: reload on SIGHUP, and when the file changes if it says so; refuse politely."""
    refuse_politely(worker)
    stop_listening(worker)
    end_slow_heads(worker)
    util.write = write
    spare_what_stays(worker)
    say_when_leaving(worker)
    # What was loaded so far stays. Looking for garbage among it holds all streams up for 50 ms.
    gc.collect()
    gc.freeze()
    current = worker.wsgi.extensions["gateway"]
    # Not threading.Thread: its start() waits, which no signal handler may that gevent's hub runs.
    signal.signal(signal.SIGHUP, lambda *_: _thread.start_new_thread(current.reload, ()))
    current.begin()
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
    "on_starting": begin_as_master,
    "post_fork": end_while_booting,
    "post_worker_init": prepare,
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
