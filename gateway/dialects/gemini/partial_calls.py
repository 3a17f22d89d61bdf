"""Calls whose arguments come in pieces (Vertex AI's ``streamFunctionCallArguments``), put together.

``{"functionCall": {"name", "id", "willContinue": true, "partialArgs": [{"jsonPath": "$.a[0].b",
"stringValue": "..."}]}}``, then more of them without a name; the last one does not say ``willContinue``
(Vertex AI reference, FunctionCall and PartialArg).
"""

import re
from typing import Any

from gateway.dialects.gemini import proto_json

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_CALL = ("functionCall", "function_call")
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")
_MOST = 10_000  # elements of a list: a path may name any


class PartialCalls:
    """``feed`` each part: it gives the parts that are whole. One call is open at a time."""

    def __init__(self) -> None:
        self._part: dict[str, Any] | None = None  # the open call's part, as it will be
        self._open = ""  # the path of the text that goes on

    def feed(self, part: Any, where: str) -> Any:
        """*part*, or the call that it ends; None when more of that is to come. Raises Malformed."""
        call = next((part[name] for name in _CALL if name in part), None) if isinstance(part, dict) else None
        if not isinstance(call, dict):
            return part
        known = ("name", "id", "args", "partialArgs", "willContinue")
        said, _ = proto_json.split(call, known, where)
        if self._part is None and not said.keys() & {"partialArgs", "willContinue"}:
            return part
        if self._part is None:
            rest = {name: value for name, value in part.items() if name not in _CALL}
            self._part = rest | {"functionCall": {"args": {}}}
        whole = self._part["functionCall"]
        whole |= {name: said[name] for name in ("name", "id") if said.get(name)}
        if isinstance(said.get("args"), dict):
            whole["args"] |= said["args"]
        for piece in proto_json.items(said.get("partialArgs"), f"{where}.partialArgs"):
            self._add(whole["args"], piece, f"{where}.partialArgs[]")
        if said.get("willContinue") is True:
            return None
        part, self._part, self._open = self._part, None, ""
        return part

    def rest(self) -> Any:
        """The call that was open when the stream ended, as far as it came; None without one."""
        part, self._part = self._part, None
        return part

    def _add(self, arguments: dict[str, Any], piece: Any, where: str) -> None:
        said, _ = proto_json.split(piece, ("jsonPath", "willContinue", *_VALUES), where)
        path = proto_json.text(said.get("jsonPath"), f"{where}.jsonPath")
        value = next((said[name] for name in _VALUES if name in said), "")
        value = None if "nullValue" in said else value
        put(arguments, steps_of(path, f"{where}.jsonPath"), value, goes_on=path == self._open)
        self._open = path if said.get("willContinue") is True else ""


def steps_of(path: str, where: str) -> list[str | int]:
    """``$.a[0].b`` as names and places. Raises Malformed for a path that names more than one value."""
    steps: list[str | int] = []
    at = 1
    while path.startswith("$") and at < len(path) and (found := _STEP.match(path, at)):
        name, place, single, double = found.groups()
        steps.append(int(place) if place else next(text for text in (name, single, double) if text is not None))
        at = found.end()
    if at != len(path) or not steps or not path.startswith("$") or isinstance(steps[0], int):
        raise proto_json.Malformed(where, "a JSON path to one value")
    if any(isinstance(step, int) and step >= _MOST for step in steps):
        raise proto_json.Malformed(where, f"a path to one of the first {_MOST} places of a list")
    return steps


def put(holder: Any, steps: list[str | int], value: Any, goes_on: bool) -> None:
    """Put *value* where *steps* lead in *holder*; with *goes_on* text is added to what is there."""
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, int) and isinstance(holder, list):
            holder += [None] * (step + 1 - len(holder))
        elif not (isinstance(step, str) and isinstance(holder, dict)):
            return  # an earlier piece said that something else stands there
        there = holder[step] if isinstance(step, int) else holder.get(step)
        if after is None:
            holder[step] = there + value if goes_on and isinstance(there, str) and isinstance(value, str) else value
            return
        if not isinstance(there, dict | list):
            there = holder[step] = [] if isinstance(after, int) else {}
        holder = there
