"""``gateway schema``"""

import json

import click

from gateway.config.json_schema import json_schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of the configuration, for editors.

    Example: gateway schema > gateway.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2))
