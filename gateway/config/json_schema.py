"""The settings as a JSON Schema (draft 2020-12), for editors: ``gateway schema``."""

import dataclasses
import types
import typing
from typing import Any

from gateway.config.settings import Settings

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}
# Any scalar may be an environment variable instead of what it stands for.
_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}


def json_schema() -> dict[str, Any]:
    """The schema of the whole file, with the doc of every key as its description."""
    schema = _schema(Settings)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "gateway.yaml"
    schema["$defs"] = {"renames": {"type": "object", "additionalProperties": {"type": "string"}}}
    return schema


def _schema(kind: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        inner = [k for k in arguments if k is not type(None)]
        return {"anyOf": [_schema(inner[0]), {"type": "null"}]}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if dataclasses.is_dataclass(kind):
        return _members(kind)
    if kind in _PLAIN:
        plain = {"type": _PLAIN[kind]}
        return plain if kind is str else {"anyOf": [plain, _VARIABLE]}
    return dict(kind.schema)


def _members(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    properties, required = {}, []
    for member in dataclasses.fields(kind):
        if member.name == "line":
            continue
        schema = _schema(hints[member.name])
        schema["description"] = member.metadata["doc"]
        if member.metadata["choices"]:
            schema["enum"] = list(member.metadata["choices"])
        if member.metadata["least"] is not None:
            schema["minimum"] = member.metadata["least"]
        if member.default is dataclasses.MISSING and member.default_factory is dataclasses.MISSING:
            required.append(member.name)
        properties[member.name] = schema
    result: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        result["required"] = required
    return result
