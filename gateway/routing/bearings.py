"""What one worker sees of its channels: open calls, the time to the first event, how fast they write. Each worker
balances its own calls, which balances them all; these are preferences, not limits, and so are not shared."""

import threading
import time
from collections.abc import Callable

_SHARE = 0.3  # of a new figure in the running mean of them
_STALE = 60.0  # seconds after which a channel that was not asked is worth asking again
_FEWEST = 16  # tokens of an answer that tells how fast a channel writes: of fewer, it is the wait for the first

Clock = Callable[[], float]


class _Means:
    """A running mean for each channel, as long as it is recent."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._kept: dict[str, tuple[float, float]] = {}  # mean, when

    def add(self, channel: str, figure: float) -> None:
        mean = self.of(channel)
        self._kept[channel] = figure if mean is None else mean + _SHARE * (figure - mean), self._clock()

    def of(self, channel: str) -> float | None:
        found = self._kept.get(channel)
        return found[0] if found is not None and self._clock() - found[1] <= _STALE else None


class Bearings:
    """Nothing recent known of a channel makes it the first to be found out."""

    def __init__(self, clock: Clock = time.monotonic):
        self._counting = threading.Lock()  # calls may run in threads
        self._open: dict[str, int] = {}
        self._times, self._speeds = _Means(clock), _Means(clock)
        self.measures_speed = False  # since somebody wanted to know: an answer's tokens take time to be read

    def began(self, channel: str) -> None:
        with self._counting:
            self._open[channel] = self._open.get(channel, 0) + 1

    def ended(self, channel: str) -> None:
        with self._counting:
            self._open[channel] = max(self._open.get(channel, 0) - 1, 0)

    def answered(self, channel: str, seconds: float) -> None:
        """The first event (or the whole reply) came after *seconds*."""
        self._times.add(channel, seconds)

    def wrote(self, channel: str, tokens: int | None, seconds: float) -> None:
        """A whole answer of so many *tokens*, if that is known, took *seconds* from the request to its end."""
        if tokens is not None and tokens >= _FEWEST and seconds > 0:
            self._speeds.add(channel, tokens / seconds)

    def open_calls(self, channel: str) -> int:
        return self._open.get(channel, 0)

    def first_event(self, channel: str) -> float:
        """The mean time in seconds; 0 when nothing recent is known, so that it is found out."""
        return self._times.of(channel) or 0.0

    def speed(self, channel: str) -> float | None:
        """Tokens a second, as a mean of recent answers; None when nothing recent is known."""
        self.measures_speed = True
        return self._speeds.of(channel)
