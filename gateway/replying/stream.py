"""The body of a reply that is not all there yet.

Whole events leave as soon as they are whole, and their bytes are not touched. What the client sees
at the end is what happened: a stream that broke gets the dialect's error event and a connection
that ends without the last chunk.
"""

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from gateway import sse
from gateway.account import Account
from gateway.attempt.attempt import Ready
from gateway.config.settings import Timeouts
from gateway.domain import COMPLETE, FAILED, GENERATE, TRUNCATED
from gateway.errors import ChannelTimeout, ClientGone, GatewayError, StreamCut
from gateway.services import EventObserver
from gateway.transport.upstream_body import Silence

log = logging.getLogger("gateway.stream")

_LONGEST_SIGN = 64  # of an ending that may be cut in two there


# After so many pieces others get their turn: where the next piece is always there already, nothing
# ever waits, and a greenlet that does not wait keeps its worker to itself.
_TURN = 16
_SAMPLE = 16  # to tell of each event would cost a tenth of its relaying


class Abort(ConnectionResetError):
    """Makes gunicorn close the client's connection at once: no last chunk, no trace in its log."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the answer broke off")


class Stream:
    """Pieces of a reply, and its ending. ``close()`` ends the call even if nobody ever read."""

    def __init__(self, account: Account, pieces: Generator[bytes, None, None], owned: Any, error_event: Any = None):
        """*owned* is closed with the stream (an upstream body, or a trial under way);
        *error_event(fault, request id)* writes what a broken stream of events ends with."""
        self._account = account
        self._guarded = self._guard(pieces)
        self._pieces = pieces
        self._owned = owned
        self._error_event = error_event

    def __iter__(self) -> Iterator[bytes]:
        return self._guarded

    def close(self) -> None:
        # A generator that never started skips its `finally`: everything is closed from here.
        self._guarded.close()
        self._pieces.close()
        self._owned.close()
        self._account.close()

    def _guard(self, pieces: Iterator[bytes]) -> Generator[bytes, None, None]:
        """Passes pieces on; a failure becomes an error event and a broken connection."""
        account = self._account
        try:
            for number, piece in enumerate(pieces, 1):
                account.bytes_out += len(piece)
                yield piece
                if not number % _TURN:
                    time.sleep(0)
        except Abort:
            raise
        except GatewayError as error:
            yield from self._broken(error)
        except Exception:  # whatever it was, the client must see a broken stream, and the log hear of it
            log.exception("the answer to %s failed unexpectedly", account.call.id)
            yield from self._broken(GatewayError("the gateway failed; its log has the details", code="internal_error"))
        account.ended(COMPLETE)
        account.close()  # before the last chunk leaves: whoever has all of it finds it accounted for, its place free

    def _broken(self, error: GatewayError) -> Iterator[bytes]:
        """What a stream ends with that cannot go on."""
        account = self._account
        if account.watch.gone:
            error = ClientGone("the client closed its connection")
        cut = isinstance(error, StreamCut | ChannelTimeout) and account.first_event is not None
        account.failed(error, TRUNCATED if cut else "")
        if self._error_event is not None and not isinstance(error, ClientGone):
            yield self._error_event(error.fault, account.call.id)
        raise Abort from None


def events_of(
    ready: Ready, face: Any, keep_alive: tuple[bytes, float], account: Account, filters: Sequence[Any] = ()
) -> Generator[bytes, None, None]:
    """The events of *ready* as they become whole; in silences the comment and interval of *keep_alive*.

    *face* is the channel's; each of *filters* has ``feed(events) -> bytes`` and ``close() -> bytes``.
    Raises StreamCut when the stream broke or ended without its dialect's ending, ChannelTimeout
    when it went silent or took too long.
    """
    splitter, passage = sse.Splitter(), _Passage(face, filters)
    feed, receive = splitter.feed, ready.answer.body.receive
    comment, every = keep_alive
    clock = _Clock(ready.candidate.channel.timeouts, every, ready.ends_at, account.event_observers)
    piece = ready.first
    account.began()
    while piece:
        whole = feed(piece)
        if whole:
            yield passage.whole(whole)  # also when a filter left nothing of it: the headers go with the first piece
        elif splitter.held > sse.LARGE_EVENT and passage.partial:
            yield passage.part(splitter.overflow())
        clock.passed_on()
        try:
            try:
                piece = b"" if ready.whole else receive(clock.wait)
            except Silence:
                piece = yield from _after_silence(receive, clock, b"" if passage.mid_event else comment)
        except StreamCut:
            if passage.mid_event:
                yield b"\n\n"  # so that the error event stands alone
            elif passage.failed:  # the upstream has said why: there is nothing to add
                yield from passage.end(b"", account)
                raise Abort from None
            raise
        clock.heard()
    yield from passage.end(splitter.rest(), account)


def _after_silence(receive: Callable[[float], bytes], clock: "_Clock", comment: bytes) -> Generator[bytes, None, bytes]:
    """Keep-alives until there is a piece again, which is returned."""
    while True:
        clock.silence()
        if comment:
            yield comment
        with contextlib.suppress(Silence):
            return receive(clock.wait)


class _Passage:
    """Events on their way through the filters, and what they tell of their end."""

    __slots__ = ("mid_event", "partial", "_face", "_ended", "_filters", "_over", "_last", "_before")

    def __init__(self, face: Any, filters: Sequence[Any]):
        self._face = face
        self._ended = face.END.seen
        self._filters = filters
        self.partial = all(hasattr(each, "part") for each in filters)  # none of them needs whole events
        self.mid_event = self._over = False
        self._last = self._before = b""  # before: the end of what has left of an event that is not whole yet

    def whole(self, events: bytes) -> bytes:
        self.mid_event = False
        self._over = self._over or self._ended(self._before + events if self._before else events)
        self._last, self._before = events, b""
        for each in self._filters:
            events = each.feed(events)
        return events

    def part(self, piece: bytes) -> bytes:
        """Of an event that is too large to be held until it is whole."""
        self.mid_event = True
        self._over = self._over or self._ended(self._before + piece)
        self._before = piece[-_LONGEST_SIGN:]
        for each in self._filters:
            piece = each.part(piece)
        return piece

    @property
    def failed(self) -> bool:
        """Whether the last events said what went wrong."""
        return bool(self._face.ERROR.search(self._last))

    def end(self, rest: bytes, account: Account) -> Iterator[bytes]:
        """What is left when the upstream has ended, and whether that was an ending."""
        over = self._over or self._ended(rest)
        failed = self.failed or bool(self._face.ERROR.search(rest))
        if account.watch.gone:
            raise ClientGone("the client closed its connection")
        if not over and not failed and account.call.operation == GENERATE:
            if rest and self.partial:
                for each in self._filters:
                    rest = each.part(rest)
                yield rest + b"\n\n"
            raise StreamCut("the stream ended before the model said it was done")
        for each in self._filters:
            rest = (each.feed(rest) if rest else b"") + each.close()
        if rest:
            yield rest
        if failed and not over:
            account.ended(FAILED)


def bytes_of(ready: Ready, account: Account, taps: Sequence[Any] = ()) -> Generator[bytes, None, None]:
    """A body without events, as it arrives; *taps* see it go by. Raises StreamCut or ChannelTimeout."""
    clock = _Clock(ready.candidate.channel.timeouts, 3600.0, ready.ends_at)
    account.began()
    if ready.first:
        for tap in taps:
            tap.part(ready.first)
        yield ready.first
    while not ready.whole:
        try:
            piece = ready.answer.body.receive(clock.wait)
        except Silence:
            clock.silence()
            continue
        clock.heard()
        if not piece:
            break
        for tap in taps:
            tap.part(piece)
        yield piece
    if account.watch.gone:
        raise ClientGone("the client closed its connection")


def waiting_for(
    trial: Generator[None, None, Ready], open_pieces: Callable[[Ready], Iterator[bytes]], keep_alive: bytes
) -> Generator[bytes, None, None]:
    """Keep-alives while a *trial* has no answer yet, then the answer's pieces.

    Raises what the trial raises: the status has left long ago, so it ends as an error event.
    """
    yield keep_alive  # even an empty piece makes gunicorn send the headers
    while True:
        try:
            next(trial)
        except StopIteration as done:
            ready: Ready = done.value
            break
        yield keep_alive
    try:
        yield from open_pieces(ready)
    finally:
        ready.answer.body.close()


class _Clock:
    """Which of the timeouts of a running answer comes next, and how long its pieces stay here."""

    __slots__ = ("wait", "_usual", "_idle", "_last", "_ends_at", "_passed", "_observers")

    def __init__(
        self, timeouts: Timeouts, keepalive: float, ends_at: float, observers: Sequence[EventObserver] = ()
    ):  # fmt: skip
        self._idle = timeouts.idle
        self._usual = self.wait = min(keepalive, timeouts.idle)
        self._last = time.monotonic()
        self._ends_at = ends_at
        self._passed = 0
        self._observers = observers

    def heard(self) -> None:
        self._last = now = time.monotonic()
        if now >= self._ends_at:
            raise ChannelTimeout("the answer took longer than the total timeout", code="upstream_total_timeout")
        self.wait = self._usual

    def passed_on(self) -> None:
        """What was heard last is the client's socket's now. One such time in so many is told."""
        if not self._passed % _SAMPLE:
            held = time.monotonic() - self._last
            for observe in self._observers:
                observe(held)
        self._passed += 1

    def silence(self) -> None:
        """Raises ChannelTimeout when the silence is too long; else sets the next wait."""
        now = time.monotonic()
        if now >= self._last + self._idle:
            raise ChannelTimeout("the channel went silent in the middle of its answer", code="upstream_idle_timeout")
        if now >= self._ends_at:
            raise ChannelTimeout("the answer took longer than the total timeout", code="upstream_total_timeout")
        self.wait = max(min(self._usual, self._last + self._idle - now), 0.001)
