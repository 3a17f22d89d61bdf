"""Which channels and keys are to be left alone for now.

What one worker finds out is a notice on the shared board, which the others read a few times a
second: a call never waits for it. A notice ends when its channel answers well again.

What a failure does depends on what it was:
* a refused key rests for the longest time, a limited one until the time that the upstream named;
* a channel that cannot be reached, breaks or fails rests once it failed `trips` times in a row.
Each further failure doubles the time; of many calls that were under way together, the first alone
counts. When the time is over, one call of all workers is the probe, and the others go on passing
the channel over until it has succeeded, or has told nothing: then another is.

Clients' mistakes and departures never count.
"""

import functools
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from gateway import json_text
from gateway.config.kinds import Secret
from gateway.config.settings import Health as HealthSettings
from gateway.domain import Channel
from gateway.state import State, StateAway

log = logging.getLogger("gateway.health")

LOOK = 0.3  # seconds between two looks at the board
_PROBE = 30.0  # seconds a probe has before another call may be the next one
_KEPT = 3600.0  # seconds a notice is kept after its rest, so that the next failure doubles it

# Why something rests.
FAILING, LIMITED, REFUSED, BY_HAND = "failing", "limited", "key refused", "by hand"


@dataclass(frozen=True, slots=True)
class Rest:
    """A notice: *failures* in a row, and until when (seconds since 1970; 0 for not yet) to rest."""

    why: str
    failures: int = 0
    until: float = 0.0
    said: str = ""  # what the last failure was


def _read(text: str) -> Rest:
    said = json_text.parse(text.encode())
    return Rest(said["why"], said["failures"], float(said["until"]), said["said"])


@functools.lru_cache(10_000)
def key_id(key: Secret) -> str:
    """Tells keys of a channel apart, also across a reload that moves them, and says nothing of them."""
    return hashlib.sha256(b"gateway channel key\0" + key.reveal().encode()).hexdigest()[:12]


def resting_name(channel: str, key: Secret | None) -> str:
    """``channel#key id``: what stands on the board for one key of a channel."""
    return channel if key is None else f"{channel}#{key_id(key)}"


class Health:
    """One worker's view. Names are ``channel`` or ``channel#key id``. *state* gives the shared state
    (it may raise StateAway: what this worker saw itself still counts then)."""

    def __init__(self, state: Callable[[], State], clock: Callable[[], float] = time.time):
        self._state = state
        self._clock = clock
        self._rests: dict[str, Rest] = {}
        self._generation = -1
        self._told = True  # whether the others know what this worker found out

    def look(self) -> None:
        """Read the board, if anything changed there."""
        found = self._state().posted(self._generation)
        if found is not None:
            self._generation, notices = found
            self._rests = {
                name.removeprefix("rest:"): _read(text)
                for name, text in notices.items()
                if name.startswith("rest:")
            }

    def rest(self, name: str) -> Rest | None:
        """The notice about *name* while it rests, or waits for its probe."""
        found = self._rests.get(name)
        if found is None or not found.until or (found.why == BY_HAND and found.until <= self._clock()):
            return None
        return found

    def notice(self, name: str) -> Rest | None:
        """Whatever stands against *name*, also while it does not rest for it."""
        return self._rests.get(name)

    @property
    def all_well(self) -> bool:
        """Nothing stands against anybody: the usual case, in which nobody need look further."""
        return not self._rests

    def left(self, name: str) -> float:
        """Seconds for which *name* still rests; 0 when it is awake or due for a probe."""
        found = self._rests.get(name)
        return max(found.until - self._clock(), 0.0) if found is not None else 0.0

    def may_try(self, name: str) -> bool:
        """Whether a call may try *name* now. Of a rest that is over, one call is the probe."""
        found = self.rest(name)
        if found is None:
            return True
        if found.until > self._clock():
            return False
        try:
            # Of this rest: the one before may have had a probe, too, a moment ago.
            return self._state().claim(f"probe:{name}:{found.until}", _PROBE)
        except StateAway:
            return True

    def due(self, name: str) -> bool:
        """Whether *name* may be tried, or probed if that is still to be claimed (``may_try``)."""
        return not self.left(name)

    def awake(self, channel: Channel) -> bool:
        """Whether *channel* rests neither itself nor with all of its keys."""
        if self.all_well:
            return True
        keys = [resting_name(channel.name, key) for key in channel.keys]
        return self.due(channel.name) and (not keys or any(map(self.due, keys)))

    def untold(self, name: str) -> None:
        """A call on *name* ended without having found out how it is: if it was the probe, another may be."""
        before = self.rest(name)
        if before is not None and before.until <= self._clock():
            self._post(name, replace(before, until=self._clock()))

    def failed(self, name: str, settings: HealthSettings, said: str) -> None:
        """A channel failed by itself; it rests once it did so often enough in a row."""
        before = self._rests.get(name)
        if before is not None and (before.why == BY_HAND or before.until > self._clock()):
            return  # it rests for that already
        failures = (before.failures if before else 0) + 1
        until = 0.0
        if failures >= settings.trips or (before is not None and before.until):
            doubled = settings.cool_down * 2.0 ** min(max(failures - settings.trips, 0), 30)
            until = self._clock() + min(doubled, settings.longest)
        self._post(name, Rest(FAILING, failures, until, said))

    def limited(self, name: str, settings: HealthSettings, retry_after: float | None, said: str) -> None:
        """The upstream has enough for now."""
        before = self._rests.get(name)
        if before is not None and (before.why == BY_HAND or (not retry_after and before.until > self._clock())):
            return
        failures = (before.failures if before else 0) + 1
        seconds = retry_after or min(settings.cool_down * 2.0 ** min(failures - 1, 30), settings.longest)
        self._post(name, Rest(LIMITED, failures, self._clock() + seconds, said))

    def refused(self, name: str, settings: HealthSettings, said: str) -> None:
        """The upstream does not take this key."""
        before = self._rests.get(name)
        if before is None or before.why != BY_HAND:
            failures = (before.failures if before else 0) + 1
            self._post(name, Rest(REFUSED, failures, self._clock() + settings.longest, said))

    def succeeded(self, name: str) -> None:
        """A call went well: whatever stood against *name* is over."""
        before = self._rests.get(name)
        if before is None or before.why == BY_HAND:
            return
        if before.why == FAILING or before.until <= self._clock():  # else it is an older call's success
            self.wake(name)

    def put_to_rest(self, name: str, seconds: float, said: str) -> None:
        """The operator wants it left alone."""
        self._post(name, Rest(BY_HAND, 0, self._clock() + seconds, said))

    def wake(self, name: str) -> None:
        """Forget whatever stood against *name*."""
        self._rests.pop(name, None)
        self._tell(name, "", 0)

    def names(self) -> list[str]:
        """Everything there is a notice about."""
        return sorted(self._rests)

    def _post(self, name: str, rest: Rest) -> None:
        before = self._rests.get(name)
        if rest.until > self._clock() and (before is None or before.until != rest.until):
            log.warning("%s rests for %.1f s: %s (%s)", name, rest.until - self._clock(), rest.why, rest.said)
        self._rests[name] = rest
        seconds = max(rest.until - self._clock(), 0.0) + _KEPT
        self._tell(name, json_text.write(asdict(rest)).decode(), seconds)

    def _tell(self, name: str, text: str, seconds: float) -> None:
        try:
            self._state().post(f"rest:{name}", text, seconds)
            self._told = True
        except StateAway as error:
            if self._told:  # said once, not for each failure until it is back
                log.warning("channels' failures are this worker's own knowledge for now: %s", error)
            self._told = False
