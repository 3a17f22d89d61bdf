"""``gateway plan``"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option, found_config
from gateway.domain import ANONYMOUS, Channel, Principal
from gateway.loading import Gateway, load

_SHOWN = (bool, int, float)  # texts and mappings may hold secrets or the addresses of proxies


@click.command("plan")
@click.argument("new", type=click.Path(path_type=Path))
@config_option
def command(new: Path, config: Path | None) -> None:
    """Show what a new configuration file would change: channels, routes, and who may use which models.

    Nothing is put in force. Exit code 2, with the complaints, if the file cannot be used.

    Example: gateway plan new.yaml --config conf/gateway.yaml
    """
    before, after = load(found_config(config)), load(new)
    for warning in after.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo("\n".join(changes(before, after) or ["nothing changes"]))


def changes(before: Gateway, after: Gateway) -> list[str]:
    """A line for each change: ``+`` comes, ``-`` goes, ``~`` is another."""
    old_channels, new_channels = ({c.name: c for c in gateway.channels} for gateway in (before, after))
    lines = _compared("channel", old_channels, new_channels, _changed_channel)
    lines += _compared("route", before.settings.routes, after.settings.routes, _changed_route)
    old_keys, new_keys = ({key.name: key for key in gateway.settings.keys} for gateway in (before, after))
    lines += _compared("key", old_keys, new_keys, _changed_members)
    lines += _models_of_keys(before, after)
    told = ("channels", "routes", "keys")
    other = [name for name in _changed(before.settings, after.settings, told) if not _same_plugins(name, before, after)]
    return lines + [_changed_section(name, before, after) for name in other]


def _changed_section(name: str, before: Gateway, after: Gateway) -> str:
    old, new = getattr(before.settings, name), getattr(after.settings, name)
    return f"~ {name}: {_changed_members(old, new)}" if is_dataclass(old) else f"~ {name}"


def _compared(what: str, old: Mapping[str, Any], new: Mapping[str, Any], changed: Any) -> list[str]:
    lines = [f"- {what} {name}" for name in old if name not in new]
    lines += [f"+ {what} {name}" for name in new if name not in old]
    for name in old:
        if name in new and (how := changed(old[name], new[name])):
            lines.append(f"~ {what} {name}: {how}")
    return lines


def _changed(old: Any, new: Any, beside: Iterable[str] = ("line",)) -> list[str]:
    names = [field.name for field in fields(old) if field.name not in beside]
    return [name for name in names if getattr(old, name) != getattr(new, name)]


def _changed_members(old: Any, new: Any) -> str:
    said = []
    for name in _changed(old, new):
        values = (getattr(old, name), getattr(new, name))
        shown = all(isinstance(value, _SHOWN) for value in values)
        said.append(f"{name} {_word(values[0])} -> {_word(values[1])}" if shown else name)
    return ", ".join(said)


def _changed_channel(old: Channel, new: Channel) -> str:
    own = _changed_members(old.settings, new.settings)
    # A provider's function is another object after each load, and says nothing.
    provider = [f"provider's {name}" for name in _changed(old.provider, new.provider, ("name", "respond"))]
    return ", ".join([own, *provider] if own else provider)


def _changed_route(old: Iterable[str], new: Iterable[str]) -> str:
    return "" if tuple(old) == tuple(new) else f"{', '.join(old)} -> {', '.join(new)}"


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same_plugins(name: str, before: Gateway, after: Gateway) -> bool:
    old, new = ([(use.name, _plain(use.options)) for use in g.settings.plugins] for g in (before, after))
    return name == "plugins" and old == new


def _plain(node: Any) -> Any:
    """A plugin's options without the lines they stand in."""
    value = getattr(node, "value", node)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _models_of_keys(before: Gateway, after: Gateway) -> list[str]:
    old, new = _principals(before), _principals(after)
    lines = []
    for name in [*old, *(name for name in new if name not in old)]:
        had = _models(before, old[name]) if name in old else set()
        has = _models(after, new[name]) if name in new else set()
        said = [("gains", sorted(has - had)), ("loses", sorted(had - has))]
        lines += [f"{name} {verb}: {', '.join(models)}" for verb, models in said if models]
    return lines


def _principals(gateway: Gateway) -> dict[str, Principal]:
    keys = gateway.settings.keys
    return {f"key {key.name}": Principal.of(key) for key in keys} if keys else {"whoever has no key": ANONYMOUS}


def _models(gateway: Gateway, principal: Principal) -> set[str]:
    """The names and globs that *principal* can ask for with success."""
    tags, found = set(principal.tags), set()
    for channel in gateway.channels:
        if channel.settings.enabled and tags <= set(channel.settings.tags):
            for public, _ in channel.models:
                found |= _usable(principal, public, f"{channel.provider.name}/{public}")
    for public, entries in gateway.settings.routes.items():
        names = {entry.partition("/")[0] for entry in entries}
        behind = [c for c in gateway.channels if c.name in names and c.settings.enabled]
        if any(tags <= set(channel.settings.tags) for channel in behind):
            found |= _usable(principal, public)
    return found


def _usable(principal: Principal, public: str, prefixed: str = "") -> set[str]:
    """What of a channel's name or glob the key's own names and globs leave."""
    if not principal.models:
        return {public}
    return {
        common
        for pattern in principal.models
        if (common := _common(public, pattern) or (prefixed and _common(prefixed, pattern)))
    }


def _common(one: str, other: str) -> str:
    """The narrower of two globs, both where they only cross, empty where they share nothing."""
    if fnmatchcase(one, other):
        return one
    if fnmatchcase(other, one):
        return other
    starts, ends = [glob.split("*")[0] for glob in (one, other)], [glob.split("*")[-1] for glob in (one, other)]
    cross = "*" in one and "*" in other
    cross = cross and (starts[0].startswith(starts[1]) or starts[1].startswith(starts[0]))
    return f"{one} within {other}" if cross and (ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])) else ""
