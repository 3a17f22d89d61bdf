"""Checks of streams: cut anywhere, broken anywhere, left by the client, and never held back."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from gateway import sse
from gateway.dialects.registry import FACES
from gateway.testing.bench import DIALECTS, Bench
from gateway.testing.conformance.findings import Failed, NotApplicable, expect, need_upstream
from gateway.testing.golden import decoded, filtered, golden
from gateway.testing.samples import WORDS, events, with_crlf
from gateway.testing.upstream import CUT, RESET, Scripted, Stall, Wait, cut

_MOST_HELD = 3  # events that a filter may keep back, as one does that looks across their borders
_LARGE = 10_000_000
_FEW = WORDS[:6]
_SPLIT = 6  # bytes: a character each of two, three and four


def incremental(bench: Bench) -> str:
    """An event is answered at once, or knowingly kept back for a few others."""
    need_upstream(bench)
    held = 0
    for dialect in bench.dialects:
        pieces = events(bench.samples.stream(dialect))
        if bench.samples.media_type(dialect).startswith("text/"):
            held = max(held, _steps(bench, dialect, events(bench.samples.stream(dialect, WORDS[:8]))))
        for hook, make in _makers(bench, dialect):
            if hook != "decode_stream":
                held = max(held, _longest_silence(make(), pieces))
    expect(held <= _MOST_HELD, f"{held} events are held back; at most {_MOST_HELD} may be")
    return f"holds back up to {held} events" if held else "every event leaves at once"


def _steps(bench: Bench, dialect: str, pieces: list[bytes]) -> int:
    """How often the upstream, which sends each event when the client has the one before, had to go on without."""
    gate = threading.Semaphore(0)
    wait = Wait(gate, 0.4)

    def script() -> Iterator[Any]:
        for piece in pieces:
            yield piece
            if len(wait.missed) <= _MOST_HELD:  # more need not be known
                yield wait

    said = Scripted(script(), 200, {"content-type": bench.samples.media_type(dialect)})
    answer = bench.ask(dialect, said, stream=True)
    for piece in answer.pieces():
        if piece:
            gate.release()
    return len(wait.missed)


def _longest_silence(own: Any, pieces: list[bytes]) -> int:
    longest = silent = 0
    for piece in pieces:
        silent = 0 if own.feed(piece) else silent + 1
        longest = max(longest, silent)
    own.close()
    return longest


def every_cut(bench: Bench) -> str:
    """A stream that is cut anywhere comes out the same."""
    need_upstream(bench)
    counted = 0
    for dialect in bench.dialects:
        sample = bench.samples.stream(dialect, _FEW)
        for hook, make in _makers(bench, dialect):
            if hook == "filter_reply" or bench.samples.own("stream", dialect) is None or hook == "decode_stream":
                counted += len(sample)
                _golden(hook, dialect, make, sample)
        whole = _body(bench, dialect, sample, len(sample))
        for size in (1, 7, 1000):
            same = _body(bench, dialect, sample, size) == whole
            expect(same, f"{dialect}: sent in pieces of {size} bytes it comes out another")
    return f"{counted} cuts through the filter" if counted else "in pieces of 1, 7 and 1000 bytes"


def _golden(hook: str, dialect: str, make: Callable[[], Any], sample: bytes) -> None:
    try:
        golden(make, sample, decoded if hook == "decode_stream" else filtered)
    except AssertionError as error:
        raise Failed(f"{dialect}, {hook}: {error}") from None


def split_characters(bench: Bench) -> str:
    """A character of several bytes that is cut in two is whole again for the client."""
    need_upstream(bench)
    for client in DIALECTS:
        asked = bench.asked_in(client)
        sample = bench.samples.stream(asked, _FEW)
        inside = [place for place, byte in enumerate(sample) if 0x80 <= byte < 0xC0][:_SPLIT]
        pieces = [sample[one:other] for one, other in itertools.pairwise([0, *inside, len(sample)])]
        # The pauses keep the pieces apart on their way.
        script = [step for piece in pieces for step in (piece, Stall(0.003))]
        text = bench.ask(client, bench.streamed(asked, *script), stream=True).text
        whole = bench.ask(client, bench.streamed(asked, sample), stream=True).text
        expect(text == whole, f"{client}: {text!r} instead of {whole!r}")
    return "cut behind each of their bytes"


def line_ends(bench: Bench) -> str:
    """A stream whose lines end in CRLF says the same."""
    need_upstream(bench)
    seen = 0
    for dialect in bench.dialects:
        if not bench.samples.media_type(dialect).startswith("text/"):
            continue
        seen += 1
        sample = bench.samples.stream(dialect, _FEW)
        expected = sse.events(_body(bench, dialect, sample, len(sample)))
        for size in (1, 1000):
            found = sse.events(_body(bench, dialect, with_crlf(sample), size))
            expect(found == expected, f"{dialect}: with CRLF it says something else")
    if not seen:
        raise NotApplicable("its streams have no lines")
    return "CRLF says what LF says"


def large_event(bench: Bench) -> str:
    """An event of 10 MB comes through whole."""
    need_upstream(bench)
    dialect = bench.dialects[0]
    if bench.samples.own("stream", dialect) is not None:
        raise NotApplicable("its own sample has its own size")
    large = b"x" * _LARGE
    sample = bench.samples.stream(dialect, ("enlarged",)).replace(b"enlarged", large, 1)
    answer = bench.ask(dialect, bench.streamed(dialect, *cut(sample, 1 << 18)), stream=True)
    expect(large in answer.body and not answer.broken, f"{dialect}: it does not come through")
    return f"{_LARGE // 10**6} MB"


def abort(bench: Bench) -> str:
    """A client that leaves ends the upstream's work; a filter closed early invents no ending."""
    need_upstream(bench)
    for dialect in bench.dialects:
        pieces = events(bench.samples.stream(dialect))
        half = pieces[: max(1, len(pieces) // 2)]
        before = len(bench.logged.lines)
        answer = bench.ask(dialect, bench.streamed(dialect, b"".join(half), Stall(20)), stream=True)
        next(answer.pieces(), b"")
        answer.close()
        expect(_within(2, lambda: bench.upstream.left), f"{dialect}: the upstream still sends to nobody")
        failures = [line for line in bench.logged.lines[before:] if "Traceback" in line]
        expect(not failures, f"{dialect}: an abandoned stream fails: {failures[:1]}")
        for hook, make in _makers(bench, dialect):
            if hook != "decode_stream":
                ended = FACES[dialect].END.seen(filtered(make(), half))
                expect(not ended, f"{dialect}, {hook}: close() in mid-stream says that the model was done")
        again = bench.ask(dialect, bench.streamed(dialect), stream=True)
        expect(again.body and not again.broken, f"{dialect}: the call after an abandoned one fails")
    return "the upstream's connection closes; nothing is invented"


def truncation(bench: Bench) -> str:
    """A stream that stops early looks broken to a client of each dialect."""
    need_upstream(bench)
    for client in DIALECTS:
        asked = bench.asked_in(client)
        pieces = events(bench.samples.stream(asked))
        half = b"".join(pieces[: max(1, len(pieces) // 2)])
        for how, end in (("ends", []), ("is cut", [CUT]), ("is reset", [half[:20], RESET])):
            answer = bench.ask(client, bench.streamed(asked, half, *end), stream=True)
            told = [event for event in answer.events if FACES[client].event_fault(event)]
            where = f"{client} (asked in {asked}): the upstream's stream {how} in the middle, and the client's"
            expect(answer.broken, f"{where} looks whole")
            expect(told, f"{where} has no error event")
            expect(not FACES[client].END.seen(answer.so_far), f"{where} says that the model was done")
    return "ended, cut and reset, in four dialects"


def _makers(bench: Bench, dialect: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The plugin's filter hooks, each with what makes a filter for a stream of *dialect*."""
    if bench.spies is not None:
        bench.spies.makers.clear()
        assert bench.ask(dialect, bench.streamed(dialect), stream=True).body
        yield from list(bench.spies.makers.items())


def _body(bench: Bench, dialect: str, sample: bytes, size: int) -> bytes:
    return bench.ask(dialect, bench.streamed(dialect, *cut(sample, size)), stream=True).body


def _within(seconds: float, condition: Callable[[], object]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
