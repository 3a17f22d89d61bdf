"""Checks on JSON that others wrote. Every reader here raises only Misshapen; the two doors of
the package turn it into BadRequest (a client's document) or ChannelFailed (an upstream's)."""

from collections.abc import Callable
from typing import Any

from gateway import json_text


class Misshapen(ValueError):
    """The member at ``path`` is not what it must be."""

    def __init__(self, path: str, expected: str):
        super().__init__(f"{path or 'the document'}: expected {expected}")
        self.path = path or None


def mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Misshapen(path, "an object")
    return value


def listing(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise Misshapen(path, "an array")
    return value


def string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise Misshapen(path, "a string")
    return value


def strings(value: Any, path: str) -> list[str]:
    return [string(item, f"{path}.{i}") for i, item in enumerate(listing(value, path))]


def whole(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Misshapen(path, "a whole number")
    return value


def number(value: Any, path: str) -> Any:
    """Any JSON number, as json_text gave it (int or Decimal)."""
    if isinstance(value, (bool, str, list, dict)) or value is None:
        raise Misshapen(path, "a number")
    return value


def boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise Misshapen(path, "true or false")
    return value


def maybe(check: Callable[[Any, str], Any], value: Any, path: str) -> Any:
    """``None`` as it is, anything else through *check*."""
    return None if value is None else check(value, path)


def as_json(value: Any, path: str) -> str:
    """*value* as JSON text."""
    try:
        return json_text.write(value).decode()
    except RecursionError:  # read at a shallower stack than it is written at
        raise Misshapen(path, "less nesting") from None
