"""How long to wait for what: the one place that adds up timeouts."""

import time

from gateway.config.settings import Timeouts
from gateway.errors import ChannelTimeout

FOREVER = float("inf")


class Patience:
    """Whose time runs out first while nothing has reached the client yet.

    ``until`` is when the caller wants to be asked again (to send a keep-alive, say); the others
    end the attempt. All are moments of time.monotonic().
    """

    __slots__ = ("until", "total", "_first_event", "_longest_silence", "_deadline")

    def __init__(self, until: float, deadline: float):
        self.until = until
        self._deadline = deadline
        self._first_event = self.total = self._longest_silence = FOREVER

    def again(self) -> "Patience":
        """The same for another attempt beside this one."""
        return Patience(self.until, self._deadline)

    def attempt_begins(self, timeouts: Timeouts) -> None:
        now = time.monotonic()
        self._longest_silence = timeouts.first_event
        self._first_event = now + timeouts.first_event
        self.total = now + timeouts.total

    def sent(self) -> float:
        """The request has left: what connecting took is none of the first event's time. As ``left``."""
        self._first_event = time.monotonic() + self._longest_silence
        return self.left()

    def ends_in(self) -> float:
        """Seconds until the attempt or the whole call has used up its time, at least a millisecond: for what
        cannot be interrupted to ask the caller."""
        return max(min(self.total, self._deadline) - time.monotonic(), 0.001)

    def left(self) -> float:
        """Seconds until somebody's patience ends, at least a millisecond."""
        return max(min(self.until, self._first_event, self.total, self._deadline) - time.monotonic(), 0.001)

    def check(self) -> bool:
        """True when only the caller wants to be asked; raises ChannelTimeout when the attempt or
        the whole call has used up its time."""
        now = time.monotonic()
        if now >= self._first_event:
            raise ChannelTimeout("the channel sent no answer in time", code="upstream_first_event_timeout")
        if now >= self.total or self.past_deadline():
            raise ChannelTimeout("the call's time is used up", code="deadline_exceeded")
        return now >= self.until

    def past_deadline(self) -> bool:
        return time.monotonic() >= self._deadline
