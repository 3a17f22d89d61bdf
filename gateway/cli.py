"""The command line: ``gateway COMMAND``. The one door to click, with commands/.

Commands are imported when they are called: `serve` must not load what `check` loads (serving.py
says why), and ``gateway --version`` should not wait for either.
"""

import importlib
import logging
import sys
from typing import Any

import click

from gateway import __version__
from gateway.errors import ConfigError

COMMANDS = ("serve", "check", "explain", "plan", "schema", "plugins", "models")


class LazyGroup(click.Group):
    """Finds a command in the module of its name, or among those that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        try:
            return [*COMMANDS, *self._added().list_commands(ctx)]
        except ConfigError:  # a broken file must not take `gateway --help` away
            return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            return importlib.import_module(f"gateway.commands.{name}").command
        return self._added().get_command(ctx, name)

    def _added(self) -> click.Group:
        return importlib.import_module("gateway.commands.added").added_commands(COMMANDS)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo("\n".join(error.complaints), err=True)
            ctx.exit(2)


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """A lightweight reverse proxy for LLM APIs.

    Example: gateway serve --config conf/gateway.yaml
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
