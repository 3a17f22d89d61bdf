"""One line in the log for each call: who, what, where, how it ended, how long it took. JSON, or words
for whoever watches a terminal. Nothing of what was said, and no secret, is in it."""

import logging
import sys
from dataclasses import dataclass

from gateway import JsonText, hookimpl, option

log = logging.getLogger("gateway.calls")

_KINDS = ("input", "output", "cached", "cache_write", "reasoning", "input_audio", "output_audio")


@dataclass(frozen=True, kw_only=True)
class Options:
    format: str = option("auto: words on a terminal, else json", "auto", choices=("auto", "json", "text"))


class Plugin:
    def __init__(self, options):
        form = options.format if options.format != "auto" else "text" if sys.stderr.isatty() else "json"
        self._line = _words if form == "text" else _document
        self._bare = form == "json"
        self._say = log.info

    @hookimpl
    def begin(self):
        """Lines of JSON stand alone, nothing before them: unless the operator has a place for them, logging,
        which takes as long as making the line, has nothing to add."""
        log.propagate = not self._bare
        if self._bare and not log.handlers:
            self._say = _write

    @hookimpl
    def after_call(self, call, record):
        if log.isEnabledFor(logging.INFO):
            self._say(self._line(call, record))


def _write(line):
    sys.stderr.write(line + "\n")


def _document(call, record):
    usage = record.usage
    said = {
        "time": call.received.isoformat(timespec="milliseconds"),
        "request_id": call.id,
        "key": call.principal.name,
        "team": call.principal.team or None,
        "address": call.address or None,
        "dialect": call.dialect,
        "operation": call.operation,
        "model": call.model or None,
        "stream": call.stream,
        "channel": record.channel or None,
        "provider": record.provider or None,
        "upstream_model": record.model or None,
        "status": record.status,
        "outcome": record.outcome,
        "error": record.error or None,
        "route": [str(attempt) for attempt in record.attempts],
        "passed_over": [f"{left.channel.name}: {left.reason}" for left in call.passed_over] or None,
        "first": _rounded(record.first_event),
        "queued": _rounded(record.queued) or None,
        "total": _rounded(record.total),
        "bytes": record.bytes_out,
        "tokens": {kind: said for kind in _KINDS if (said := getattr(usage, kind)) is not None} or None,
        "usage": usage.source,
        "micro_usd": record.cost,
    }
    return JsonText.write({name: value for name, value in said.items() if value is not None}).decode()


def _rounded(seconds):
    return None if seconds is None else round(seconds, 4)


def _words(call, record):
    first = "-" if record.first_event is None else f"{record.first_event:.3f}"
    tokens = "" if record.usage.total is None else f" tokens={record.usage.input or 0}+{record.usage.output or 0}"
    return (
        f"{call.id} {call.principal.name} {call.dialect}/{call.operation} model={_plain(call.model)} "
        f"channel={record.channel or '-'} status={record.status} outcome={record.outcome} "
        f"attempts={len(record.attempts)} first={first} total={record.total:.3f} bytes={record.bytes_out}{tokens}"
        + (f" error={record.error}" if record.error else "")
        + (f" tried={_plain(','.join(map(str, record.attempts)), 2000)}" if record.attempts else "")
    )


def _plain(text, most=128):
    """A client names the model: nothing in it may forge a log line."""
    return "".join(c if c.isprintable() and c != " " else "?" for c in text[:most]) or "-"
