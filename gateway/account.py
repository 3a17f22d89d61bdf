"""A call's account: what is known of it while it runs, and the one record when it ends."""

import time

from gateway.bodies import FileBody
from gateway.departures import Watch
from gateway.domain import CLIENT_CLOSED, COMPLETE, FAILED, REFUSED, TRUNCATED, Attempt, Call, Record
from gateway.errors import ClientError, ClientGone, GatewayError
from gateway.plugin_manager import Plugin, tell
from gateway.usage import Usage


class Account:
    """Gathers a call's facts; ``close`` ends the call, exactly once, however it ended."""

    def __init__(self, call: Call, watch: Watch, attempt_observers: tuple[Plugin, ...], observers: tuple[Plugin, ...]):
        self.call = call
        self.watch = watch
        self.status = 0
        self.channel = ""
        self.usage = Usage()
        self.first_event: float | None = None
        self.bytes_out = 0
        self.outcome = ""
        self.error = ""
        self._attempt_observers = attempt_observers
        self._observers = observers
        self._closed = False

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
        record = Record(
            status=self.status,
            outcome=self.outcome or CLIENT_CLOSED,
            channel=self.channel,
            attempts=tuple(self.call.attempts),
            usage=self.usage,
            first_event=self.first_event,
            total=time.monotonic() - self.call.started,
            bytes_out=self.bytes_out,
            error=self.error,
        )
        for plugin in reversed(self._observers):
            tell(plugin, "after_call", call=self.call, record=record)


__all__ = ["COMPLETE", "TRUNCATED", "Account"]
