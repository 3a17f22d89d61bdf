"""A call's account: what is known of it while it runs, and the one record when it ends."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.bodies import FileBody
from gateway.departures import Watch
from gateway.domain import CLIENT_CLOSED, COMPLETE, FAILED, REFUSED, TRUNCATED, Attempt, Call, Candidate, Record
from gateway.errors import ClientError, ClientGone, GatewayError
from gateway.plugin_manager import Plugin, tell
from gateway.usage import Usage
from gateway.usage_reading import UsageTap

log = logging.getLogger("gateway.account")


class Account:
    """Gathers a call's facts; ``close`` ends the call, exactly once, however it ended."""

    def __init__(
        self, call: Call, watch: Watch, attempt_observers: tuple[Plugin, ...], observers: tuple[Plugin, ...],
        prices: Any = None,
    ):  # fmt: skip
        self._prices = prices
        self.call = call
        self.watch = watch
        self.status = 0
        self.channel = ""
        self.tap: UsageTap | None = None  # at the answer that is passed on
        self.first_event: float | None = None
        self.bytes_out = 0
        self.outcome = ""
        self.error = ""
        self.candidate: Candidate | None = None  # that answered, or was tried last
        self.queued = 0.0
        self.event_observers: Sequence[Callable[[float], None]] = ()
        self.at_end: list[Callable[[], None]] = []  # what was held for the call is given back
        self._attempt_observers = attempt_observers
        self._observers = observers
        self._usage: Usage | None = None
        self._closed = False

    @property
    def usage(self) -> Usage:
        """What the call used, once it has ended. Read when somebody asks: of many calls nobody does."""
        if self._usage is None and self._closed and self.tap is not None:
            self._usage = self._guarded(self.tap.usage, self.outcome == COMPLETE)
        return self._usage or Usage()

    def attempt(self, attempt: Attempt) -> None:
        """One try has ended."""
        self.call.attempts.append(attempt)
        for plugin in reversed(self._attempt_observers):
            tell(plugin, "attempt_finished", call=self.call, attempt=attempt)

    def began(self) -> None:
        """The first byte is about to leave."""
        if self.first_event is None:
            self.first_event = time.monotonic() - self.call.started

    def failed(self, error: GatewayError, outcome: str = "") -> None:
        """Note how the call ended (as *outcome*, if that says more); the first word counts."""
        if not self.outcome:
            if isinstance(error, ClientGone) or self.watch.gone:
                self.outcome = CLIENT_CLOSED
            else:
                self.outcome = outcome or (REFUSED if isinstance(error, ClientError) else FAILED)
            self.status = self.status or error.status
            self.error = error.fault.code or ""

    def ended(self, outcome: str) -> None:
        if not self.outcome:
            self.outcome = outcome

    def close(self) -> None:
        """Tell the observers and let go of what the call held. Further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        self.watch.close()
        if isinstance(self.call.body, FileBody):
            self.call.body.close()
        # What is to be done at the end knows whose end it is: kept, the two would hold the call, its body
        # and all, until garbage is looked for.
        at_end, self.at_end = self.at_end, []
        for give_back in at_end:
            self._guarded(give_back)
        if self._observers:
            record = self._record()
            for plugin in reversed(self._observers):
                tell(plugin, "after_call", call=self.call, record=record)

    def _record(self) -> Record:
        candidate = self.candidate
        return Record(
            status=self.status,
            outcome=self.outcome or CLIENT_CLOSED,
            channel=self.channel,
            attempts=tuple(self.call.attempts),
            usage=self.usage,
            first_event=self.first_event,
            total=time.monotonic() - self.call.started,
            bytes_out=self.bytes_out,
            error=self.error,
            model=candidate.model if candidate else "",
            provider=candidate.channel.provider.name if candidate else "",
            cost=self._guarded(self._cost, candidate) if candidate else None,
            queued=self.queued,
        )

    def _guarded(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """What *step* gives. Whatever it raises, the steps after it give back what the call holds."""
        try:
            return step(*arguments)
        except GatewayError as error:
            log.error("%s: %s", self.call.id, error)
        except Exception:  # whatever it was: the steps after it must give back what they hold
            log.exception("the end of %s failed unexpectedly", self.call.id)
        return None

    def _cost(self, candidate: Candidate) -> int | None:
        """Micro-USD; None where the usage or its price is not known."""
        if self._prices is None or self.tap is None:
            return None
        channel = candidate.channel
        at = self.call.received
        return self._prices.cost(channel.name, channel.provider.name, candidate.model, self.usage, at)


__all__ = ["COMPLETE", "TRUNCATED", "Account"]
