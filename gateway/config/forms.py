"""Values that may be written in more than one form."""

import re
from typing import Any

from gateway.config.document import Node
from gateway.config.kinds import Options, scalar_text

DIALECTS = ("chat", "responses", "messages", "gemini")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Auth(str):
    """``bearer``, ``x-api-key``, ``header:NAME``, ``query:NAME`` or ``none``."""

    schema = {"type": "string", "pattern": "^(bearer|x-api-key|none|header:.+|query:.+)$"}

    @classmethod
    def read(cls, node: Node) -> "Auth":
        expected = "bearer, x-api-key, header:NAME, query:NAME or none"
        text = scalar_text(node, expected)
        how, _, name = text.partition(":")
        if text in ("bearer", "x-api-key", "none"):
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
