"""Turns a tree of nodes into frozen dataclasses, gathering every complaint on the way.

The dataclasses in settings.py are the only list of what may stand in the file: this module, the
JSON Schema and the reference page are all derived from them.
"""

import dataclasses
import datetime
import difflib
import types
import typing
from typing import Any

from gateway.config.document import Complaints, Node

_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def option(doc: str, default: Any = dataclasses.MISSING, *, later: bool = False, least: float | None = None,
           choices: tuple[str, ...] = ()) -> Any:  # fmt: skip
    """A member of a settings class. ``later``: understood now, without effect yet (it warns)."""
    metadata = {"doc": doc, "later": later, "least": least, "choices": choices}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Checker:
    """Reads nodes as types. After ``read`` look at ``complaints``: values may be holes."""

    def __init__(self, complaints: Complaints):
        self.complaints = complaints
        self._declared: dict[type, tuple[dict[str, Any], dict[str, Any]]] = {}

    def read(self, kind: Any, node: Node, path: str = "") -> Any:
        """*node* as a value of *kind* (a settings class, a kind, list[...], dict[str, ...], a union
        with None or a plain type); None, and a complaint, when it is not one."""
        origin = None if isinstance(kind, type) else typing.get_origin(kind)
        if origin in (types.UnionType, typing.Union):
            inner = [k for k in typing.get_args(kind) if k is not type(None)]
            return None if node.value is None else self.read(inner[0], node, path)
        if origin in (list, tuple):
            return self._list(typing.get_args(kind)[0], node, path)
        if origin is dict:
            return self._dict(typing.get_args(kind)[1], node, path)
        if dataclasses.is_dataclass(kind):
            return self._settings(kind, node, path)
        if kind in _PLAIN:
            return self._plain(kind, node, path)
        try:
            return kind.read(node)
        except ValueError as expected:
            if node.hole:
                return None
            if getattr(kind, "hidden", False):  # a secret may stand there, in the file itself
                self.complaints.add(node.line, path, f"expected {expected}")
            else:
                self._expected(node, path, str(expected))

    def _expected(self, node: Node, path: str, what: str) -> None:
        if node.hole:
            return
        self.complaints.add(node.line, path, f"expected {what}, found {node.shown()}")

    def _list(self, kind: Any, node: Node, path: str) -> list:
        if not isinstance(node.value, list):
            self._expected(node, path, "a list")
            return []
        return [self.read(kind, item, f"{path}[{i}]") for i, item in enumerate(node.value)]

    def _dict(self, kind: Any, node: Node, path: str) -> dict:
        if not isinstance(node.value, dict):
            self._expected(node, path, "a mapping")
            return {}
        return {name: self.read(kind, child, f"{path}.{name}") for name, child in node.value.items()}

    def _plain(self, kind: type, node: Node, path: str) -> Any:
        value = node.value
        if kind is str and isinstance(value, int | float | datetime.date) and not isinstance(value, bool):
            return node.text  # a name like 0123 or 2024-11-20 keeps its own spelling
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is kind:
            return value
        self._expected(node, path, _PLAIN[kind])

    def _settings(self, kind: type, node: Node, path: str) -> Any:
        if not isinstance(node.value, dict):
            self._expected(node, path, "a mapping")
            return None
        declared = self._declared.get(kind)
        if declared is None:
            fields = {f.name: f for f in dataclasses.fields(kind) if f.name != "line"}
            declared = self._declared[kind] = typing.get_type_hints(kind), fields
        hints, members = declared
        values: dict[str, Any] = {"line": node.line} if "line" in hints else {}
        for name, child in node.value.items():
            where = f"{path}.{name}" if path else name
            if name not in members:
                self._unknown(child, path, name, members)
                continue
            value = self.read(hints[name], child, where)
            self._limits(members[name], value, child, where)
            values[name] = value
        return self._made(kind, members, values, node, path)

    def _made(self, kind: type, members: dict, values: dict, node: Node, path: str) -> Any:
        for name, member in members.items():
            no_default = member.default is dataclasses.MISSING and member.default_factory is dataclasses.MISSING
            if name not in values and no_default:
                self.complaints.add(node.line, path, f"key {name!r} is missing ({member.metadata['doc']})")
                values[name] = None
        return kind(**values)

    def _unknown(self, child: Node, path: str, name: str, members: dict) -> None:
        near = difflib.get_close_matches(name, members, 1, 0.6)
        hint = f", did you mean {near[0]!r}?" if near else f"; known here: {', '.join(members)}"
        self.complaints.add(child.line, path, f"unknown key {name!r}{hint}")

    def _limits(self, member: Any, value: Any, node: Node, path: str) -> None:
        facts = member.metadata
        if facts.get("later"):
            self.complaints.warn(node.line, path, "understood, but without effect in this version")
        if value is None:
            return
        if facts.get("least") is not None and value < facts["least"]:
            self._expected(node, path, f"at least {facts['least']}")
        choices = facts.get("choices")
        if choices and value not in choices:
            near = difflib.get_close_matches(str(value), choices, 1, 0.6)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self._expected(node, path, f"one of {', '.join(choices)}{hint}")
