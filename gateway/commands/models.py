"""``gateway models``"""

from pathlib import Path

import click

from gateway.commands import config_option, found_config
from gateway.loading import load


@click.command("models")
@config_option
def command(config: Path | None) -> None:
    """List the models that clients can name, and the channels behind each.

    Example: gateway models
    """
    for channel in load(found_config(config)).channels:
        state = "" if channel.settings.enabled else "  (disabled)"
        for public, upstream in channel.models:
            renamed = f" -> {upstream}" if upstream else ""
            click.echo(f"{public}{renamed}  {channel.name}  {channel.provider.name}{state}")
