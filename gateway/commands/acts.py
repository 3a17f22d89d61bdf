"""``gateway acts``"""

import json
from pathlib import Path
from typing import Any

import click

from gateway.acts.writing import place
from gateway.commands import config_option, found_config
from gateway.policies import ChainBroken, verify_files


@click.group("acts")
def command() -> None:
    """Show who changed keys, teams, budgets or channels, and when.

    Example: gateway acts show
    """


@command.command("show")
@config_option
@click.option("--json", "as_json", is_flag=True, help="The lines as they are.")
def show(config: Path | None, as_json: bool) -> None:
    """Show the acts, oldest first.

    Example: gateway acts show --json
    """
    path = place(found_config(config))
    if not path.exists():
        click.echo("nothing has been done yet")
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        if as_json:
            click.echo(line)
        elif (entry := json.loads(line))["event"] != "begun":
            click.echo(_words(entry))


@command.command("verify")
@config_option
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--passes", default="", metavar="HASH", help="A hash noted earlier, which the chain must hold.")
def verify(config: Path | None, file: Path | None, passes: str) -> None:
    """Check that nothing was changed, taken out or put in. Ends with 1 when the chain is broken.

    Example: gateway acts verify
    """
    path = file or place(found_config(config))
    if not path.exists():
        click.echo("nothing has been done yet")
        return
    try:
        found = verify_files([path], b"", passes.lower())
    except ChainBroken as error:
        click.echo(f"broken: {error}", err=True)
        raise SystemExit(1) from None
    click.echo(f"unbroken: {found.lines} lines, last {found.last}")


def _words(entry: dict[str, Any]) -> str:
    if "act" not in entry:
        return f"{entry['at']} {entry['event']}"
    who = entry["user"] + "".join(f" ({name} {entry[key]})" for key, name in _ALSO.items() if key in entry)
    return f"{entry['at']} {who}: {entry['act']} {' '.join(entry['words'])} [{entry['event']}]"


_ALSO = {"sudo_user": "for", "as": "as"}
