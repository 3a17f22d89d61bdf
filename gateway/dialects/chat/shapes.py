"""Reading JSON values of unknown shape: what was expected, or Malformed.

The readers of this package share these, for a client's document and an upstream's alike; who is
to blame (BadRequest or ChannelFailed) is decided at the door, in request_reader and reply_reader.
"""

from decimal import Decimal
from typing import Any, NoReturn


class Malformed(ValueError):
    """A member has the wrong shape; ``where`` is its path in the document."""

    def __init__(self, where: str, expected: str):
        super().__init__(f"{where}: expected {expected}")
        self.where = where


def refuse(where: str, expected: str) -> NoReturn:
    raise Malformed(where, expected)


def words(value: Any, where: str) -> str | None:
    """A string, or None for null."""
    if value is None or isinstance(value, str):
        return value
    refuse(where, "a string")


def named(value: Any, where: str) -> str:
    """A string that must be there and must say something."""
    if isinstance(value, str) and value:
        return value
    refuse(where, "a non-empty string")


def flag(value: Any, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    refuse(where, "true or false")


def whole(value: Any, where: str) -> int | None:
    """An integer; ``8.0`` is one too. ``true`` is none, though Python says so."""
    if value is None:
        return None
    number = count(value)
    return refuse(where, "an integer") if number is None else number


def number(value: Any, where: str) -> Any:
    """A number as it was written (int or Decimal), or None for null."""
    if value is None or (isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)):
        return value
    refuse(where, "a number")


def mapping(value: Any, where: str) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    refuse(where, "an object")


def entries(value: Any, where: str) -> list[Any]:
    """A list; null is an empty one."""
    if value is None:
        return []
    return value if isinstance(value, list) else refuse(where, "an array")


def count(value: Any) -> int | None:
    """*value* as an integer if it is one, else None: for what only informs, such as usage."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    if isinstance(value, int):
        return value
    # An exponent in the millions would build an integer of as many digits.
    if not -(1 << 63) < value < 1 << 63 or value != int(value):
        return None
    return int(value)


def said(value: Any) -> str | None:
    """*value* if it is a string that says something, else None: for what only informs."""
    return value if isinstance(value, str) and value else None


def inner(value: Any, *path: str) -> Any:
    """``value[path[0]][path[1]]...``, None as soon as one of them is no object."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
