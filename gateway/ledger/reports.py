"""Sums over the ledger. Days come from the table of sums, other spans from the rows themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, or_, select

from gateway.ledger.entries import WORKER_LOST
from gateway.store.clock import day_of, micros
from gateway.store.database import Store
from gateway.store.tables import TOKENS, calls, days

# What reports call it -> the column.
DIMENSIONS = {
    "key": "key", "team": "team", "model": "public_model", "channel": "channel", "provider": "provider",
    "dialect": "dialect", "outcome": "outcome", "day": "day",
}  # fmt: skip
SUMS = ("calls", "errors", *TOKENS, "unmetered", "cost", "unpriced")
_ERRORS = ("failed", "truncated")
_DAY = 86_400 * 10**6
_LONGEST_CALL = 3600 * 10**6  # longer ones are not followed live


@dataclass(frozen=True, slots=True)
class Span:
    """From *since* (inclusive) to *until* (exclusive), in microseconds since 1970; None: no bound."""

    since: int | None = None
    until: int | None = None

    @property
    def whole_days(self) -> bool:
        return all(bound is None or bound % _DAY == 0 for bound in (self.since, self.until))


@dataclass(frozen=True, slots=True)
class Question:
    """Sums *by* these dimensions, of the rows in *span* that have one of the values of each of *only*."""

    by: tuple[str, ...] = ("key", "model")
    span: Span = Span()
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)


def consumption(store: Store, question: Question) -> list[dict[str, Any]]:
    """A row for each combination of ``question.by``, ordered by them: the dimensions and SUMS. ``errors``
    are calls that failed or broke off; ``unmetered`` and ``unpriced`` those whose tokens or cost are not
    known, and which are in no sum of tokens or cost. Raises StoreAway."""
    statement = _of_days(question) if question.span.whole_days else _of_calls(question)
    return _answered(store, statement, question.by)


def _answered(store: Store, statement: Select[Any], by: tuple[str, ...]) -> list[dict[str, Any]]:
    with store.adding_up() as connection:
        found = connection.execute(statement).all()
    names = (*by, *SUMS)
    width = len(by)
    return [
        dict(zip(names, [*map(_shown, row[:width]), *(int(value or 0) for value in row[width:])], strict=True))
        for row in found
    ]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else day_of(int(value))  # the day of a row, in microseconds


def _of_days(question: Question) -> Select[Any]:
    bounds = []
    if question.span.since is not None:
        bounds.append(days.c.day >= day_of(question.span.since))
    if question.span.until is not None:
        bounds.append(days.c.day < day_of(question.span.until))
    errors = func.sum(case((days.c.outcome.in_(_ERRORS), days.c.calls), else_=0))
    sums = [errors if name == "errors" else func.sum(days.c[name]) for name in SUMS]
    columns = {name: days.c[column] for name, column in DIMENSIONS.items()}
    return _asked(question, columns, sums, bounds)


def _columns_of_calls() -> dict[str, ColumnElement[Any]]:
    c = calls.c
    return {name: c.at - c.at % literal(_DAY) if name == "day" else c[column] for name, column in DIMENSIONS.items()}


def _of_calls(question: Question) -> Select[Any]:
    return _asked(question, _columns_of_calls(), _sums_of_calls(), _within(question.span))


def _sums_of_calls() -> list[Any]:
    c = calls.c
    unmetered = and_(c.input.is_(None), c.output.is_(None), func.coalesce(c.cost, 1) != 0)
    counted = {
        "calls": func.count(),
        "errors": func.sum(case((c.outcome.in_(_ERRORS), 1), else_=0)),
        "unmetered": func.sum(case((unmetered, 1), else_=0)),
        "unpriced": func.sum(case((c.cost.is_(None), 1), else_=0)),
    }
    return [counted[name] if name in counted else func.sum(c[name]) for name in SUMS]


def _within(span: Span) -> list[ColumnElement[bool]]:
    bounds = []
    if span.since is not None:
        bounds.append(calls.c.at >= span.since)
    if span.until is not None:
        bounds.append(calls.c.at < span.until)
    return bounds


def _asked(
    question: Question, columns: Mapping[str, ColumnElement[Any]], sums: list[Any], bounds: list[Any]
) -> Select[Any]:
    asked = [columns[name].label(f"by_{name}") for name in question.by]
    only = [columns[name].in_(values) for name, values in question.only.items()]
    return select(*asked, *sums).where(*bounds, *only).group_by(*asked).order_by(*asked)


def own(store: Store, key: str, now: datetime) -> dict[str, Any]:
    """What one key has used: ``today`` and this ``month`` (UTC), and the month by ``models``. Raises StoreAway."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    month = micros(today.replace(day=1))
    only = {"key": [key]}
    (this_day,) = consumption(store, Question((), Span(micros(today)), only))
    models = consumption(store, Question(("model",), Span(month), only))
    this_month = {name: sum(row[name] for row in models) for name in SUMS}
    return {"key": key, "today": this_day, "month": this_month, "models": models}


def tail(store: Store, since: int, seen: set[str], only: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The rows of calls that ended at or after *since* (microseconds since 1970) and are not in *seen*,
    oldest end first; they are put into it. Of lost workers' calls nobody knows the end. Raises StoreAway."""
    c = calls.c
    ended = c.at + c.total
    is_new = or_(ended >= since, c.error == WORKER_LOST)
    columns = _columns_of_calls()
    wanted = [columns[name].in_(values) for name, values in only.items()]
    statement = select(calls).where(c.at >= since - _LONGEST_CALL, is_new, *wanted).order_by(ended, c.id)
    with store.read() as connection:
        rows = [dict(row) for row in connection.execute(statement).mappings()]
    fresh = [row for row in rows if row["id"] not in seen]
    seen.clear()
    seen.update(row["id"] for row in rows)
    return fresh


def by_day_and_model(store: Store, span: Span, only: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The days' sums by the vendors' names of the models: ``day``, ``model``, ``calls``, ``input``,
    ``output``, ``cost`` (micro-USD), ``unmetered``, ``unpriced``. Raises StoreAway."""
    columns = _columns_of_calls() | {"model": calls.c.upstream_model}
    statement = _asked(Question(("day", "model"), span, only), columns, _sums_of_calls(), _within(span))
    return _answered(store, statement, ("day", "model"))


def newest(store: Store) -> dict[str, Any] | None:
    """The row of the call that began last; None while there is none. Raises StoreAway."""
    with store.read() as connection:
        row = connection.execute(select(calls).order_by(calls.c.at.desc()).limit(1)).mappings().first()
    return dict(row) if row else None
