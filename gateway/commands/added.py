"""Commands that plugins add (``register_commands``): those of the plugins that the configuration uses."""

import os
from pathlib import Path

import click

from gateway.commands import found_config
from gateway.errors import ConfigError, PluginError
from gateway.loading import load
from gateway.plugin_manager import ask


class Added(click.Group):
    """Takes each name once; *taken* are the gateway's own."""

    def __init__(self, taken: tuple[str, ...]):
        super().__init__()
        self._taken = taken

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        name = name or cmd.name or ""
        if name in self._taken or name in self.commands:
            raise ConfigError([f"two commands are called {name!r}"])
        super().add_command(cmd, name)


def added_commands(taken: tuple[str, ...]) -> click.Group:
    """The plugins' commands; GATEWAY_CONFIG or the usual place says which plugins. Raises ConfigError."""
    group = Added(taken)
    given = os.environ.get("GATEWAY_CONFIG")
    plugins = load(found_config(Path(given) if given else None)).plugins
    for plugin in [*plugins.gateway, *plugins.providers]:
        if "register_commands" in plugin.hooks:
            try:
                ask(plugin, "register_commands", cli=group)
            except PluginError as error:
                raise ConfigError([str(error)]) from None
    return group
