"""Values that may be written in more than one form."""

import re
from typing import Any

from gateway.config.document import Node
from gateway.config.kinds import AnyJson, Options, scalar_text

DIALECTS = ("chat", "responses", "messages", "gemini")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Auth(str):
    """``bearer``, ``basic``, ``x-api-key``, ``header:NAME``, ``query:NAME`` or ``none``."""

    schema = {"type": "string", "pattern": "^(bearer|basic|x-api-key|none|header:.+|query:.+)$"}

    @classmethod
    def read(cls, node: Node) -> "Auth":
        expected = "bearer, basic, x-api-key, header:NAME, query:NAME or none"
        text = scalar_text(node, expected)
        how, _, name = text.partition(":")
        if text in ("bearer", "basic", "x-api-key", "none"):
            return cls(text)
        if how in ("header", "query") and _HEADER_NAME.fullmatch(name):
            return cls(text)
        raise ValueError(expected)


class ModelNames(tuple):
    """Pairs (public name or glob, upstream name or None for the same)."""

    schema: dict[str, Any] = {
        "anyOf": [
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/renames"}]}},
            {"$ref": "#/$defs/renames"},
        ]
    }

    @classmethod
    def everything(cls) -> "ModelNames":
        return cls([("*", None)])

    @classmethod
    def read(cls, node: Node) -> "ModelNames":
        pairs: list[tuple[str, str | None]] = []
        for item in node.value if isinstance(node.value, list) else [node]:
            if isinstance(item.value, dict):
                pairs += [(public, _name(upstream)) for public, upstream in item.value.items()]
            elif item is node:
                raise ValueError("a list of names, or {public name: upstream name}")
            else:
                pairs.append((_name(item), None))
        if any(upstream and ("*" in upstream or "*" in public) for public, upstream in pairs):
            raise ValueError("a renamed model without '*'")
        return cls(pairs)


def _name(node: Node) -> str:
    text = scalar_text(node, "a model's name")
    if not text.strip() or not text.isprintable():
        raise ValueError("a model's name")
    return text


class RouteEntries(tuple):
    """List of channel/model."""

    schema: dict[str, Any] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    line = 0

    @classmethod
    def read(cls, node: Node) -> "RouteEntries":
        expected = "at least one channel/model, as a list"
        if not isinstance(node.value, list) or not node.value:
            raise ValueError(expected)
        entries = cls(scalar_text(item, expected) for item in node.value)
        entries.line = node.line
        return entries


class DialectPaths(dict):
    """``{chat: /v1/chat/completions}``, or a list of dialects at their usual paths."""

    schema: dict[str, Any] = {
        "anyOf": [
            {"type": "array", "items": {"enum": list(DIALECTS)}},
            {"type": "object", "propertyNames": {"enum": list(DIALECTS)}, "additionalProperties": {"type": "string"}},
        ]
    }

    @classmethod
    def read(cls, node: Node) -> "DialectPaths":
        expected = f"dialects ({', '.join(DIALECTS)}), as a list or with their paths"
        if isinstance(node.value, list):
            paths = {scalar_text(item, expected): "" for item in node.value}
        elif isinstance(node.value, dict):
            paths = {name: scalar_text(item, expected) for name, item in node.value.items()}
        else:
            raise ValueError(expected)
        if not paths or any(name not in DIALECTS or (path and path[0] != "/") for name, path in paths.items()):
            raise ValueError(expected)
        return cls(paths)


