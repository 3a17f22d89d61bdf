"""A line of a spool as a row of the table ``calls``.

All but every line is taken apart and checked in one go, outside Python. One that does not pass (a client
made up a strange model, an upstream counts in lies, another version wrote it) is made to fit, member
by member: no name and no number keeps a row out of the ledger.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from gateway.domain import Attempt
from gateway.json_text import Fields, NotJson, parse
from gateway.ledger.entries import BEGUN
from gateway.store.tables import calls

Row = tuple[Any, ...]  # the values of COLUMNS

_BEHIND = ("tried", "machine", "worker")  # what stands in no line as it does in a row
COLUMNS = (*(str(column.name) for column in calls.columns if column.name not in _BEHIND), *_BEHIND)
_KINDS = {name: calls.c[name].type.python_type for name in COLUMNS}
_MISSING = {name: None if calls.c[name].nullable else kind() for name, kind in _KINDS.items()}
_LONGEST = {"error": 64, "tried": 2000}
_LONGEST_NAME = 160
_LARGEST = 10**12  # of any amount; more, which only a lie can be, would make the sums overflow one day
_LATEST = 1 << 53  # of a time
_PLAIN = COLUMNS[: -len(_BEHIND)]
ID = COLUMNS.index("id")


def _most(name: str) -> int:
    if _KINDS[name] is str:
        return _LONGEST.get(name, _LONGEST_NAME)
    return _LATEST if name == "at" else _LARGEST


_MOST = {name: _most(name) for name in COLUMNS}  # characters of a text, or the largest number
_line = Fields(
    {name: (_KINDS[name], _MOST[name], _MISSING[name]) for name in _PLAIN}
    | {"tried": (list, 0, ()), BEGUN: (str, _LONGEST_NAME, "")}
)
_texts = itemgetter(*(place for place, name in enumerate(_PLAIN) if _KINDS[name] is str))


def read_line(line: bytes, machine: str, worker: str) -> tuple[str, Row | None]:
    """The row that a line is, as (its id, the row); of the first line of a call (the id of its row, None).
    No id: nothing that has to be carried on. Raises ValueError or TypeError for what is no line of ours."""
    values = _line.read(line)
    if values is None or not "".join(_texts(values)).isprintable():
        return _read_slowly(line, machine, worker)
    if values[-1]:
        return values[-1], None
    return values[ID], (*values[:-2], _fitting("tried", values[-2]), machine, worker)


def _read_slowly(line: bytes, machine: str, worker: str) -> tuple[str, Row | None]:
    entry = parse(line)
    if not isinstance(entry, dict):
        raise NotJson("expected an object")
    if BEGUN in entry:
        return str(entry[BEGUN]), None
    row = row_of(entry, machine, worker)
    return row[ID], row


def row_of(entry: Mapping[str, Any], machine: str, worker: str) -> Row:
    """The members of a line, made to fit: what there is no column for is left out, what it does not say
    is missing. Raises ValueError or TypeError for what is no line of ours."""
    found = {name: _fitting(name, entry[name]) for name in _KINDS if name in entry}
    known = {name: value for name, value in found.items() if value is not None}
    return tuple((_MISSING | known | {"machine": machine, "worker": worker}).values())


def _fitting(name: str, value: Any) -> Any:
    """*value* as every database takes it in that column; None for what is of another kind."""
    if _KINDS[name] is int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return value if whole and abs(value) <= _MOST[name] else None
    if isinstance(value, list | tuple):  # tried: written out here, off the workers' path
        value = ",".join(str(Attempt(channel, key, "", 0, said, took)) for channel, key, said, took in value)
    if not isinstance(value, str):
        return None
    text = value[: _MOST[name]]
    if text.isprintable():  # lone surrogates, which have no UTF-8, are not
        return text
    return "".join(c if c.isprintable() else "?" for c in text)
