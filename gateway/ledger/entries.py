"""What a call leaves in the ledger: a line when it is about to be sent upstream, and one at its end.

The members of a line have the names of the columns (store.tables.calls); members that a version does
not know are left out there, so that lines of another version's workers are read, too.
"""

from typing import Any

from gateway.bodies import JsonBody
from gateway.domain import FAILED, Attempt, Call, Record, Route
from gateway.usage import ESTIMATED, UNKNOWN

BEGUN = "begun"  # the member that only a first line has: its row's id
WORKER_LOST = "worker_lost"

_MOST_GUESSED = 400_000  # bytes of a body; a larger one is pictures rather than words


def begun(call: Call, route: Route, row: str) -> dict[str, Any]:
    """The first line: what is known before an upstream could bill the call. The channel is the one
    that will be tried first."""
    first = route.candidates[0]
    return {
        BEGUN: row,
        "request_id": call.id,
        "at": int(call.received.timestamp() * 1e6),
        "key": call.principal.name,
        "team": call.principal.team,
        "channel": first.channel.name,
        "provider": first.channel.provider.name,
        "public_model": call.model,
        "upstream_model": first.model,
        "dialect": call.endpoint.dialect,
        "operation": call.endpoint.operation,
        "bytes_in": len(call.body) if isinstance(call.body, JsonBody) else 0,
    }


def ended(call: Call, record: Record, row: str) -> dict[str, Any]:
    """The last line, a row by itself. Times in microseconds, cost in micro-USD; None: not known."""
    usage = record.usage
    return {
        "id": row,
        "request_id": call.id,
        "at": int(call.received.timestamp() * 1e6),
        "key": call.principal.name,
        "team": call.principal.team,
        "channel": record.channel,
        "provider": record.provider,
        "public_model": call.model,
        "upstream_model": record.model,
        "dialect": call.endpoint.dialect,
        "operation": call.endpoint.operation,
        "status": record.status,
        "outcome": record.outcome,
        "error": record.error,
        "attempts": len(record.attempts),
        "tried": [(one.channel, one.key, one.outcome, one.seconds) for one in record.attempts],
        "input": usage.input,
        "output": usage.output,
        "cached": usage.cached,
        "cache_write": usage.cache_write,
        "cache_write_1h": usage.cache_write_1h,
        "input_audio": usage.input_audio,
        "output_audio": usage.output_audio,
        "reasoning": usage.reasoning,
        "images": usage.images,
        "seconds": usage.seconds,
        "source": usage.source,
        "cost": 0 if record.cost is None and costs_nothing(record.attempts) else record.cost,
        "queued": int(record.queued * 1e6),
        "first_event": None if record.first_event is None else int(record.first_event * 1e6),
        "total": int(record.total * 1e6),
        "bytes_out": record.bytes_out,
    }


def costs_nothing(attempts: tuple[Attempt, ...]) -> bool:
    """Whether no upstream can have billed anything: none was tried, or each refused (4xx)."""
    return all(400 <= attempt.status < 500 for attempt in attempts)


def lost(first: dict[str, Any]) -> dict[str, Any]:
    """The row of a call whose worker died before its end, from its first line. It may well be on the
    vendor's bill: its cost is unknown, not 0."""
    size = first.get("bytes_in") or 0
    guessed = size // 4 if 0 < size <= _MOST_GUESSED else None
    row = {name: value for name, value in first.items() if name not in (BEGUN, "bytes_in")}
    return row | {
        "id": first[BEGUN], "status": 0, "outcome": FAILED, "error": WORKER_LOST, "attempts": 1, "tried": "",
        "input": guessed, "source": ESTIMATED if guessed is not None else UNKNOWN, "bytes_out": 0,
    }  # fmt: skip
