"""From a route to an answer: which channel and key is tried next, when to wait for one, when to give up.

Nothing has reached the client while this runs (headers and keep-alive comments at most), so that
another channel can still take over. No channel is tried twice with the same key.
"""

import random
import time
from collections.abc import Generator

from gateway.account import Account
from gateway.attempt.attempt import Ready, Try
from gateway.attempt.patience import Patience
from gateway.attempt.verdicts import BAD_KEY, FATAL, LIMITED, TOO_LONG, Verdict
from gateway.departures import Watch
from gateway.domain import COUNT_TOKENS, GENERATE, Attempt, Call, Candidate, LeftOut, Route
from gateway.errors import (
    BadRequest,
    ChannelFailed,
    ChannelsFull,
    ChannelTimeout,
    ClientGone,
    GatewayError,
    NoChannel,
)  # fmt: skip
from gateway.loading import Gateway
from gateway.state import StateAway
from gateway.trying.hedging import Runner, SharedWatch, race
from gateway.trying.lessons import Lessons
from gateway.trying.turns import Busy, Turn, Turns

Trial = Generator[None, None, Ready]
_HEDGED = frozenset({GENERATE, COUNT_TOKENS, "embeddings", "completions", "moderations", "rerank"})
# Seconds, at most, between two looks for a place: soon at first, seldom when many may be waiting.
_FIRST_LOOK, _LONGEST_LOOK = 0.02, 0.25
_BACK_OFF = 0.2  # seconds, at most, before the first step to a lower priority; doubled with each
_LONGEST_BACK_OFF = 2.0
_DEADLINE = "deadline_exceeded"  # patience's word for it


