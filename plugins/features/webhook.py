"""Tells an address how calls ended, and which budgets come to their end: as JSON, in batches, signed, off the
client's path."""

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway import Secret, hookimpl, option, policies

log = logging.getLogger("gateway.webhook")

_OUTCOMES = ("complete", "truncated", "client_closed", "refused", "failed")
_NAME = "webhook"
_EVENTS = (*_OUTCOMES, "attempt_failed", "would_refuse", "budget")
_LAST_WORDS = 2.0  # seconds for what is left when the worker ends


@dataclass(frozen=True, kw_only=True)
class Options:
    url: Secret = option("where to post to")
    key: Secret | None = option("signs each post (Standard Webhooks; whsec_... or any text)", None)
    events: list[str] = option(
        "what to tell of: how a call ended (complete, truncated, client_closed, refused, failed), attempt_failed, "
        "would_refuse, budget (50, 80 or 100 % of one are spent)", ["failed", "refused", "truncated", "budget"],
    )  # fmt: skip
    codes: list[str] = option("only calls that ended with one of these error codes; none given: all", [])
    every: policies.Seconds = option("seconds between two posts", policies.Seconds(1))
    batch: int = option("most events in a post", 100, least=1)
    waiting: int = option("most events that wait; then the oldest are dropped", 10_000, least=1)
    tries: int = option("how often a post is tried", 6, least=1)
    mode: str = policies.mode_option("observe only logs what would be told")


class Plugin:
    def __init__(self, options):
        self._options = options
        self._outbox = None
        self._stop = None
        self._ended = False

    @hookimpl
    def check_config(self):
        options = self._options
        unknown = [name for name in options.events if name not in _EVENTS]
        complaints = [f"events: expected one of {', '.join(_EVENTS)}; found {name!r}" for name in unknown]
        if not options.url.reveal().startswith(("http://", "https://")):
            complaints.append("url: expected an http or https address")
        try:
            policies.webhook_key(options.key.reveal() if options.key else "")
        except ValueError:
            complaints.append("key: expected base64 behind whsec_")
        return complaints

    @hookimpl
    def begin(self, services):
        options = self._options
        services.watch_warnings(self._warned)
        if options.mode == "observe":
            return
        key = policies.webhook_key(options.key.reveal() if options.key else "")
        self._outbox = policies.Outbox(options.url.reveal(), key, options.waiting, options.batch, options.tries)
        self._stop = services.every(options.every, self._outbox.send, _NAME)

    @hookimpl
    def end(self):
        """What waits is sent now, if that is quickly done; a call that ends later sends its own."""
        if self._outbox is None:
            return
        self._ended = True
        self._stop.set()
        last = threading.Thread(target=self._outbox.send, args=(True,), daemon=True)
        last.start()
        last.join(_LAST_WORDS)

    @hookimpl
    def attempt_finished(self, call, attempt):
        if attempt.outcome != "ok" and "attempt_failed" in self._options.events:
            facts = {"channel": attempt.channel, "status": attempt.status, "code": attempt.outcome}
            self._tell("attempt_failed", call, facts | {"seconds": round(attempt.seconds, 3)})

    @hookimpl
    def after_call(self, call, record):
        options = self._options
        facts = {
            "channel": record.channel, "status": record.status, "code": record.error,
            "attempts": [str(attempt) for attempt in record.attempts], "seconds": round(record.total, 3),
            "input_tokens": record.usage.input, "output_tokens": record.usage.output, "cost_micro_usd": record.cost,
        }  # fmt: skip
        if record.outcome in options.events and (not options.codes or record.error in options.codes):
            self._tell(record.outcome, call, facts)
        if "would_refuse" in options.events:
            refused = [value for name, value in call.reply_headers if name == "x-gateway-would-refuse"]
            if refused:
                self._tell("would_refuse", call, facts | {"code": ", ".join(refused)})

    def _tell(self, event, call, facts):
        principal, at = call.principal, call.received.isoformat(timespec="milliseconds")
        said = {
            "event": event, "call": call.id, "at": at, "key": principal.name, "team": principal.team,
            "dialect": call.dialect, "operation": call.operation, "model": call.model,
        } | facts  # fmt: skip
        self._put(said, f"{event} {call.id} {facts['code']}")

    def _warned(self, document):
        if document["event"] in self._options.events:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._put({"event": document["event"], "at": at} | document, document["text"])

    def _put(self, said, text):
        if self._outbox is None:
            if self._options.mode == "observe":
                log.info("would tell: %s", text)
            return
        self._outbox.put(said)
        if self._ended:
            threading.Thread(target=self._outbox.send, args=(True,), daemon=True).start()
