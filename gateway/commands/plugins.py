"""``gateway plugins``"""

from pathlib import Path

import click

from gateway.commands import config_option, found_config
from gateway.loading import load
from gateway.plugin_manager import find_plugins


@click.command("plugins")
@config_option
@click.option("--all", "everything", is_flag=True, help="Also those that this configuration does not use.")
def command(config: Path | None, everything: bool) -> None:
    """List the plugins in use: order, name, version, hooks, origin.

    Example: gateway plugins --all
    """
    path = found_config(config)
    gateway = load(path)
    used = [*gateway.plugins.gateway, *gateway.plugins.providers]
    for place, plugin in enumerate(used, 1):
        version = plugin.source.version or "-"
        click.echo(f"{place:>2}  {plugin.source.name}  {version}  {', '.join(plugin.hooks)}  {plugin.source.origin}")
    if not everything:
        return
    folder = gateway.settings.plugins_dir
    names = {plugin.source.name for plugin in used}
    for source in find_plugins(path.parent / folder if folder else None).values():
        if source.name not in names:
            click.echo(f" -  {source.name}  {source.version or '-'}  (not in use)  {source.origin}")
