"""What the words of a Prompt are called in each dialect, as a table to read (docs/dialects.md)."""

from collections.abc import Mapping
from dataclasses import fields

from gateway.dialects.registry import DIALECTS
from gateway.dialects.vocabulary import Prompt

_UNSAID = "–"


def markdown() -> str:
    """One row for each field of Prompt that some dialect has a member for, in Prompt's order."""
    columns = {name: package.FIELDS for name, package in DIALECTS.items()}
    known = set().union(*columns.values())
    rows = [("field", *columns), ("---",) * (len(columns) + 1)]
    rows += [_row(field.name, columns) for field in fields(Prompt) if field.name in known]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _row(field: str, columns: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    members = (names.get(field) for names in columns.values())
    return (field.replace("_", " "), *(f"`{member}`" if member else _UNSAID for member in members))