class Trying:
    """The attempts of one call."""

    def __init__(self, gateway: Gateway, call: Call, account: Account, route: Route, patience: Patience):
        self._gateway = gateway
        self._lessons = Lessons(gateway, account)
        self._call = call
        self._account = account
        self._patience = patience
        self._turns = Turns(gateway, call, route)
        self._last: tuple[Candidate, GatewayError] | None = None  # whose failure the client will be told
        self._over = False  # nobody else could do better
        self._tried = 0
        self._steps = 0
        self._look_again = _FIRST_LOOK
        self._queue = gateway.settings.routing.queue  # seconds that may still be waited
        self._ends_at = time.monotonic() + gateway.settings.routing.deadline  # no pause goes beyond it

    def run(self) -> Trial:
        """Yields whenever the caller's patience is over; returns the Ready answer. Raises the last
        channel's failure, or why none could be tried."""
        try:
            return (yield from self._tries())
        finally:
            self._last = None  # a raised error holds the frames that it came through, and they hold this

    def _tries(self) -> Trial:
        most = self._gateway.settings.routing.retries + 1
        while self._tried < most and not (self._last is not None and self._patience.past_deadline()):
            turn = yield from self._next()
            if turn is None:
                break
            self._tried += 1
            try:
                return (yield from self._served(turn))
            except (BadRequest, ChannelFailed):  # what it means has been noted
                if self._over:
                    break
                yield from self._step_down(turn)
        assert self._last is not None
        candidate = self._last[0]
        # Whoever looks at the error (for secrets in it, say) must look at the channel that it came from.
        self._account.channel, self._account.candidate = candidate.channel.name, candidate
        raise self._last[1]

    # --- whose turn it is ------------------------------------------------------------------------

    def _next(self) -> Generator[None, None, Turn | None]:
        """The next to try, waiting for it if that is all there is to do. None when nobody is left;
        raises why nobody could be tried at all."""
        while self._turns.waiting:
            busy: list[Busy] = []
            turn = self._turns.next(busy) or self._turns.last_resort(busy)
            if turn is not None:
                return turn
            seconds = min(each.seconds for each in busy)
            if seconds > self._queue or self._patience.past_deadline():
                self._call.passed_over += [LeftOut(each.candidate.channel, each.reason) for each in busy]
                if self._last is None:
                    raise _nobody(busy, seconds)
                return None
            yield from self._wait(min(max(seconds, 0.002), self._look_again, self._queue + 0.001))
            self._look_again = min(self._look_again * 1.5, _LONGEST_LOOK)
        return None

    def _wait(self, seconds: float) -> Generator[None, None, None]:
        """Sleep; yields when the caller's patience is over. The time counts against the queue's."""
        began = time.monotonic()
        try:
            yield from self._sleep(seconds)
        finally:
            waited = time.monotonic() - began
            self._queue -= waited
            self._account.queued += waited

    def _sleep(self, seconds: float) -> Generator[None, None, None]:
        until = min(time.monotonic() + seconds, self._ends_at)
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, max(self._patience.until - time.monotonic(), 0.001)))
            if self._account.watch.gone:
                raise ClientGone("the client closed its connection")
            if time.monotonic() >= self._patience.until:
                yield

    # --- one attempt -----------------------------------------------------------------------------

    def _served(self, turn: Turn) -> Trial:
        """The attempt; where it takes long, and that is wanted, against a second one."""
        after = self._gateway.settings.routing.hedge_after
        if not after or self._call.stream or self._call.operation not in _HEDGED:
            return (yield from self._noted(turn, self._patience, self._account.watch))
        channel = turn.candidate.channel.name
        beside: list[SharedWatch] = []
        running = race(self._runner(turn, beside), self._patience, after, lambda: self._rival(channel, beside))
        try:
            while True:
                next(running)
                if self._account.watch.gone:
                    raise ClientGone("the client closed its connection")
                if time.monotonic() >= self._patience.until:
                    yield
        except StopIteration as done:
            return done.value
        finally:
            running.close()
            beside.clear()  # each of them holds it

    def _runner(self, turn: Turn, beside: list[SharedWatch]) -> Runner:
        patience, watch = self._patience.again(), SharedWatch(self._account.watch, beside)
        return Runner(self._noted(turn, patience, watch), patience, lambda: self._unused(turn))

    def _rival(self, slow: str, beside: list[SharedWatch]) -> Runner | None:
        """Another channel than the *slow* one that can be asked at once, if there is one."""
        if self._tried > self._gateway.settings.routing.retries:
            return None
        try:
            turn = self._turns.next([], but=slow)
        except StateAway:  # the first goes on without one
            return None
        if turn is None:
            return None
        self._tried += 1
        return self._runner(turn, beside)

    def _unused(self, turn: Turn) -> None:
        """It was never begun: what it holds is given back."""
        if turn.place is not None:
            turn.place.leave(None)
        self._lessons.untold(turn)

    def _noted(self, turn: Turn, patience: Patience, watch: Watch | SharedWatch) -> Trial:
        """The attempt, and the lessons from its failure."""
        try:
            return (yield from self._attempt(turn, patience, watch))
        except BadRequest as error:  # this channel cannot be told what the client said; another may
            self._last = self._last or (turn.candidate, error)
            self._tried -= 1  # nobody was asked: it is none of the `retries`
            self._turns.drop(lambda candidate: candidate is turn.candidate)
            raise
        except ChannelFailed as error:
            if not self._over:
                self._last = turn.candidate, error
            if error.fault.code != _DEADLINE or self._tried <= 1:  # else others had used the call's time up
                self._after(turn.candidate, self._lessons.failed(turn, error))
            raise
        finally:
            self._lessons.untold(turn)

    def _attempt(self, turn: Turn, patience: Patience, watch: Watch | SharedWatch) -> Trial:
        candidate, channel, account = turn.candidate, turn.candidate.channel, self._account
        account.channel, account.candidate = channel.name, candidate
        began, stale = time.monotonic(), watch.stale
        attempt, outcome, ready, sent = None, "abandoned", None, True
        self._lessons.began(turn)
        try:
            key = channel.keys[turn.position] if channel.keys else None
            attempt = Try(self._call, candidate, key, self._gateway.provider_plugins.get(channel.provider.name))
            ready = yield from attempt.run(self._gateway.transport, patience, watch)
            outcome = "ok"
        except GatewayError as error:
            outcome, sent = error.fault.code or error.code or "failed", _was_sent(error)
            raise
        finally:
            seconds, status = time.monotonic() - began, attempt.status if attempt is not None else 0
            for _ in range(watch.stale - stale):  # it saw these, perhaps
                account.attempt(Attempt(channel.name, turn.position, candidate.model, 0, "stale_connection", 0.0))
            account.attempt(Attempt(channel.name, turn.position, candidate.model, status, outcome, seconds))
            if ready is None:
                self._lessons.unanswered(turn, bool(status) or sent)
        account.channel, account.candidate = channel.name, candidate  # of two, the one that was first
        self._lessons.answered(turn, seconds)
        account.at_end.append(lambda: self._lessons.ended(turn, began, seconds if ready.whole else 0.0))
        return ready

    def _after(self, tried: Candidate, verdict: Verdict) -> None:
        """Who of the others is still worth trying."""
        if verdict.kind == FATAL:
            self._over = True
        elif verdict.kind == TOO_LONG:
            self._turns.drop(lambda candidate: candidate.model == tried.model or not _larger(candidate, tried))
        elif verdict.kind not in (BAD_KEY, LIMITED):
            self._turns.drop(lambda candidate: candidate is tried)

    def _step_down(self, turn: Turn) -> Generator[None, None, None]:
        """A pause before a lower priority is turned to: what failed may fail for all, and all calls
        would arrive there at once."""
        if not self._turns.waiting:
            return
        priority = turn.candidate.channel.settings.priority
        if self._turns.waiting[0][0].channel.settings.priority < priority:
            chance = random.Random(f"{self._call.id} step {self._steps}").random()
            most = min(_BACK_OFF * 2**self._steps, _LONGEST_BACK_OFF)
            self._steps += 1
            yield from self._sleep(chance * most)


def _was_sent(error: GatewayError) -> bool:
    """Whether the upstream may have got a request that it gave no answer to."""
    if isinstance(error, ChannelTimeout):
        return error.fault.code != "upstream_connect_timeout"
    return isinstance(error, ClientGone)


def _larger(candidate: Candidate, tried: Candidate) -> bool:
    """Whether *candidate*'s model may read more than *tried*'s; True where it is not known."""
    ours, theirs = candidate.channel.context(candidate.model), tried.channel.context(tried.model)
    return ours is None or theirs is None or ours > theirs


def _nobody(busy: list[Busy], seconds: float) -> GatewayError:
    away = next((each.away for each in busy if each.away is not None), None)
    if away is not None:
        return away
    reasons = "; ".join(dict.fromkeys(f"{each.candidate.channel.name}: {each.reason}" for each in busy[:5]))
    if any(each.limited for each in busy):
        return ChannelsFull(f"every channel is at its limit ({reasons})", retry_after=seconds)
    return NoChannel(f"no channel can serve the call now ({reasons})", code="no_channel", retry_after=seconds)
