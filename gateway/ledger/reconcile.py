"""A vendor's invoice export beside the ledger, by day and model."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

_DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")  # claude-...-20251001, gpt-...-2024-08-06
AMOUNTS = ("input", "output", "cost")


class Unreadable(ValueError):
    """The export cannot be understood; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the export say what; the amounts of several are added up. None: it does not say."""

    date: str
    model: str
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    cost: tuple[str, ...] = ()
    date_format: str = ""

    @property
    def amounts(self) -> dict[str, tuple[str, ...]]:
        return {name: names for name in AMOUNTS if (names := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Line:
    """One day of one model: amounts on the invoice and in the ledger (tokens; cost in US dollars).
    ``unknown`` are calls of the ledger whose tokens or cost are not known."""

    day: str
    model: str
    invoice: Mapping[str, Decimal]
    ledger: Mapping[str, Decimal]
    calls: int
    unknown: int

    def apart(self, amount: str) -> Decimal:
        """By how much of the invoice's amount the ledger's differs: 0.01 is 1 %."""
        theirs, ours = self.invoice.get(amount, Decimal(0)), self.ledger.get(amount, Decimal(0))
        if theirs == ours:
            return Decimal(0)
        return abs(theirs - ours) / theirs if theirs else Decimal(1)


Invoice = dict[tuple[str, str], dict[str, Decimal]]


def read_invoice(path: Path, columns: Columns) -> Invoice:
    """(day, model) -> amounts. Raises Unreadable."""
    sums: Invoice = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(reader.fieldnames or (), columns, path)
            for row in reader:
                _add(sums, row, columns, f"{path}:{reader.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(f"{path}: {getattr(error, 'strerror', None) or 'not a CSV file in UTF-8'}") from None
    return sums


def _check_columns(there: Sequence[str], columns: Columns, path: Path) -> None:
    asked = [columns.date, columns.model, *(name for names in columns.amounts.values() for name in names)]
    missing = [name for name in asked if name not in there]
    if missing:
        raise Unreadable(f"{path}: no column {', '.join(map(repr, missing))}; there are: {', '.join(there) or 'none'}")


def _add(sums: Invoice, row: Mapping[str, str | None], columns: Columns, place: str) -> None:
    model = (row[columns.model] or "").strip()
    if not model:  # a line of totals
        return
    day = _day(row[columns.date] or "", columns.date_format, place)
    one = sums.setdefault((day, model), dict.fromkeys(columns.amounts, Decimal(0)))
    for amount, names in columns.amounts.items():
        one[amount] += sum(_number(row[name] or "", place) for name in names)


def _day(text: str, form: str, place: str) -> str:
    text = text.strip()
    try:
        if form:
            return datetime.strptime(text, form).strftime("%Y-%m-%d")
        if text.isdecimal():  # seconds since 1970
            return datetime.fromtimestamp(int(text), UTC).strftime("%Y-%m-%d")
        moment = datetime.fromisoformat(text)
        return (moment.astimezone(UTC) if moment.tzinfo else moment).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        raise Unreadable(f"{place}: expected a date, found {text!r} (see --date-format)") from None


def _number(text: str, place: str) -> Decimal:
    plain = text.strip().lstrip("$").replace(",", "").replace("_", "")
    try:
        number = Decimal(plain or 0)
    except InvalidOperation:
        raise Unreadable(f"{place}: expected a number, found {text!r}") from None
    if not number.is_finite():
        raise Unreadable(f"{place}: expected a number, found {text!r}")
    return number


def compare(invoice: Invoice, ledger: Iterable[Mapping[str, Any]], same: Mapping[str, str]) -> list[Line]:
    """The invoice beside the ledger's sums (reports.by_day_and_model). *same* says what the ledger
    calls a model of the invoice; a name that only has a date more is the same, too."""
    ours = {(row["day"], row["model"]): row for row in ledger}
    known = {model for _, model in ours}
    theirs: Invoice = {}
    for (day, model), amounts in invoice.items():
        one = theirs.setdefault((day, _called(model, known, same)), dict.fromkeys(amounts, Decimal(0)))
        for name, amount in amounts.items():
            one[name] += amount
    return [_line(key, theirs.get(key, {}), ours.get(key)) for key in sorted(theirs.keys() | ours.keys())]


def _called(model: str, known: set[str], same: Mapping[str, str]) -> str:
    if model in same:
        return same[model]
    undated = _DATED.sub("", model)
    return undated if model not in known and undated in known else model


def _line(key: tuple[str, str], invoice: Mapping[str, Decimal], row: Mapping[str, Any] | None) -> Line:
    if row is None:
        return Line(*key, invoice, {}, 0, 0)
    amounts = {
        "input": Decimal(row["input"]),
        "output": Decimal(row["output"]),
        "cost": Decimal(row["cost"]).scaleb(-6),
    }
    return Line(*key, invoice, amounts, row["calls"], max(row["unmetered"], row["unpriced"]))
