"""``python -m benchmarks.accounts``: what keys, limits, a budget and the ledger cost, beside a plain gateway."""

import click

from benchmarks.pairs import in_turns, servers, table

_CHANNEL = """
channels:
  - {name: whole, provider: openai-compatible, base_url: "http://127.0.0.1:$static", key: up, models: [whole]}
  - {name: streams, provider: openai-compatible, base_url: "http://127.0.0.1:$mock", key: up, models: ["mock-*"]}
"""
_PLAIN = _CHANNEL + "keys: [{name: benchmark, key: $key}]\n"
_LIMITS = "limits: {rpm: 10000000, tpm: 1000000000, concurrency: 1000}"
CONFIGURATIONS = {
    "plain": _PLAIN,
    "limits": _CHANNEL + f"keys: [{{name: benchmark, key: $key, {_LIMITS}}}]\n",
    "ledger": _PLAIN + "store: sqlite:///ledger.db\n",
    "all": _CHANNEL
    + f"keys: [{{name: benchmark, key: $key, {_LIMITS}, budget: {{tokens: 1000000000000, per: month}}}}]\n"
    + "store: sqlite:///ledger.db\n",
}


@click.command()
@click.option("--rounds", default=6, show_default=True)
@click.option("--seconds", default=3, show_default=True)
def main(rounds: int, seconds: int) -> None:
    """Target: with all of it at least 75 % of the plain gateway's calls, and at most 0.3 ms more until a
    stream's first event. Where the machine is busy with other things, the CPU time of a call tells more than
    the calls a second."""
    with servers(CONFIGURATIONS) as started:
        click.echo("\n".join(table(in_turns(started, rounds, seconds), "plain")))


if __name__ == "__main__":
    main()
