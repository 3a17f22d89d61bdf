"""What a call came to, once it has ended."""

from collections.abc import Iterable

from gateway.allowances.plans import CALLS, REQUESTS, TOKENS, Want
from gateway.domain import REFUSED, Attempt, Record

# Of an attempt that never said its usage: these may have been billed all the same.
_MAYBE_BILLED = frozenset({
    "ok", "abandoned", "client_closed", "deadline_exceeded",
    "upstream_timeout", "upstream_first_event_timeout", "upstream_idle_timeout", "upstream_total_timeout",
})  # fmt: skip
_SLOW = frozenset({504, 524})  # somebody between gave up waiting; the work may have gone on


def billed(attempts: Iterable[Attempt]) -> bool:
    """Whether a vendor may charge for one of *attempts*: not where it refused, or was never reached."""
    return any(attempt.outcome in _MAYBE_BILLED or attempt.status in _SLOW for attempt in attempts)


def amounts_of(wants: Iterable[Want], record: Record) -> dict[str, int]:
    """The true amounts of what was claimed, by the claims' names; those not named stay as claimed.

    What nobody counted stays at its estimate if a vendor may charge for it, else it is nothing. A
    call that was refused costs nothing, not even a request.
    """
    paid = billed(record.attempts)
    counts = paid or (record.attempts and record.outcome != REFUSED)
    unknown = None if paid else 0
    tokens = unknown if record.usage.total is None else record.usage.total
    usd = unknown if record.cost is None else record.cost
    amounts = {}
    for want in wants:
        if want.meter.measure == CALLS:
            continue
        if want.reserve or not counts:
            amount = 0
        elif want.meter.measure == REQUESTS:
            continue
        else:
            amount = tokens if want.meter.measure == TOKENS else usd
        if amount is not None:
            amounts[want.claim.name] = amount
    return amounts
