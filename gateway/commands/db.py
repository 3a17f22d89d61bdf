"""``gateway db``"""

from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option
from gateway.commands.stored import opened
from gateway.store.migrations import NEWEST, check


@click.group("db")
def command() -> None:
    """Look after the store: the database of keys, teams and the ledger.

    Example: gateway db upgrade --config conf/gateway.yaml
    """


@command.command("upgrade")
@config_option
def upgrade(config: Path | None) -> None:
    """Bring the schema up to date, in one transaction. An embedded store does it by itself.

    Example: gateway db upgrade --config conf/gateway.yaml
    """
    with opened(config) as configured:
        before, now = configured.store.upgrade()
        what = f"schema version {now} already" if before == now else f"upgraded from schema version {before} to {now}"
        click.echo(f"{configured.store.place}: {what}")


@command.command("version")
@config_option
def version(config: Path | None) -> None:
    """Say which schema version the database has, and which this gateway needs.

    Example: gateway db version
    """
    with opened(config) as configured:
        click.echo(f"{configured.store.place}: schema version {configured.store.version()}, needed {NEWEST}")


@command.command("check")
@config_option
def check_store(config: Path | None) -> None:
    """Check that the database can be asked, and has the schema that this gateway needs. Exit code 1 if not.

    Example: gateway db check && gateway serve
    """
    with opened(config) as configured:
        store: Any = configured.store
        check(store.upgrade()[1] if store.embedded else store.version())
        complaints = store.flaws()
        if complaints:
            raise click.ClickException("\n".join(complaints))
        click.echo(f"{store.place}: good (schema version {NEWEST})")
