"""``gateway schema``"""

import json

import click

from gateway.config.json_schema import json_schema
from gateway.config.reference import markdown


@click.command("schema")
@click.option("--markdown", "as_page", is_flag=True, help="The reference page instead.")
def command(as_page: bool) -> None:
    """Print the JSON Schema of the configuration, for editors.

    Example: gateway schema > gateway.schema.json
    """
    click.echo(markdown() if as_page else json.dumps(json_schema(), indent=2), nl=not as_page)
