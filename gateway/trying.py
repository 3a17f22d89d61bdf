"""From a route to an answer: which channel and key is tried next, when to wait for one, when to give up.

Nothing has reached the client while this runs (headers and keep-alive comments at most), so that
another channel can still take over. No channel is tried twice with the same key.
"""

import random
import time
from collections.abc import Generator

from gateway.account import Account
from gateway.attempt import Ready, Try
from gateway.domain import COMPLETE, COUNT_TOKENS, GENERATE, TRUNCATED, Attempt, Call, Candidate, LeftOut, Route
from gateway.errors import BadRequest, ChannelFailed, ChannelsFull, ClientGone, GatewayError, NoChannel
from gateway.hedging import Runner, race
from gateway.loading import Gateway
from gateway.patience import Patience
from gateway.turns import Busy, Turn, Turns
from gateway.verdicts import BAD_KEY, FATAL, LIMITED, TOO_LONG, Verdict, verdict_on

Trial = Generator[None, None, Ready]
_HEDGED = frozenset({GENERATE, COUNT_TOKENS, "embeddings", "completions", "moderations", "rerank"})
# Seconds, at most, between two looks for a place: soon at first, seldom when many may be waiting.
_FIRST_LOOK, _LONGEST_LOOK = 0.02, 0.25
_BACK_OFF = 0.2  # seconds, at most, before the first step to a lower priority; doubled with each
_LONGEST_BACK_OFF = 2.0


