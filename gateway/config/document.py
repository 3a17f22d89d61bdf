"""YAML text as a tree that knows its lines. The one door to PyYAML.

``${NAME}`` and ``${NAME:-default}`` are filled in from the environment here; ``$${`` stays
``${``. A complaint shows a scalar as it stands in the file, never what the environment put there.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import yaml

from gateway.errors import ConfigError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is some ten times faster
_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


@dataclass(slots=True)
class Node:
    """One place in the file. ``value`` is a dict of nodes, a list of nodes or a plain scalar;
    ``text`` is a scalar's text after, ``raw`` before the environment was filled in."""

    line: int
    value: Any
    text: str = ""
    raw: str = ""
    hole: bool = False  # the environment lacks what should stand here, and that was said

    def shown(self) -> str:
        """How a complaint quotes what was found."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        return repr(self.raw) if self.raw else "nothing"


# Where something stands below the root: a text, or (where, name or number), which is put into words only for a
# complaint. A large file has a million places, and of a good one nobody asks for any.
Where = str | tuple[Any, str | int]


def in_words(where: Where) -> str:
    """``channels[0].name``"""
    if isinstance(where, str):
        return where
    parent, step = in_words(where[0]), where[1]
    if isinstance(step, int):
        return f"{parent}[{step}]"
    return f"{parent}.{step}" if parent else step


class Complaints:
    """Everything wrong with one file, gathered before anything is said."""

    def __init__(self, file: str):
        self.file = file
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def add(self, line: int, where: Where, text: str) -> None:
        self.lines.append(self._place(line, where) + text)

    def warn(self, line: int, where: Where, text: str) -> None:
        self.warnings.append(self._place(line, where) + text)

    def _place(self, line: int, where: Where) -> str:
        path = in_words(where)
        return f"{self.file}:{line}: {path}: " if path else f"{self.file}:{line}: "

    def raise_any(self) -> None:
        """Raises ConfigError when anything was added."""
        if self.lines:
            raise ConfigError(self.lines)


def read_text(path: Path) -> str:
    """What the file says. Raises ConfigError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 at byte {error.start}"]) from None


def read_document(text: str, environment: Mapping[str, str], complaints: Complaints) -> Node:
    """The text as a tree. Raises ConfigError if it is not YAML at all."""
    path = complaints.file
    loader = _Loader(text)
    try:
        return _Builder(loader, environment, complaints).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError([f"{path}:{line}: not YAML: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: not YAML: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply"]) from None
    finally:
        loader.dispose()


_TEXT = "tag:yaml.org,2002:str"
_NO_TEXT = frozenset(_Loader.yaml_implicit_resolvers)  # what numbers, dates, truths and nothing begin with


class _Builder:
    """Turns the parser's events into nodes. (PyYAML would make nodes of its own first, which takes three times
    the memory and half as long again.)"""

    def __init__(self, loader: Any, environment: Mapping[str, str], complaints: Complaints):
        self._loader = loader
        self._next = loader.get_event
        self._environment = environment
        self._complaints = complaints
        self._anchors: dict[str, Node | None] = {}  # None: it is not complete yet

    def document(self) -> Node:
        self._next()  # the stream begins
        if isinstance(self._next(), yaml.StreamEndEvent):
            return Node(1, {})
        root = self._node(self._next(), "")
        self._next()  # the document ends
        further = self._next()
        if not isinstance(further, yaml.StreamEndEvent):
            self._refuse(further, "a second document begins here")
        return root

    def _node(self, event: Any, where: Where) -> Node:
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._alias(event)
        if event.anchor:
            self._anchors[event.anchor] = None
        line = event.start_mark.line + 1
        if kind is yaml.ScalarEvent:
            node = self._scalar(event, line, where)
        else:
            node = Node(line, self._mapping(where) if kind is yaml.MappingStartEvent else self._sequence(where))
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            self._refuse(event, f"there is no anchor {event.anchor!r}")
        node = self._anchors[event.anchor]
        if node is None:
            self._refuse(event, f"the anchor {event.anchor!r} contains itself")
        return replace(node)  # it gets another line

    def _refuse(self, event: Any, what: str) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=what, problem_mark=event.start_mark)

    def _sequence(self, where: Where) -> list[Node]:
        items: list[Node] = []
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            items.append(self._node(event, (where, len(items))))
        return items

    def _mapping(self, where: Where) -> dict[str, Node]:
        members: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        while type(key := self._next()) is not yaml.MappingEndEvent:
            if type(key) is not yaml.ScalarEvent:
                self._refuse(key, "a key has to be a plain text")
            name, line = key.value, key.start_mark.line + 1
            child = self._node(self._next(), (where, name))
            if name == "<<" and key.implicit[0]:
                merged = self._merged(child, line, where) | merged
                continue
            if name in members:
                self._complaints.add(line, where, f"key {name!r} stands here twice")
            child.line = line
            members[name] = child
        return {**merged, **members} if merged else members  # what is written wins

    def _merged(self, node: Node, line: int, where: Where) -> dict[str, Node]:
        """What ``<<: *anchor`` or ``<<: [*one, *two]`` brings; of several, the first wins."""
        merged: dict[str, Node] = {}
        for each in node.value if isinstance(node.value, list) else [node]:
            if isinstance(each.value, dict):
                merged = {**each.value, **merged}
            else:
                self._complaints.add(line, (where, "<<"), f"expected mappings to merge, found {each.shown()}")
        return merged

    def _scalar(self, event: Any, line: int, where: Where) -> Node:
        raw = event.value
        if "$" not in raw:
            tag = self._tag(raw, event)
            return Node(line, raw if tag == _TEXT else self._constructed(tag, raw, event), raw, raw)
        before = len(self._complaints.lines)
        text = _VARIABLE.sub(self._filler(line, where), raw)
        hole = len(self._complaints.lines) > before
        return Node(line, self._constructed(self._tag(text, event), text, event), text, raw, hole)

    def _tag(self, text: str, event: Any) -> str:
        """What *text*, which stands for the scalar *event*, is: what was filled in decides it, unless in quotes."""
        if not event.implicit[0]:
            return _TEXT if event.tag in (None, "!") else event.tag
        if text and text[0] not in _NO_TEXT:
            return _TEXT
        return self._loader.resolve(yaml.ScalarNode, text, (True, False))

    def _constructed(self, tag: str, text: str, event: Any) -> Any:
        try:
            return self._loader.construct_object(yaml.ScalarNode(tag, text, event.start_mark, event.end_mark))
        except ValueError:  # it looks like a date or a number, and is none
            return text

    def _filler(self, line: int, where: Where) -> Callable[[re.Match], str]:
        def fill(match: re.Match) -> str:
            name = match["name"]
            if name is None:
                return "${"
            found = self._environment.get(name) or match["default"]
            if found is None:
                self._complaints.add(line, where, f"environment variable {name!r} is not set")
                return ""
            return found

        return fill
