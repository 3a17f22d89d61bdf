"""``gateway check``"""

from pathlib import Path

import click

from gateway.commands import config_option, found_config
from gateway.loading import load


@click.command("check")
@config_option
def command(config: Path | None) -> None:
    """Check a configuration: every complaint at once, with file and line. Exit code 2 if any.

    Example: gateway check --config conf/gateway.yaml
    """
    path = found_config(config)
    gateway = load(path)
    for warning in gateway.warnings:
        click.echo(f"warning: {warning}", err=True)
    channels, keys = len(gateway.channels), len(gateway.settings.keys)
    click.echo(f"{path}: good ({channels} channel{'s' * (channels != 1)}, {keys} client key{'s' * (keys != 1)})")
