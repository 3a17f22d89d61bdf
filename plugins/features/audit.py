"""Writes down who asked what and what came of it, in a chain of hashes that shows every later change.

Two lines a call: one before any channel hears of it, and one when it has ended, which may wait a moment for other
lines. In ``mode: enforce`` a call that cannot be written down is not served.
"""

import hashlib
import logging
from dataclasses import dataclass

from gateway import Secret, hookimpl, option, policies

log = logging.getLogger("gateway.audit")

_NAME = "audit"
_LATER = 0.25  # seconds that the line of how a call ended may wait for others


@dataclass(frozen=True, kw_only=True)
class Rotate:
    size: policies.Size = option("bytes after which a new file is begun", policies.Size(100 * 10**6))
    per: str = option("time after which one is begun (UTC)", "day", choices=("day", "hour", "never"))
    keep: int = option("files that are kept beside the newest; 0: all", 0, least=0)


@dataclass(frozen=True, kw_only=True)
class Options:
    file: str = option("where to write, beside this configuration", "var/audit.jsonl")
    content: str = option(
        "what is kept of requests and replies: all of it, its SHA-256, or nothing", "digest",
        choices=("full", "digest", "none"),
    )  # fmt: skip
    most: policies.Size = option(
        "content: full keeps at most so much of one request or reply", policies.Size(10**6)
    )
    rotate: Rotate = option("when a new file is begun", Rotate())
    key: Secret | None = option("makes the hashes HMACs, which nobody without it can write", None)
    mode: str = policies.mode_option("observe serves calls that cannot be written down too")


class Plugin:
    def __init__(self, options):
        self._options = options
        self._chain = None
        self._stop = None

    @hookimpl
    def begin(self, services):
        options, rotate = self._options, self._options.rotate
        key = options.key.reveal().encode() if options.key else b""
        rotation = policies.Rotation(rotate.size, rotate.per, rotate.keep)
        self._chain = policies.ChainedFile(services.path(options.file), rotation, key)
        self._stop = services.every(_LATER, self._chain.flush, _NAME)

    @hookimpl
    def end(self):
        if self._chain is not None:
            self._stop.set()
            self._chain.close()

    @hookimpl
    def before_call(self, call):
        if self._chain is None:  # only looked at, by a command
            return
        entry = _who(call) | {
            "event": "asked", "method": call.method, "path": call.endpoint.path, "stream": call.stream,
        }  # fmt: skip
        if self._options.content != "none" and call.body is not None:
            entry["request"] = self._request(call.body)
        if self._options.mode == "enforce":
            self._chain.append(entry)
            return
        try:
            self._chain.put(entry)
        except OSError as error:  # who only observes never fails a call
            log.error("%s: not written down yet: %s", call.id, error)

    @hookimpl
    def filter_reply(self, call):
        if self._chain is None or self._options.content == "none" or not policies.has_text_reply(call):
            return None
        call.notes[_NAME] = seen = _Seen(self._options.most if self._options.content == "full" else 0)
        return seen

    @hookimpl
    def after_call(self, call, record):
        if self._chain is None:
            return
        entry = _who(call) | {
            "event": "answered", "status": record.status, "outcome": record.outcome, "error": record.error,
            "channel": record.channel, "channel_model": record.model, "attempts": [str(one) for one in record.attempts],
            "input_tokens": record.usage.input, "output_tokens": record.usage.output, "usage": record.usage.source,
            "bytes": record.bytes_out,
        }  # fmt: skip
        seen = call.notes.get(_NAME)
        if seen is not None and seen.size:
            entry["reply"] = seen.entry()
        self._chain.put(entry)
        if self._stop.is_set():  # calls that began before another configuration came are written down too
            self._chain.close()

    def _request(self, body):
        seen = _Seen(self._options.most if self._options.content == "full" else 0)
        data = getattr(body, "data", None)
        for piece in [data] if data is not None else body:
            seen.look(piece)
        return seen.entry(readable=data is not None)


def _who(call):
    principal = call.principal
    return {
        "call": call.id, "key": principal.name, "team": principal.team, "owner": principal.owner,
        "address": call.address, "dialect": call.dialect, "operation": call.operation, "model": call.model,
    }  # fmt: skip


class _Seen:
    """A request or a reply as it passed: how much, its digest, and the first *most* bytes."""

    def __init__(self, most):
        self.size = 0
        self._digest = hashlib.sha256()
        self._most = most
        self._kept = []
        self._left = most

    def look(self, piece):
        self.size += len(piece)
        self._digest.update(piece)
        if self._left > 0:
            self._kept.append(piece[: self._left])
            self._left -= len(self._kept[-1])

    def feed(self, events):
        self.look(events)
        return events

    def close(self):
        return b""

    def whole(self, response):
        self.look(response.body)

    def entry(self, readable=True):
        entry = {"bytes": self.size, "sha256": self._digest.hexdigest()}
        if self._most and readable:
            entry["content"] = policies.without_keys(b"".join(self._kept).decode("utf-8", "replace"))
            if self.size > self._most:
                entry["cut"] = True
        return entry
