"""Turns a tree of nodes into frozen dataclasses, gathering every complaint on the way.

The dataclasses in settings.py and provider_settings.py are the only list of what may stand in the file: this
module, the JSON Schema and the reference page are all derived from them.
"""

import dataclasses
import datetime
import difflib
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from gateway.config.document import Complaints, Node, Where

_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def option(doc: str, default: Any = dataclasses.MISSING, *, later: bool = False, least: float | None = None,
           choices: tuple[str, ...] = ()) -> Any:  # fmt: skip
    """A member of a settings class. ``later``: understood now, without effect yet (it warns)."""
    metadata = {"doc": doc, "later": later, "least": least, "choices": choices}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


Reader = Callable[[Node, Where], Any]


class Checker:
    """Reads nodes as types. After ``read`` look at ``complaints``: values may be holes."""

    def __init__(self, complaints: Complaints):
        self.complaints = complaints
        self._readers: dict[Any, Reader] = {}

    def read(self, kind: Any, node: Node, where: Where = "") -> Any:
        """*node* as a value of *kind* (a settings class, a kind, list[...], dict[str, ...], a union
        with None or a plain type); None, and a complaint, when it is not one."""
        return self._reader(kind)(node, where)

    def _reader(self, kind: Any) -> Reader:
        """How *kind* is read. What it is made of is looked up once, not for each of 100,000 keys."""
        if kind not in self._readers:
            self._readers[kind] = self.new_reader(kind)
        return self._readers[kind]

    def new_reader(self, kind: Any) -> Reader:
        """The same, looked up: for those who read a kind of theirs in a way of their own."""
        origin = None if isinstance(kind, type) else typing.get_origin(kind)
        if origin in (types.UnionType, typing.Union):
            inner = [k for k in typing.get_args(kind) if k is not type(None)]
            return functools.partial(self._optional, self._reader(inner[0]))
        if origin in (list, tuple):
            return functools.partial(self._list, self._reader(typing.get_args(kind)[0]))
        if origin is dict:
            return functools.partial(self._dict, self._reader(typing.get_args(kind)[1]))
        if dataclasses.is_dataclass(kind):
            return functools.partial(self._settings, kind, self._members(kind))
        return functools.partial(self._plain if kind in _PLAIN else self._kind, kind)

    def _members(self, kind: type) -> "dict[str, _Member]":
        hints = typing.get_type_hints(kind)
        fields = [field for field in dataclasses.fields(kind) if field.name != "line"]
        return {field.name: _Member(field, self._reader(hints[field.name])) for field in fields}

    def _expected(self, node: Node, where: Where, what: str) -> None:
        if node.hole:
            return
        self.complaints.add(node.line, where, f"expected {what}, found {node.shown()}")

    def _optional(self, read: Reader, node: Node, where: Where) -> Any:
        return None if node.value is None else read(node, where)

    def _list(self, read: Reader, node: Node, where: Where) -> list:
        if not isinstance(node.value, list):
            self._expected(node, where, "a list")
            return []
        return [read(item, (where, i)) for i, item in enumerate(node.value)]

    def _dict(self, read: Reader, node: Node, where: Where) -> dict:
        if not isinstance(node.value, dict):
            self._expected(node, where, "a mapping")
            return {}
        return {name: read(child, (where, name)) for name, child in node.value.items()}

    def _plain(self, kind: type, node: Node, where: Where) -> Any:
        value = node.value
        if type(value) is kind:
            return value
        if kind is str and isinstance(value, int | float | datetime.date) and not isinstance(value, bool):
            return node.text  # a name like 0123 or 2024-11-20 keeps its own spelling
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        self._expected(node, where, _PLAIN[kind])

    def _kind(self, kind: Any, node: Node, where: Where) -> Any:
        try:
            return kind.read(node)
        except ValueError as expected:
            if node.hole:
                return None
            if getattr(kind, "hidden", False):  # a secret may stand there, in the file itself
                self.complaints.add(node.line, where, f"expected {expected}")
            else:
                self._expected(node, where, str(expected))

    def _settings(self, kind: type, members: "dict[str, _Member]", node: Node, where: Where) -> Any:
        if not isinstance(node.value, dict):
            self._expected(node, where, "a mapping")
            return None
        values: dict[str, Any] = {}
        for name, child in node.value.items():
            member = members.get(name)
            if member is None:
                self._unknown(child, where, name, members)
                continue
            values[name] = value = member.read(child, (where, name))
            if member.limited:
                self._limits(member.facts, value, child, (where, name))
        for name, member in members.items():
            if member.needed and name not in values:
                self.complaints.add(node.line, where, f"key {name!r} is missing ({member.facts['doc']})")
                values[name] = None
        if "line" in kind.__dataclass_fields__:
            values["line"] = node.line
        return kind(**values)

    def _unknown(self, child: Node, where: Where, name: str, members: dict) -> None:
        near = difflib.get_close_matches(name, members, 1, 0.6)
        hint = f", did you mean {near[0]!r}?" if near else f"; known here: {', '.join(members)}"
        self.complaints.add(child.line, where, f"unknown key {name!r}{hint}")

    def _limits(self, facts: Mapping[str, Any], value: Any, node: Node, where: Where) -> None:
        if facts.get("later"):
            self.complaints.warn(node.line, where, "understood, but without effect in this version")
        if value is None:
            return
        if facts.get("least") is not None and value < facts["least"]:
            self._expected(node, where, f"at least {facts['least']}")
        choices = facts.get("choices")
        if choices and value not in choices:
            near = difflib.get_close_matches(str(value), choices, 1, 0.6)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self._expected(node, where, f"one of {', '.join(choices)}{hint}")


class _Member:
    """What is known of one member of a settings class."""

    __slots__ = ("read", "facts", "limited", "needed")

    def __init__(self, field: dataclasses.Field, read: Reader):
        self.read = read
        self.facts = field.metadata
        facts = self.facts
        self.limited = bool(facts.get("later") or facts.get("choices") or facts.get("least") is not None)  # least: 0
        self.needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
