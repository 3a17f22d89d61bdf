"""Protocol buffers as JSON: the rules that every Gemini document follows.

A member may be spelled ``camelCase`` or ``snake_case``; ``null`` is the same as not there; a
number may come as text; bytes may be in either base64 alphabet, padded or not.
"""

import re
from decimal import Decimal
from typing import Any

_PATH_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_TO_STANDARD_BASE64 = str.maketrans("-_", "+/")


class Malformed(ValueError):
    """A value of the wrong shape; ``where`` is its path in the document. Whoever reads the
    document turns it into BadRequest or ChannelFailed."""

    def __init__(self, where: str, expected: str):
        super().__init__(f"{where or 'the document'} must be {expected}")
        self.where = where


def camel(name: str) -> str:
    """``system_instruction`` as ``systemInstruction``; a camelCase name as it is."""
    if "_" not in name:
        return name
    head, *words = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in words)


def split(value: Any, known: Any, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of the object *value* that are in *known* (by their camelCase names), and the
    others as they are spelled. Raises Malformed when *value* is no object."""
    if not isinstance(value, dict):
        raise Malformed(where, "an object")
    found: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for spelled, member in value.items():
        if member is None:
            continue
        name = camel(spelled)
        if name not in known:
            left[spelled] = member
        elif spelled == name or name not in found:
            found[name] = member
    return found, left


def items(value: Any, where: str) -> list:
    """A repeated member; a single value stands for a list of one."""
    if value is None:
        return []
    if isinstance(value, dict | str):
        return [value]
    if not isinstance(value, list):
        raise Malformed(where, "a list")
    return value


def text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise Malformed(where, "text")
    return value


def name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise Malformed(where, "text that is not empty")
    return value


def texts(value: Any, where: str) -> list[str]:
    return [text(member, f"{where}[{number}]") for number, member in enumerate(items(value, where))]


def boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise Malformed(where, "true or false")
    return value


def number(value: Any, where: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Malformed(where, "a number")
    return value


def integer(value: Any, where: str) -> int:
    """A whole number, also written ``40.0`` or ``"40"``: Google's SDK sends topK as a float."""
    if isinstance(value, str) and value.lstrip("-").isdecimal() and value.isascii() and len(value) < 20:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Malformed(where, "a whole number")
    if not isinstance(value, int) and (not -(10**18) <= value <= 10**18 or value != int(value)):
        raise Malformed(where, "a whole number")
    return int(value)


def base64(value: str) -> str:
    """*value* in the standard alphabet: Google's SDK sends the URL-safe one, which data URLs and
    other vendors do not take."""
    if "-" in value or "_" in value:
        value = value.translate(_TO_STANDARD_BASE64)
    return value + "=" * (-len(value) % 4) if len(value) % 4 else value


def put(document: dict, path: str, value: Any) -> bool:
    """Set the member at *path* (``a.b[2].c``); False when the way there does not exist. Objects
    on the way are made, list items are not."""
    steps = [key or int(index) for key, index in _PATH_STEP.findall(path)]
    if not steps:
        return False
    here: Any = document
    for step, after in zip(steps, steps[1:], strict=False):
        if isinstance(step, int):
            if not isinstance(here, list) or step >= len(here):
                return False
            here = here[step]
        elif not isinstance(here, dict) or (step not in here and isinstance(after, int)):
            return False
        else:
            here = here.setdefault(step, {})
    if not isinstance(here, dict) or isinstance(steps[-1], int):
        return False
    here[steps[-1]] = value
    return True
