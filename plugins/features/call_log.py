"""One line in the log for each call: who, what, where, how it ended, how long it took."""

import logging

from gateway import hookimpl

log = logging.getLogger("gateway.calls")


@hookimpl
def after_call(call, record):
    if not log.isEnabledFor(logging.INFO):
        return
    first = "-" if record.first_event is None else f"{record.first_event:.3f}"
    log.info(
        "%s %s %s/%s model=%s channel=%s status=%d outcome=%s attempts=%d first=%s total=%.3f bytes=%d%s%s",
        call.id, call.principal.name, call.dialect, call.operation, _plain(call.model), record.channel or "-",
        record.status, record.outcome, len(record.attempts), first, record.total, record.bytes_out,
        f" error={record.error}" if record.error else "",
        f" tried={_plain(','.join(map(str, record.attempts)), 2000)}" if record.attempts else "",
    )  # fmt: skip


def _plain(text, most=128):
    """A client names the model: nothing in it may forge a log line."""
    return "".join(c if c.isprintable() and c != " " else "?" for c in text[:most]) or "-"
