"""``gateway limits``"""

import json
from pathlib import Path
from typing import Any

import click

from gateway.allowances.plans import CALLS, limits_of, model_limits_of, scope_text
from gateway.commands import config_option
from gateway.commands.scopes import found_scopes, shared_state, team_option


@click.group("limits")
def command() -> None:
    """Show how much of the limits of keys and teams is used.

    Example: gateway limits show alice
    """


@command.command("show")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@team_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
def show(keys: tuple[str, ...], teams: tuple[str, ...], config: Path | None, as_json: bool) -> None:
    """Show what of each limit is used now, by all workers together. A KEY's team is shown with it; without
    any name, all that have limits are shown.

    Example: gateway limits show alice
    """
    gateway, scopes = found_scopes(config, keys, teams)
    meters = [meter for each in scopes for meter in (*limits_of(each.allowance), *model_limits_of(each.allowance))]
    with shared_state(gateway) as state:
        levels = state.levels([meter.claim(0) for meter in meters])
    rows = [_row(meter, level) for meter, level in zip(meters, levels, strict=True)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("no limits")
    told = ""
    for row in rows:
        if row["scope"] != told:
            told = row["scope"]
            click.echo(scope_text(told))
        click.echo(f"  {_text(row)}")


def _row(meter: Any, level: Any) -> dict[str, Any]:
    return {
        "scope": meter.scope, "model": meter.glob, "limit": meter.word, "most": meter.most, "used": level.used,
        "left": level.left, "frees": None if meter.measure == CALLS else round(level.frees, 3),
        "observed": meter.observe,
    }  # fmt: skip


def _text(row: dict[str, Any]) -> str:
    what = f"{row['limit']} of {row['model']}" if row["model"] else row["limit"]
    frees = f", all free again in {row['frees']:.0f} s" if row["frees"] and row["used"] else ""
    observed = " (observed only)" if row["observed"] else ""
    return f"{what:<24} {row['used']} of {row['most']} used, {row['left']} left{frees}{observed}"
