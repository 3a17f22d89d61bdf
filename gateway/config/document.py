"""YAML text as a tree that knows its lines. The one door to PyYAML.

``${NAME}`` and ``${NAME:-default}`` are filled in from the environment here; ``$${`` stays
``${``. A complaint shows a scalar as it stands in the file, never what the environment put there.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


class Complaints:
    """Everything wrong with one file, gathered before anything is said."""

    def __init__(self, file: str):
        self.file = file
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def add(self, line: int, path: str, text: str) -> None:
        self.lines.append(self._place(line, path) + text)

    def warn(self, line: int, path: str, text: str) -> None:
        self.warnings.append(self._place(line, path) + text)

    def _place(self, line: int, path: str) -> str:
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
        root = loader.get_single_node()
        if root is None:
            return Node(1, {})
        return _Builder(loader, environment, complaints).build(root, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError([f"{path}:{line}: not YAML: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: not YAML: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: an anchor contains itself"]) from None
    finally:
        loader.dispose()


_TEXT = "tag:yaml.org,2002:str"


class _Builder:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, loader: Any, environment: Mapping[str, str], complaints: Complaints):
        self._loader = loader
        self._environment = environment
        self._complaints = complaints

    def build(self, node: Any, path: str) -> Node:
        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return Node(line, self._mapping(node, path))
        if isinstance(node, yaml.SequenceNode):
            return Node(line, [self.build(item, f"{path}[{i}]") for i, item in enumerate(node.value)])
        return self._scalar(node, line, path)

    def _mapping(self, node: Any, path: str) -> dict[str, Node]:
        written: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in written:
                self._complaints.add(key.start_mark.line + 1, path, f"key {name!r} stands here twice")
            written.add(name)
        self._loader.flatten_mapping(node)  # "<<: *anchor": what was merged comes first, what is written wins
        members: dict[str, Node] = {}
        for key, value in node.value:
            name = str(key.value)
            child = self.build(value, f"{path}.{name}" if path else name)
            child.line = key.start_mark.line + 1
            members[name] = child
        return members

    def _scalar(self, node: Any, line: int, path: str) -> Node:
        raw = node.value
        if "$" not in raw:
            return Node(line, self._constructed(node), raw, raw)
        before = len(self._complaints.lines)
        text = _VARIABLE.sub(self._filler(line, path), raw)
        hole = len(self._complaints.lines) > before
        tag = node.tag
        if not node.style:  # a plain scalar (None or ""): what was filled in decides its type
            tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))
        filled = yaml.ScalarNode(tag, text, node.start_mark, node.end_mark, node.style)
        return Node(line, self._constructed(filled), text, raw, hole)

    def _constructed(self, scalar: Any) -> Any:
        if scalar.tag == _TEXT:  # by far the most
            return scalar.value
        try:
            return self._loader.construct_object(scalar)
        except ValueError:  # it looks like a date or a number, and is none
            return scalar.value

    def _filler(self, line: int, path: str) -> Callable[[re.Match], str]:
        def fill(match: re.Match) -> str:
            name = match["name"]
            if name is None:
                return "${"
            found = self._environment.get(name) or match["default"]
            if found is None:
                self._complaints.add(line, path, f"environment variable {name!r} is not set")
                return ""
            return found

        return fill
