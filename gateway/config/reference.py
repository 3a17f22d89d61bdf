"""The settings as a page to read: ``gateway schema --markdown``, kept as docs/configuration.md."""

import dataclasses
import types
import typing
from typing import Any

from gateway.config.settings import Settings

_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_HEAD = """# Configuration reference

Every key of `gateway.yaml`, as the code knows it (`gateway schema --markdown` prints this page,
`gateway schema` the same for editors). `conf/gateway.yaml` is the commented example.

`${NAME}` and `${NAME:-default}` come from the environment; a secret may also be `file:/path`.
`gateway check` says everything that is wrong with a file, with its lines.
"""


def markdown() -> str:
    """The whole page."""
    sections = [_HEAD]
    _section(Settings, "", sections)
    return "\n".join(sections)


def _section(kind: type, path: str, sections: list[str]) -> None:
    hints = typing.get_type_hints(kind)
    title = f"`{path}`" if path else "Top level"
    about = (kind.__doc__ or "").strip()
    rows = [f"\n## {title}\n\n{about}\n", "| key | kind | default | meaning |", "|---|---|---|---|"]
    inner: list[tuple[type, str]] = []
    for member in dataclasses.fields(kind):
        if member.name == "line":
            continue
        shown, nested, suffix = kind_of(hints[member.name])
        meaning = member.metadata["doc"] + (" (no effect yet)" if member.metadata["later"] else "")
        if member.metadata["choices"]:
            shown = ", ".join(f"`{choice}`" for choice in member.metadata["choices"])
        rows.append(f"| `{member.name}` | {shown} | {default_of(member)} | {meaning} |")
        if nested is not None:
            inner.append((nested, f"{path}.{member.name}{suffix}".lstrip(".")))
    sections.append("\n".join(rows))
    for nested, where in inner:
        _section(nested, where, sections)


def kind_of(hint: Any) -> tuple[str, type | None, str]:
    """(words, settings class inside, what its path gets behind it)"""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return kind_of(next(k for k in arguments if k is not type(None)))
    if origin is list:
        words, nested, _ = kind_of(arguments[0])
        return (f"list of {words}", nested, "[]")
    if origin is dict:
        words, nested, _ = kind_of(arguments[1])
        return (f"name -> {words}", nested, ".NAME")
    if dataclasses.is_dataclass(hint):
        return "mapping", hint, ""
    if hint in _PLAIN:
        return _PLAIN[hint], None, ""
    return _words(hint), None, ""


def _words(kind: Any) -> str:
    words = (kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip(".").replace("``", "`")
    return words[:1].lower() + words[1:]


def default_of(member: Any) -> str:
    if member.default is dataclasses.MISSING and member.default_factory is dataclasses.MISSING:
        return "required"
    value = member.default if member.default is not dataclasses.MISSING else member.default_factory()
    if dataclasses.is_dataclass(value):
        return "see below"
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):  # models
        return '`["*"]`'
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
