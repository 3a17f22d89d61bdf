"""``${channel.name}``, ``${channel.base_url}`` and ``${channel.options.NAME}`` in what a provider declares.

Filled in once, when the configuration loads; the environment's ``${NAME}`` were filled in before.
"""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from typing import Any

from gateway.config.kinds import Secret

_TEMPLATE = re.compile(r"\$\{(channel\.[^}]*)\}")


class UnknownTemplate(ValueError):
    """A template names what the channel does not have; the message says what there is."""


def names_of(name: str, base_url: str, options: Any) -> dict[str, Any]:
    """What templates may name. *options* is a mapping, or an instance of a ``ChannelOptions``."""
    if dataclasses.is_dataclass(options):
        members = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    else:
        members = dict(options or {})
    # Secrets are for `authorize` alone: no URL, header or body could be logged if they were in it.
    open_to_all = {f"channel.options.{key}": value for key, value in members.items() if not isinstance(value, Secret)}
    return {"channel.name": name, "channel.base_url": base_url} | open_to_all


def fill(value: Any, names: Mapping[str, Any]) -> Any:
    """*value* (any JSON) with its templates filled in; a text that is one template and nothing else
    becomes what it names, of whatever type. Raises UnknownTemplate."""
    if isinstance(value, dict):
        return {key: fill(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, names) for inner in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = _TEMPLATE.fullmatch(value)
    if whole:
        return _named(whole[1], names)
    return _TEMPLATE.sub(lambda match: _text(_named(match[1], names)), value)


def _named(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.6)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(names))}"
        raise UnknownTemplate(f"'${{{name}}}' names nothing of this channel; {hint}")
    return names[name]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
