"""What can be claimed of the shared state, and what its keepers must be able to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gateway.errors import GatewayError

# A window is kept in so many buckets. What was claimed counts until the end of its bucket has left
# the window: a limit is never exceeded in any span of its length, and frees up a 600th later.
BUCKETS = 600
BEAT = 2.0  # seconds between two signs of life of a worker
ALIVE = 8.0  # seconds after its last sign of life for which a worker's slots are kept
SECOND = 1_000_000  # time is counted in whole microseconds, so that all keepers reckon alike
LATER = 0.02  # seconds by which a settlement may be late whose caller says so
LARGEST = 10**12  # of one claim; more (which only a lie can be) counts as this, so that no total overflows
MOST_SPENT = 2**53 - 1  # that a purse can be set to: what all keepers count exactly


def bucket_at(now: int, seconds: int) -> int:
    """The bucket of a window of *seconds* that *now* (microseconds since 1970) falls into."""
    return now * BUCKETS // (seconds * SECOND)


def frees_at(bucket: int, seconds: int) -> int:
    """When what is in *bucket* no longer counts, in microseconds since 1970."""
    return -(-(bucket + BUCKETS + 1) * seconds * SECOND // BUCKETS)


def until(moment: int, now: int) -> float:
    """Seconds from *now* to *moment* (microseconds since 1970); a clock read then says at least *moment*."""
    return max(moment - now + 1, 1) / SECOND


class Window(NamedTuple):
    """*amount* of the *most* that may be used within any *seconds*. ``most`` None only counts."""

    name: str
    seconds: int
    most: int | None
    amount: int = 1
    observe: bool = False  # counted and reported, never refused


class Slots(NamedTuple):
    """One of *most* things that may be under way at once."""

    name: str
    most: int | None
    observe: bool = False


class Purse(NamedTuple):
    """*amount* of the *most* that may be spent at all; a name that changes with the month makes a
    purse a month's. What a worker that died had claimed stays spent. A claim is refused when
    nothing is left, or when *amount* is more than is left."""

    name: str
    most: int | None
    amount: int
    observe: bool = False
    seconds: int = 40 * 86400  # how long an untouched purse is remembered; 0: for ever


Claim = Window | Slots | Purse


def wanted(claim: Claim) -> int:
    """How much of its limit *claim* takes up."""
    return 1 if type(claim) is Slots else bounded(claim.amount)


def bounded(amount: int) -> int:
    """*amount* as it counts: from 0 to LARGEST."""
    return amount if 0 <= amount <= LARGEST else min(max(amount, 0), LARGEST)


def plain(name: str) -> str:
    """*name* as a keeper can write it down: half a UTF-16 pair, which JSON can carry, has no UTF-8."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def lacking(claim: Claim, used: int, amount: int) -> int:
    """How much less would have to be used for *claim*, which wants *amount*, to fit; 0 when it does. A
    claim of nothing needs something left, too: what it will come to is not known yet."""
    if claim.most is None:
        return 0
    short = used + (amount or 1) - claim.most
    return short if short > 0 else 0


class Level(NamedTuple):
    """How much of a claim's *most* is used (this claim included, if it was granted). ``frees`` is in
    how many seconds all of a window, or as much as was wanted but lacking, is free again; 0 for
    slots and purses, and where nothing is used."""

    claim: Claim
    used: int
    frees: float = 0.0

    @property
    def left(self) -> int | None:
        return None if self.claim.most is None else max(self.claim.most - self.used, 0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first claim that could not be had. ``retry_after`` is in seconds; None: never, or not
    known (a purse that is empty, an amount larger than the limit itself)."""

    claim: Claim
    used: int
    retry_after: float | None


@dataclass(slots=True)
class Taken:
    """What came of a list of claims: all were granted, or none (``refused`` says why). ``over`` are
    the observed claims that would have been refused. ``marks`` are the keeper's own."""

    levels: list[Level]
    refused: Refusal | None = None
    over: list[Claim] = field(default_factory=list)
    marks: tuple[int, ...] = ()
    settled: bool = False

    @property
    def claims(self) -> list[Claim]:
        return [level.claim for level in self.levels]


class StateAway(GatewayError):
    """The shared state cannot be asked now."""

    status = 503
    code = "state_unavailable"


class State(Protocol):
    """A keeper of the shared state. Every method may raise StateAway."""

    def take(self, claims: Sequence[Claim]) -> Taken:
        """All of *claims* or none of them, at one moment. Names are distinct within one list."""

    def settle(self, taken: Taken, amounts: Mapping[str, int] | None = None, later: bool = False) -> None:
        """Give back the slots of *taken*, and correct windows and purses to the *amounts* given by
        the claims' names; those not named stay as claimed. Once per Taken; further calls do nothing.
        With *later* it may take LATER seconds until other workers see it; this one's next turn does.
        Never raises: what cannot be settled while the state is away is settled when it is back."""

    def levels(self, claims: Sequence[Claim]) -> list[Level]:
        """How much of each is used now; nothing is taken."""

    def spend(self, name: str, amount: int, seconds: int = 80 * 86400) -> None:
        """Set a purse to *amount*, whatever it held (so that it can be counted anew from the ledger).
        It is remembered as a Purse of these *seconds* is."""

    def post(self, name: str, text: str, seconds: float) -> None:
        """Put a notice on the board for *seconds*, in place of an earlier one of that name; an
        empty *text* takes it off."""

    def posted(self, since: int) -> tuple[int, dict[str, str]] | None:
        """(generation, the whole board), or None when nothing was posted since that generation. Any
        *since* that was never a generation (-1) gets the board. Notices that ended are not on it, but
        their end alone is no new generation."""

    def claim(self, name: str, seconds: float) -> bool:
        """Whether the caller is the one, of all workers, who has *name* for the next *seconds*."""

    def beat(self) -> None:
        """This worker lives. To be called every BEAT seconds once it has taken a slot. One that gave
        no sign for ALIVE seconds loses its slots; at its next sign of life those that it still holds
        count again."""

    def close(self) -> None:
        """Give everything back that this worker holds."""
