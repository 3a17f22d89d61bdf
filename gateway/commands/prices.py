"""``gateway prices``"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.commands import config_option, found_config
from gateway.loading import Gateway, load
from gateway.price_file import Price, Rates
from gateway.prices import Listed, Prices, read_prices

_GLOB = frozenset("*?[")


@click.group("prices")
def command() -> None:
    """Say what models cost, and which of yours have no price.

    Example: gateway prices check
    """


file_option = click.option(
    "--file", "file", type=click.Path(path_type=Path), help="A file of prices to look at instead of the one configured."
)


@command.command("check")
@config_option
@file_option
def check(config: Path | None, file: Path | None) -> None:
    """List every channel's models that have no price. Exit code 1 if there are any.

    A channel that takes a glob may be asked for any name: what of it has a price cannot be said.

    Example: gateway prices check --file new-prices.yaml
    """
    gateway = load(found_config(config))
    prices, now = _prices(gateway, file), datetime.now(UTC)
    lacking = 0
    for channel, provider, model in _served(gateway):
        found = [each for each in prices.fitting(channel, provider, model) if each.price.starts(now)]
        if _GLOB & set(model):  # it is covered by a glob that takes it for a name, unless that counts its letters
            found = [each for each in found if not {"?", "["} & set(each.model)]
        if found:
            continue
        if _GLOB & set(model):
            click.echo(f"{channel}  {model}  cannot be checked: a pattern, which no price covers as a whole")
        else:
            click.echo(f"{channel}  {model}  no price (provider {provider})")
            lacking += 1
    for warning in _strangers(gateway, prices):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{lacking or 'no'} model{'s' * (lacking != 1)} without a price")
    if lacking:
        click.get_current_context().exit(1)


@command.command("show")
@click.argument("model")
@config_option
@file_option
def show(model: str, config: Path | None, file: Path | None) -> None:
    """Show every price of MODEL, in US dollars: where it stands, and from when it holds. The first in
    force is a call's, of those for its channel and its channel's provider. Exit code 1 if there is none.

    Example: gateway prices show claude-opus-4-8
    """
    prices, now = _prices(load(found_config(config)), file), datetime.now(UTC)
    listed = list(prices.listed(model))
    for each in listed:
        click.echo("\n".join(_lines(each, now)))
    if not listed:
        click.echo(f"no price for {model!r}")
        click.get_current_context().exit(1)


def _prices(gateway: Gateway, file: Path | None) -> Prices:
    return gateway.services.prices if file is None else read_prices(file)


def _served(gateway: Gateway) -> Iterator[tuple[str, str, str]]:
    """(channel, provider, the model's name there) of all that clients can be served."""
    told: set[tuple[str, str, str]] = set()
    for channel in gateway.channels:
        routed = (
            entry.partition("/")[2]
            for entries in gateway.settings.routes.values()
            for entry in entries
            if entry.partition("/")[0] == channel.name
        )
        names = [upstream or public for public, upstream in channel.models]
        renamed = {public: upstream for public, upstream in channel.models if upstream}
        for model in [*names, *(renamed.get(model, model) for model in routed)]:
            one = (channel.name, channel.provider.name, model)
            if channel.settings.enabled and one not in told:
                told.add(one)
                yield one


def _strangers(gateway: Gateway, prices: Prices) -> Iterator[str]:
    """Names in the operator's file that nothing here bears: misspelt, most likely."""
    channels = [channel.name for channel in gateway.channels]
    providers = [channel.provider.name for channel in gateway.channels]
    for section, known in (("channels", channels), ("providers", providers)):
        for owner, path in prices.owners(section).items():
            if owner not in known:
                yield f"{path}: {section}.{owner}: no {section[:-1]} of that name is in use{_near(owner, known)}"


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def _lines(listed: Listed, now: datetime) -> Iterator[str]:
    price = listed.price
    since = f"from {price.since:%Y-%m-%d}" if price.since else "always"
    state = "" if price.starts(now) else ", not yet"
    yield f"{listed.section[:-1]} {listed.owner}  {listed.model}  {since}{state}  ({listed.place})"
    yield f"    {_told(price)}"
    for tier in price.tiers:
        yield f"    above {tier.above} input tokens: {_told(tier)}"


def _told(rates: Rates) -> str:
    names = [field.name for field in fields(Rates)]
    names += ["request", "image", "minute"] if isinstance(rates, Price) else []
    return "  ".join(f"{name} {dollars(amount)}" for name in names if (amount := getattr(rates, name)) is not None)


def dollars(micro: int) -> str:
    """``1250000`` as ``1.25``."""
    whole, rest = divmod(micro, 10**6)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".")
