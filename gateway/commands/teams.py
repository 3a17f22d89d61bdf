"""``gateway teams``"""

import json
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option
from gateway.commands.stored import Configured, Mapping, check_name, inline, json_option, opened, show_document, shown
from gateway.config.settings import TeamSettings
from gateway.store.documents import TEAM_MEMBERS
from gateway.store.teams import StoredTeam


def team_options(command: Any) -> Any:
    """What may be said of a team when it is made, and later."""
    for option in reversed([
        click.option("--limits", type=Mapping(), help="As in gateway.yaml: '{rpm: 600, tpm: 1000000}'."),
        click.option("--budget", type=Mapping(), help="As in gateway.yaml: '{usd: 500, per: month}'."),
        click.option("--note", help="Whatever should be remembered of it."),
    ]):  # fmt: skip
        command = option(command)
    return command


@click.group("teams")
def command() -> None:
    """Make and change teams in the store: limits and a budget that several keys share.

    Example: gateway teams create search --budget '{usd: 500, per: month}'
    """


@command.command("create")
@config_option
@click.argument("name")
@team_options
def create(config: Path | None, name: str, note: str | None, **given: Any) -> None:
    """Make a team.

    Example: gateway teams create search --limits '{rpm: 600}'
    """
    with opened(config) as configured:
        check_name(name)
        if name in _declared(configured):
            raise click.UsageError(f"`teams:` of the configuration has a team {name!r} already")
        configured.store.teams.create(name, {n: v for n, v in given.items() if v is not None}, note or "")
        click.echo(f"{name}: created")


@command.command("list")
@config_option
@json_option
def list_teams(config: Path | None, as_json: bool) -> None:
    """List the teams of the store and of the configuration.

    Example: gateway teams list
    """
    with opened(config) as configured:
        declared = [{"name": name, "from": "configuration"} for name in sorted(_declared(configured))]
        found = [*declared, *map(_document, configured.store.teams.each())]
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        for team in found:
            settings = "  ".join(f"{member} {inline(team[member])}" for member in TEAM_MEMBERS if member in team)
            click.echo(f"{team['name']}  {team['from']}  {settings}".rstrip())


@command.command("show")
@config_option
@click.argument("name")
@json_option
def show(config: Path | None, name: str, as_json: bool) -> None:
    """Show a team of the store.

    Example: gateway teams show search
    """
    with opened(config) as configured:
        team = configured.store.teams.get(name)
        if team is None:
            where = "; `teams:` of the configuration has it" if name in _declared(configured) else ""
            raise click.UsageError(f"there is no team {name!r} in the store{where}")
        show_document(_document(team), as_json)


@command.command("set")
@config_option
@click.argument("name")
@team_options
@click.option("--unset", multiple=True, type=click.Choice([*TEAM_MEMBERS, "note"]), help="Take this away.")
def set_team(config: Path | None, name: str, unset: tuple[str, ...], **given: Any) -> None:
    """Change a team; what is not named stays.

    Example: gateway teams set search --budget '{usd: 800, per: month}'
    """
    with opened(config) as configured:
        members = {n: v for n, v in given.items() if v is not None} | dict.fromkeys(unset)
        if not members:
            raise click.UsageError("say what to change; see `gateway teams set --help`")
        configured.store.teams.change(name, members)
        click.echo(f"{name}: changed")


@command.command("remove")
@config_option
@click.argument("name")
def remove(config: Path | None, name: str) -> None:
    """Remove a team that no key is of any more.

    Example: gateway teams remove search
    """
    with opened(config) as configured:
        configured.store.teams.remove(name)
        click.echo(f"{name}: removed")


def _declared(configured: Configured) -> dict[str, TeamSettings]:
    return {team.name: team for team in configured.settings.teams if team}


def _document(team: StoredTeam) -> dict[str, Any]:
    return {"name": team.name, "from": "store", **team.document, "note": team.note, "created": shown(team.created)}
