"""``gateway egress``"""

import re
from pathlib import Path
from typing import Any

import click

from gateway import outgoing
from gateway.commands import config_option, found_config
from gateway.loading import load

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_FORMS = ("list", "squid", "nftables", "networkpolicy")


def _name(_: Any, __: Any, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise click.BadParameter("expected a name of small letters, digits and hyphens")
    return value


@click.command("egress")
@config_option
@click.option("--format", "form", default="list", show_default=True, type=click.Choice(_FORMS))
@click.option("--user", default="gateway", show_default=True, callback=_name, help="nftables: who runs the gateway.")
@click.option("--app", default="gateway", show_default=True, callback=_name, help="networkpolicy: the pods' `app`.")
def command(config: Path | None, form: str, user: str, app: str) -> None:
    """Print where the configuration may connect to, for a firewall: hosts and ports, and nothing secret.

    nftables and networkpolicy hold addresses, as the names resolve now; exit code 1 if one does not.

    Example: gateway egress --format squid > /etc/squid/conf.d/gateway.conf
    """
    gateway = load(found_config(config))
    places = outgoing.destinations(gateway)
    for line in _written(form, places, user, app):
        click.echo(line)
    for name in outgoing.open_channels(gateway):
        said = "fetches media from any public host that a client names (`fetch: any`); no list holds those"
        click.echo(f"warning: channel {name}: {said}", err=True)


def _written(form: str, places: list[outgoing.Destination], user: str, app: str) -> list[str]:
    if form == "list":
        return outgoing.as_list(places)
    if form == "squid":
        return outgoing.as_squid(places)
    try:
        found = outgoing.addresses(places)
    except OSError as error:
        raise click.ClickException(f"{error}; what lacks one destination is no list to rely on") from None
    return outgoing.as_nftables(found, user) if form == "nftables" else outgoing.as_network_policy(found, app)
