"""Where a call's time went, for people: the reply header ``Server-Timing`` (W3C), and the log of each
hook's call with ``gateway serve --trace-plugins``."""

import logging
import os
import time
from typing import Any

from gateway.domain import Call
from gateway.headers import token

log = logging.getLogger("gateway.trace")

TRACE = "GATEWAY_TRACE_PLUGINS"  # in the environment
_NOTE = "gateway timing"


def add_up(plugin: str, hook: str, seconds: float, failed: bool, call: Any) -> None:
    """A hook's observer: what each plugin has taken so far of a call whose client is to see it."""
    if call is not None and call.principal.show_timing:
        spent = call.notes.setdefault(_NOTE, {})
        spent[plugin] = spent.get(plugin, 0.0) + seconds


def trace(plugin: str, hook: str, seconds: float, failed: bool, call: Any) -> None:
    """A hook's observer: a line in the log."""
    log.info("%s %s.%s %.1f us%s", call.id if call else "-", plugin, hook, seconds * 1e6, " FAILED" if failed else "")


def traced() -> bool:
    """Whether every hook's call is to be logged."""
    return bool(os.environ.get(TRACE))


def server_timing(call: Call, queued: float) -> str:
    """The header's value, in milliseconds: ``upstream`` (the attempts), ``queue`` (waiting for room),
    ``gateway`` (all the rest until now), and each plugin's share of that."""
    upstream = sum(attempt.seconds for attempt in call.attempts)
    own = max(time.monotonic() - call.started - upstream - queued, 0.0)
    spans = [("gateway", own), ("upstream", upstream), ("queue", queued)]
    spans += [(f"plugin-{token(name)}", seconds) for name, seconds in call.notes.get(_NOTE, {}).items()]
    return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in spans)
