"""``gateway plugins``"""

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import click

from gateway.commands import config_option, found_config
from gateway.config.reference import default_of, kind_of
from gateway.loading import load
from gateway.plugin_manager import Plugin, Source, find_plugins


@click.command("plugins")
@config_option
@click.option("--all", "everything", is_flag=True, help="Also those that this configuration does not use.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
def command(config: Path | None, everything: bool, as_json: bool) -> None:
    """List the plugins in use: order, name, version, hooks, origin; below each, the options that it takes.

    Example: gateway plugins --all
    """
    path = found_config(config)
    gateway = load(path)
    used = [*gateway.plugins.gateway, *gateway.plugins.providers]
    folder = gateway.settings.plugins_dir
    known = find_plugins(path.parent / folder if folder else None) if everything else {}
    rest = [source for name, source in known.items() if name not in {plugin.source.name for plugin in used}]
    if as_json:
        told = [_told(place, plugin) for place, plugin in enumerate(used, 1)]
        click.echo(json.dumps(told + [_not_in_use(source) for source in rest], indent=2))
        return
    for place, plugin in enumerate(used, 1):
        version = plugin.source.version or "-"
        click.echo(f"{place:>2}  {plugin.source.name}  {version}  {', '.join(plugin.hooks)}  {plugin.source.origin}")
        for option in options_of(plugin):
            click.echo(f"      {_option_line(**option)}")
    for source in rest:
        click.echo(f" -  {source.name}  {source.version or '-'}  (not in use)  {source.origin}")


def _option_line(name: str, kind: str, default: str, choices: list[str], meaning: str) -> str:
    kind = f"one of {', '.join(choices)}" if choices else kind
    return f"{name}: {kind}, {'required' if default == 'required' else f'default {default or chr(39) * 2}'}: {meaning}"


def options_of(plugin: Plugin) -> list[dict[str, Any]]:
    """What the plugin's ``class Options`` says of each of its members; empty if it has none."""
    kind = getattr(_module_of(plugin), "Options", None)
    if not dataclasses.is_dataclass(kind):
        return []
    hints = get_type_hints(kind)
    return [
        {
            "name": member.name,
            "kind": kind_of(hints[member.name])[0],
            "default": default_of(member).strip("`"),
            "choices": list(member.metadata.get("choices", ())),
            "meaning": member.metadata.get("doc", ""),
        }
        for member in dataclasses.fields(kind)
    ]


def _module_of(plugin: Plugin) -> ModuleType | None:
    """The module that the hooks come from: they are its own, or those of an object that it made."""
    for caller in plugin.hooks.values():
        for implementation in caller.get_hookimpls():
            owner = implementation.plugin
            return owner if isinstance(owner, ModuleType) else sys.modules.get(type(owner).__module__)
    return None


def _told(place: int, plugin: Plugin) -> dict[str, Any]:
    source = plugin.source
    return {
        "order": place, "name": source.name, "version": source.version, "api": getattr(_module_of(plugin), "API", 1),
        "hooks": list(plugin.hooks), "origin": source.origin, "options": options_of(plugin),
    }  # fmt: skip


def _not_in_use(source: Source) -> dict[str, Any]:
    return {"order": None, "name": source.name, "version": source.version, "origin": source.origin}