class Trying:
    """The attempts of one call."""

    def __init__(self, gateway: Gateway, call: Call, account: Account, route: Route, patience: Patience):
        self._gateway = gateway
        self._health = gateway.services.health
        self._call = call
        self._account = account
        self._patience = patience
        self._turns = Turns(gateway, call, route)
        self._last: GatewayError | None = None
        self._tried = 0
        self._steps = 0
        self._look_again = _FIRST_LOOK
        self._queue = gateway.settings.routing.queue  # seconds that may still be waited

    def run(self) -> Trial:
        """Yields whenever the caller's patience is over; returns the Ready answer. Raises the last
        channel's failure, or why none could be tried."""
        most = self._gateway.settings.routing.retries + 1
        while self._tried < most and not (self._last is not None and self._patience.past_deadline()):
            turn = yield from self._next()
            if turn is None:
                break
            self._tried += 1
            try:
                return (yield from self._served(turn))
            except BadRequest as error:  # this channel cannot be told what the client said; another may
                self._last = self._last or error
                self._turns.drop(lambda candidate, turn=turn: candidate is turn.candidate)
            except ChannelFailed as error:
                self._last = error
                if self._after(turn, error):
                    break
                yield from self._step_down(turn)
        assert self._last is not None
        raise self._last

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
        self._queue -= seconds
        self._account.queued += seconds
        yield from self._sleep(seconds)

    def _sleep(self, seconds: float) -> Generator[None, None, None]:
        until = time.monotonic() + seconds
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
            return (yield from self._attempt(turn, self._patience))
        channel = turn.candidate.channel.name
        running = race(self._runner(turn), self._patience, after, lambda: self._rival(channel))
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

    def _runner(self, turn: Turn) -> Runner:
        patience = self._patience.again()
        return Runner(self._attempt(turn, patience), patience)

    def _rival(self, slow: str) -> Runner | None:
        """Another channel than the *slow* one that can be asked at once, if there is one."""
        if self._tried > self._gateway.settings.routing.retries:
            return None
        turn = self._turns.next([], but=slow)
        if turn is None:
            return None
        self._tried += 1
        runner = self._runner(turn)
        return Runner(self._noted(turn, runner.run), runner.patience)

    def _noted(self, turn: Turn, attempt: Trial) -> Trial:
        try:
            return (yield from attempt)
        except ChannelFailed as error:
            self._after(turn, error)
            raise

    def _attempt(self, turn: Turn, patience: Patience) -> Trial:
        candidate, channel = turn.candidate, turn.candidate.channel
        key = channel.keys[turn.position] if channel.keys else None
        attempt = Try(self._call, candidate, key, self._gateway.provider_plugins.get(channel.provider.name))
        account, bearings = self._account, self._gateway.services.bearings
        account.channel, account.candidate = channel.name, candidate
        began, outcome, ready = time.monotonic(), "abandoned", None
        stale = account.watch.stale
        bearings.began(channel.name)
        try:
            ready = yield from attempt.run(self._gateway.transport, patience, account.watch)
            outcome = "ok"
        except GatewayError as error:
            outcome = error.fault.code or error.code or "failed"
            raise
        finally:
            seconds = time.monotonic() - began
            for _ in range(account.watch.stale - stale):  # it saw these, perhaps
                account.attempt(Attempt(channel.name, turn.position, candidate.model, 0, "stale_connection", 0.0))
            account.attempt(Attempt(channel.name, turn.position, candidate.model, attempt.status, outcome, seconds))
            if ready is None:
                bearings.ended(channel.name)
                if turn.place is not None:  # what was sent counts as a call, with no tokens known of
                    turn.place.leave(account.usage if attempt.status or outcome == "abandoned" else None)
        account.channel, account.candidate = channel.name, candidate  # of two, the one that was first
        bearings.answered(channel.name, seconds)
        for name in turn.names:
            if self._health.rest(name) is not None:  # it was the probe
                self._health.succeeded(name)
        account.at_end.append(lambda: self._ended(turn))
        return ready

    def _ended(self, turn: Turn) -> None:
        """The answer has been passed on, as far as it went."""
        account = self._account
        self._gateway.services.bearings.ended(turn.candidate.channel.name)
        if turn.place is not None:
            turn.place.leave(account.usage)
        if account.outcome == COMPLETE:
            for name in turn.names:
                self._health.succeeded(name)
        elif account.outcome == TRUNCATED:
            said = account.error or "cut"
            self._health.failed(turn.candidate.channel.name, self._gateway.settings.health, said)

    def _after(self, turn: Turn, error: ChannelFailed) -> bool:
        """Draws the lessons from a failure. True when nobody else could do better."""
        verdict = verdict_on(self._gateway, turn.candidate, error)
        self._note(turn, verdict)
        if verdict.kind == FATAL:
            return True
        if verdict.kind == TOO_LONG:
            tried = turn.candidate
            self._turns.drop(lambda candidate: candidate.model == tried.model or not _larger(candidate, tried))
        elif verdict.kind not in (BAD_KEY, LIMITED):
            self._turns.drop(lambda candidate: candidate is turn.candidate)
        return False

    def _note(self, turn: Turn, verdict: Verdict) -> None:
        channel, key = turn.names
        settings = self._gateway.settings.health
        if verdict.kind == LIMITED:
            self._health.limited(key, settings, verdict.retry_after, verdict.said)
        elif verdict.kind == BAD_KEY:
            self._health.refused(key, settings, verdict.said)
        elif verdict.retry_after:
            self._health.limited(channel, settings, verdict.retry_after, verdict.said)
        elif verdict.counts:
            self._health.failed(channel, settings, verdict.said)

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


def _larger(candidate: Candidate, tried: Candidate) -> bool:
    """Whether *candidate*'s model may read more than *tried*'s; True where it is not known."""
    ours, theirs = candidate.channel.context(candidate.model), tried.channel.context(tried.model)
    return ours is None or theirs is None or ours > theirs


def _nobody(busy: list[Busy], seconds: float) -> GatewayError:
    reasons = "; ".join(dict.fromkeys(f"{each.candidate.channel.name}: {each.reason}" for each in busy[:5]))
    if any(each.limited for each in busy):
        return ChannelsFull(f"every channel is at its limit ({reasons})", retry_after=seconds)
    return NoChannel(f"no channel can serve the call now ({reasons})", code="no_channel", retry_after=seconds)
