"""The command line: ``gateway COMMAND``. The one door to click, with commands/.

Commands are imported when they are called: `serve` must not load what `check` loads (serving.py
says why), and ``gateway --version`` should not wait for either.
"""

import contextlib
import importlib
import itertools
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from gateway import __version__
from gateway.acts import is_act
from gateway.commands import found_config
from gateway.errors import ConfigError

COMMANDS = (
    "serve", "check", "explain", "plan", "channels", "keys", "teams", "limits", "budget", "usage", "ledger", "prices",
    "db", "acts", "audit", "models", "plugins", "plugin", "schema", "doctor", "egress", "bookkeeper",
)  # fmt: skip

_EXTRAS = {"sqlalchemy": "store", "psycopg": "postgres", "pytest": "test"}


class LazyGroup(click.Group):
    """Finds a command in the module of its name, or among those that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        try:
            return [*COMMANDS, *self._added().list_commands(ctx)]
        except ConfigError:  # a broken file must not take `gateway --help` away
            return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            try:
                return importlib.import_module(f"gateway.commands.{name}").command
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] == "gateway":
                    raise
                return _lacking(name, error.name or "")
        return self._added().get_command(ctx, name)

    def _added(self) -> click.Group:
        return importlib.import_module("gateway.commands.added").added_commands(COMMANDS)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _written_down([*ctx._protected_args, *ctx.args], ctx.params.get("alias") or ""):
                return super().invoke(ctx)
        except ConfigError as error:
            click.echo("\n".join(error.complaints), err=True)
            ctx.exit(2)


def _written_down(words: list[str], alias: str) -> Any:
    """A context for the command *words*: an act is written down, other commands are not."""
    if not is_act(words):
        return contextlib.nullcontext()
    given = [right for left, right in itertools.pairwise(words) if left == "--config"]
    given += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    config = next(iter(given), os.environ.get("GATEWAY_CONFIG"))
    writing = importlib.import_module("gateway.acts.writing")
    return writing.noted(found_config(Path(config) if config else None), words, alias)


def _lacking(name: str, library: str) -> click.Command:
    """What stands for a command that needs what is not installed."""
    extra = _EXTRAS.get(library.partition(".")[0], library)

    @click.command(name, add_help_option=False, context_settings={"ignore_unknown_options": True})
    @click.argument("_", nargs=-1)
    def command(_: tuple[str, ...]) -> None:
        raise click.ClickException(f"`gateway {name}` needs an extra: pip install 'llm-gateway[{extra}]'")

    command.help = f"(needs an extra: pip install 'llm-gateway[{extra}]')"
    return command


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="gateway")
@click.option("--as", "alias", metavar="NAME", envvar="GATEWAY_AS", help="Who you are, for `gateway acts`.")
def main(alias: str | None) -> None:
    """A lightweight reverse proxy for LLM APIs.

    Example: gateway serve --config conf/gateway.yaml
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
