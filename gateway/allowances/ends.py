"""What a call came to, once it has ended."""

from collections.abc import Iterable

from gateway.allowances.plans import CALLS, REQUESTS, TOKENS, Want
from gateway.domain import REFUSED, Attempt, Record
from gateway.state import Taken

# Of an attempt that never said its usage: these may have been billed all the same.
_MAYBE_BILLED = frozenset({
    "ok", "abandoned", "client_closed", "deadline_exceeded",
    "upstream_timeout", "upstream_first_event_timeout", "upstream_idle_timeout", "upstream_total_timeout",
})  # fmt: skip
_SLOW = frozenset({504, 524})  # somebody between gave up waiting; the work may have gone on


def billed(attempts: Iterable[Attempt]) -> int:
    """For how many of *attempts* a vendor may charge: not where it refused, or was never reached."""
    return sum(map(_maybe_billed, attempts))


def _maybe_billed(attempt: Attempt) -> bool:
    if attempt.outcome in _MAYBE_BILLED or attempt.status in _SLOW:
        return True
    # It answered well, as it believes; only we could make nothing of it.
    return 200 <= attempt.status < 300 and attempt.outcome.startswith("upstream_")


def is_roomy(taken: Taken) -> bool:
    """Whether no more than half of any limit was used: then nobody waits for what is given back."""
    return all(claim.most is None or 2 * used <= claim.most for claim, used, _ in taken.levels)


def amounts_of(wants: Iterable[Want], record: Record) -> dict[str, int]:
    """The true amounts of what was claimed, by the claims' names; those not named stay as claimed.

    What nobody counted stays at its estimate if a vendor may charge for it, else it is nothing: so
    does each attempt that was given up before another one answered. A call that was refused costs
    nothing, not even a request.
    """
    paid = billed(record.attempts)
    counts = paid or (record.attempts and record.outcome != REFUSED)
    amounts = {}
    for want in wants:
        if want.meter.measure == CALLS:
            continue
        if want.reserve or not counts:
            amount = 0
        elif want.meter.measure == REQUESTS:
            continue
        else:
            known = record.usage.total if want.meter.measure == TOKENS else record.cost
            amount = _with_estimates(known, want.claim.amount, paid)
        amounts[want.claim.name] = amount
    return amounts


def _with_estimates(known: int | None, estimate: int, paid: int) -> int:
    """What *paid* attempts came to, of which the one that answered may have said it."""
    return estimate * paid if known is None else known + estimate * max(paid - 1, 0)
