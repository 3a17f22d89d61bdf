"""``python -m benchmarks.run``: see README.md."""

import json
import tempfile
from pathlib import Path

import click

from benchmarks import table
from benchmarks.measures import FULL, MEASURES, QUICK, Plan, summary
from benchmarks.servers import CannotStart, Server, running


@click.command()
@click.option("--litellm", is_flag=True, help="Measure LiteLLM too (installs it into benchmarks/.venv-litellm).")
@click.option("--quick", is_flag=True, help="One short round: to see that it works, not to judge by.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASURES)), help="This measure only; may be repeated.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all figures of all rounds here.")
def main(litellm: bool, quick: bool, only: tuple[str, ...], file: Path | None) -> None:
    """Measure the gateway beside nginx (and LiteLLM) under the same load, in turns, in one run.

    Example: python -m benchmarks.run --litellm --json figures.json
    """
    plan = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        Path(folder).chmod(0o755)  # nginx's workers run as another user
        try:
            with running(Path(folder), litellm) as servers:
                rounds = _measure(servers, plan, only or tuple(MEASURES))
        except CannotStart as error:
            raise click.ClickException(str(error)) from None
    results = {name: {server: summary(each) for server, each in by.items()} for name, by in rounds.items()}
    table.added_latency(results)
    click.echo("\n".join(table.lines(results)))
    if file is not None:
        file.write_text(json.dumps({"figures": results, "rounds": rounds}, indent=1) + "\n")


def _measure(servers: dict[str, Server], plan: Plan, names: tuple[str, ...]) -> dict:
    """measure -> server -> the figures of each round. The servers take turns inside a round, so
    that whatever else this machine does meets all of them."""
    found: dict = {}
    for name in MEASURES:
        if name not in names:
            continue
        measure = MEASURES[name]
        for number in range(plan.rounds):
            for server in measure.on:
                if server in servers:
                    click.echo(f"\r{name}, round {number + 1} of {plan.rounds}: {server:10}", err=True, nl=False)
                    found.setdefault(name, {}).setdefault(server, []).append(measure.run(servers[server], plan))
    click.echo("\r" + " " * 60 + "\r", err=True, nl=False)
    return found


if __name__ == "__main__":
    main()