class OperationPaths(dict):
    """``[embeddings, images]`` at their usual paths, or ``{embeddings: /v2/embed}``."""

    schema: dict[str, Any] = {
        "anyOf": [
            {"type": "array", "items": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        ]
    }

    @classmethod
    def read(cls, node: Node) -> "OperationPaths":
        expected = "operations, as a list or with their paths"
        if isinstance(node.value, list):
            return cls({scalar_text(item, expected): "" for item in node.value})
        if not isinstance(node.value, dict):
            raise ValueError(expected)
        paths = {name: "" if item.value is None else scalar_text(item, expected) for name, item in node.value.items()}
        if any(path and path[0] != "/" for path in paths.values()):
            raise ValueError(expected)
        return cls(paths)


class HeaderRules(dict):
    """Headers sent unless the client sends its own; or the form ``{set, unset, forward}`` of a channel's."""

    schema: dict[str, Any] = {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "set": {"type": "object", "additionalProperties": {"type": "string"}},
                    "unset": {"type": "array", "items": {"type": "string"}},
                    "forward": {"type": "array", "items": {"type": "string"}},
                },
                "additionalProperties": False,
            },
            {"type": "object", "additionalProperties": {"type": "string"}},
        ]
    }
    set: dict[str, str] = {}
    unset: tuple[str, ...] = ()
    forward: tuple[str, ...] = ()

    def copy(self) -> "HeaderRules":  # of the empty default, for each that gives none
        return HeaderRules(self)

    @classmethod
    def read(cls, node: Node) -> "HeaderRules":
        expected = "headers with their values, or {set: {...}, unset: [...], forward: [...]}"
        if not isinstance(node.value, dict):
            raise ValueError(expected)
        nested = {name for name, child in node.value.items() if isinstance(child.value, dict | list)}
        if not nested:
            return cls({name: scalar_text(child, expected) for name, child in node.value.items()})
        if not nested == set(node.value) <= {"set", "unset", "forward"}:
            raise ValueError(expected)
        rules = cls()
        for name, child in node.value.items():
            if isinstance(child.value, dict) != (name == "set"):
                raise ValueError(expected)
            if name == "set":
                rules.set = {header: scalar_text(value, expected) for header, value in child.value.items()}
            else:
                setattr(rules, name, tuple(scalar_text(item, expected) for item in child.value))
        return rules


class Globs(tuple):
    """A name or glob, or a list of them."""

    schema: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

    @classmethod
    def read(cls, node: Node) -> "Globs":
        expected = "a name or glob, or a list of them"
        items = node.value if isinstance(node.value, list) else [node]
        return cls(scalar_text(item, expected) for item in items)


class Statuses(frozenset):
    """An HTTP status, or a list of them."""

    _ONE: dict[str, Any] = {"type": "integer", "minimum": 100, "maximum": 599}
    schema: dict[str, Any] = {"anyOf": [_ONE, {"type": "array", "items": _ONE}]}

    @classmethod
    def read(cls, node: Node) -> "Statuses":
        items = node.value if isinstance(node.value, list) else [node]
        if not items or not all(type(item.value) is int and 100 <= item.value < 600 for item in items):
            raise ValueError("an HTTP status, or a list of them")
        return cls(item.value for item in items)


class Pointer(str):
    """A JSON Pointer: `/usage/tokens`."""

    schema: dict[str, Any] = {"type": "string", "pattern": "^/"}

    @classmethod
    def read(cls, node: Node) -> "Pointer":
        text = scalar_text(node, "a JSON Pointer such as '/user'")
        if not text.startswith("/"):
            raise ValueError("a JSON Pointer such as '/user'")
        return cls(text)


class Pattern(str):
    """A regular expression (Python's)."""

    schema: dict[str, Any] = {"type": "string", "format": "regex"}

    @classmethod
    def read(cls, node: Node) -> "Pattern":
        text = scalar_text(node, "a regular expression")
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"a regular expression ({error})") from None
        return cls(text)


class ProviderOptions(dict):
    """A mapping, as the provider declares it. ``node`` keeps its lines."""

    schema: dict[str, Any] = {"type": "object"}
    node: Node | None = None

    @classmethod
    def read(cls, node: Node) -> "ProviderOptions":
        if not isinstance(node.value, dict):
            raise ValueError("a mapping")
        options = cls({name: AnyJson.read(child) for name, child in node.value.items()})
        options.node = node
        return options


def node_of(value: Any, line: int) -> Node:
    """*value* as if it stood in that line of a file."""
    if isinstance(value, dict):
        return Node(line, {name: node_of(inner, line) for name, inner in value.items()})
    if isinstance(value, list):
        return Node(line, [node_of(inner, line) for inner in value])
    return Node(line, value, str(value), str(value))


class PluginUse:
    """``name`` or ``{name: options}``."""

    __slots__ = ("name", "options", "line")
    schema = {"anyOf": [{"type": "string"}, {"type": "object", "minProperties": 1, "maxProperties": 1}]}

    def __init__(self, name: str, options: Options, line: int = 0):
        self.name = name
        self.options = options
        self.line = line

    @classmethod
    def read(cls, node: Node) -> "PluginUse":
        expected = "a plugin's name, or {name: options}"
        none = Options()
        none.line = node.line
        if not isinstance(node.value, dict):
            return cls(scalar_text(node, expected), none, node.line)
        if len(node.value) != 1:
            raise ValueError(expected)
        (name, options), *_ = node.value.items()
        return cls(name, none if options.value is None else Options.read(options), node.line)
