"""The body of a reply that is not all there yet.

Whole events leave as soon as they are whole, and their bytes are not touched. What the client sees
at the end is what happened: a stream that broke gets the dialect's error event and a connection
that ends without the last chunk.
"""

import errno
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from gateway import sse
from gateway.account import Account
from gateway.attempt import Ready
from gateway.config.settings import Timeouts
from gateway.domain import COMPLETE, FAILED, GENERATE, TRUNCATED
from gateway.errors import ChannelTimeout, ClientGone, GatewayError, StreamCut
from gateway.upstream_body import Silence

log = logging.getLogger("gateway.stream")

# An event larger than this is passed on while it still arrives, instead of being held until whole.
_LARGE_EVENT = 256 * 1024
_LONGEST_SIGN = 64  # of an ending that may be cut in two there


# After so many pieces others get their turn: where the next piece is always there already, nothing
# ever waits, and a greenlet that does not wait keeps its worker to itself.
_TURN = 16


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
        except GatewayError as failure:
            error = ClientGone("the client closed its connection") if account.watch.gone else failure
            cut = isinstance(error, StreamCut | ChannelTimeout) and account.first_event is not None
            account.failed(error, TRUNCATED if cut else "")
            if self._error_event is not None and not isinstance(error, ClientGone):
                yield self._error_event(error.fault, account.call.id)
            raise Abort from None
        except Abort:
            raise
        except Exception:
            log.exception("the answer to %s failed unexpectedly", account.call.id)
            error = GatewayError("the gateway failed; its log has the details", code="internal_error")
            account.failed(error)
            if self._error_event is not None:
                yield self._error_event(error.fault, account.call.id)
            raise Abort from None
        account.ended(COMPLETE)
        account.close()  # before the last chunk leaves: whoever has all of it finds it accounted for, its place free


def events_of(
    ready: Ready, face: Any, keep_alive: tuple[bytes, float], account: Account, filters: Sequence[Any] = ()
) -> Generator[bytes, None, None]:
    """The events of *ready* as they become whole; in silences the comment and interval of *keep_alive*.

    *face* is the channel's; each of *filters* has ``feed(events) -> bytes`` and ``close() -> bytes``.
    Raises StreamCut when the stream broke or ended without its dialect's ending, ChannelTimeout
    when it went silent or took too long.
    """
    splitter = sse.Splitter()
    feed, receive, ended = splitter.feed, ready.answer.body.receive, face.END.seen
    comment, every = keep_alive
    partial = all(hasattr(each, "part") for each in filters)  # none of them needs whole events
    clock = _Clock(ready.candidate.channel.timeouts, every, ready.ends_at)
    mid_event = over = False
    last = before = b""  # before: the end of what has left of an event that is not whole yet
    piece = ready.first
    account.began()
    while piece:
        whole = feed(piece)
        if whole:
            mid_event = False
            over = over or ended(before + whole)
            last, before = whole, b""
            for each in filters:
                whole = each.feed(whole)
            yield whole  # also when a filter left nothing of it: the headers go with the first piece
        elif splitter.held > _LARGE_EVENT and partial:
            mid_event = True
            large = splitter.overflow()
            over = over or ended(before + large)
            before = large[-_LONGEST_SIGN:]
            for each in filters:
                large = each.part(large)
            yield large
        while True:
            try:
                piece = b"" if ready.whole else receive(clock.wait)
                break
            except Silence:
                clock.silence()
                if comment and not mid_event:
                    yield comment
            except StreamCut:
                if mid_event:
                    yield b"\n\n"  # so that the error event stands alone
                elif face.ERROR.search(last):  # the upstream has said why: there is nothing to add
                    yield from _last(b"", face, filters, account, over, True)
                    raise Abort from None
                raise
        clock.heard()
    failed = bool(face.ERROR.search(last))
    yield from _last(splitter.rest(), face, filters, account, over, failed)


def _last(
    rest: bytes, face: Any, filters: Sequence[Any], account: Account, over: bool, failed: bool
) -> Iterator[bytes]:
    """What is left when the upstream has ended, and whether that was an ending."""
    over = over or face.END.seen(rest)
    failed = failed or bool(face.ERROR.search(rest))
    if account.watch.gone:
        raise ClientGone("the client closed its connection")
    if not over and not failed and account.call.operation == GENERATE:
        if rest and all(hasattr(each, "part") for each in filters):
            for each in filters:
                rest = each.part(rest)
            yield rest + b"\n\n"
        raise StreamCut("the stream ended before the model said it was done")
    for each in filters:
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
    """Which of the timeouts of a running answer comes next."""

    __slots__ = ("wait", "_usual", "_idle", "_last", "_ends_at")

    def __init__(self, timeouts: Timeouts, keepalive: float, ends_at: float):
        self._idle = timeouts.idle
        self._usual = self.wait = min(keepalive, timeouts.idle)
        self._last = time.monotonic()
        self._ends_at = ends_at

    def heard(self) -> None:
        self._last = now = time.monotonic()
        if now >= self._ends_at:
            raise ChannelTimeout("the answer took longer than the total timeout", code="upstream_total_timeout")
        self.wait = self._usual

    def silence(self) -> None:
        """Raises ChannelTimeout when the silence is too long; else sets the next wait."""
        now = time.monotonic()
        if now >= self._last + self._idle:
            raise ChannelTimeout("the channel went silent in the middle of its answer", code="upstream_idle_timeout")
        if now >= self._ends_at:
            raise ChannelTimeout("the answer took longer than the total timeout", code="upstream_total_timeout")
        self.wait = max(min(self._usual, self._last + self._idle - now), 0.001)
