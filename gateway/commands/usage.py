"""``gateway usage``"""

import csv
import io
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option, found_config
from gateway.ledger.options import read_configured
from gateway.ledger.reports import DIMENSIONS, Question, Span, consumption, tail
from gateway.store import StoreAway, clock, open_store

_AGO = re.compile(r"(\d+)([dhm])")
_TOKENS = ("input", "output", "cached", "cache_write", "reasoning")  # in a table; csv and json have all kinds
_POLL = 0.5
_LATE = 20 * 10**6  # microseconds after its end by which a call is surely in the store


class Since(click.ParamType):
    """A date, a time, or how long ago: ``2026-11-01``, ``7d`` (whole days, UTC), ``12h``, ``30m``."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        ago = _AGO.fullmatch(value)
        try:
            if ago is None:
                moment = datetime.fromisoformat(value)
                return clock.micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
            now = datetime.now(UTC)
            if ago[2] == "d":
                now = now.replace(hour=0, minute=0, second=0, microsecond=0)
            span = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}[ago[2]]
            return clock.micros(now - int(ago[1]) * span)
        except (ValueError, OverflowError):
            self.fail(f"expected a date, a time, or how long ago (7d, 12h, 30m), found {value!r}", param, ctx)


class Names(click.ParamType):
    """Words parted by commas, each one of *choices*."""

    name = "names"

    def __init__(self, choices: Sequence[str]):
        self._choices = tuple(choices)

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        for name in names:
            if name not in self._choices:
                self.fail(f"{name!r} is none of {', '.join(self._choices)}", param, ctx)
        return names


def filters(command: Any) -> Any:
    """--key, --team, ...: only the calls that have one of the values."""
    for name in reversed([name for name in DIMENSIONS if name != "day"]):
        command = click.option(f"--{name}", multiple=True, help=f"Only this {name}; may come again.")(command)
    return command


def only(given: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """What *filters* got, without what was not given."""
    return {name: values for name, values in given.items() if values}


@click.group("usage", invoke_without_command=True)
@config_option
@click.option("--by", type=Names(tuple(DIMENSIONS)), default="key,model", show_default=True, help=", ".join(DIMENSIONS))
@click.option("--since", type=Since(), help="2026-11-01, or how long ago: 7d (whole days, UTC), 12h, 30m.")
@click.option("--until", type=Since(), help="The same; the span ends before it.")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "csv", "json"]))
@filters
@click.pass_context
def command(
    ctx: click.Context, config: Path | None, by: tuple[str, ...], since: int | None, until: int | None, form: str,
    **given: tuple[str, ...],
) -> None:  # fmt: skip
    """Sum up calls, tokens and cost from the ledger.

    Costs that are not known are in no sum; `unpriced` says how many calls those are. `unmetered` calls
    may have used tokens that nobody counted.

    Example: gateway usage --by key,model --since 7d
    """
    ctx.obj = found_config(config)
    if ctx.invoked_subcommand is not None:
        return
    store = open_configured(ctx.obj)
    rows = asked(lambda: consumption(store, Question(by, Span(since, until), only(given))))
    if form == "json":
        click.echo(json.dumps([_priced(row) for row in rows], indent=2, default=str))
    elif form == "csv":
        click.echo(_csv([_priced(row) for row in rows], by), nl=False)
    else:
        click.echo("\n".join(table(by, rows)))


def open_configured(config: Path) -> Any:
    """The store that the file *config* names. Raises ConfigError."""
    configured = read_configured(config)
    return open_store(configured.store.reveal(), configured.folder)


def asked(question: Any) -> Any:
    """What *question* gives; a store that is away becomes a message and exit code 1."""
    try:
        return question()
    except StoreAway as error:
        raise click.ClickException(error.reason) from None


def usd(micro: int) -> str:
    """Micro-USD as dollars, exactly: ``12.345678``."""
    return f"{'-' if micro < 0 else ''}{abs(micro) // 10**6}.{abs(micro) % 10**6:06}"


def _priced(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"cost_usd" if name == "cost" else name: usd(v) if name == "cost" else v for name, v in row.items()}


def _csv(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        # A spreadsheet would carry out what begins like a formula, and clients name models.
        writer.writerows({name: _tame(v) if name in by else v for name, v in row.items()} for row in rows)
    return text.getvalue()


def _tame(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def table(by: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines: a heading, a row each, the sums of all, and how many costs are missing in them."""
    if not rows:
        yield "no calls"
        return
    counts = ("calls", "errors", *_TOKENS)
    sums = {name: sum(row[name] for row in rows) for name in (*counts, "cost", "unpriced", "unmetered")}
    lines = [[*by, *counts, "usd", "unpriced"]]
    named = [([row[name] or "-" for name in by], row) for row in rows]
    if by:
        named.append((["all", *[""] * (len(by) - 1)], sums))
    for names, row in named:
        unpriced = f"{row['unpriced']:,}" if row["unpriced"] else ""
        lines.append([*names, *(f"{row[name]:,}" for name in counts), _money(row), unpriced])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        left = [text.ljust(width) for text, width in zip(line[: len(by)], widths, strict=False)]
        right = [text.rjust(width) for text, width in zip(line[len(by) :], widths[len(by) :], strict=False)]
        yield "  ".join([*left, *right]).rstrip()
    if sums["unpriced"]:
        yield f"the cost of {sums['unpriced']:,} of {sums['calls']:,} calls is not known, and in no sum"
    if sums["unmetered"]:
        yield f"the tokens of {sums['unmetered']:,} of {sums['calls']:,} calls are not known, and in no sum"


def _money(row: Mapping[str, Any]) -> str:
    """What is known to have been spent; a sum of nothing known is no 0."""
    return "unknown" if row["unpriced"] and row["unpriced"] == row["calls"] else usd(row["cost"])


@command.command("tail")
@click.option("--json", "as_json", is_flag=True, help="A JSON document a line.")
@click.option("--since", type=Since(), help="Begin with calls that ended then; not given: now.")
@filters
@click.pass_obj
def follow(config: Path, as_json: bool, since: int | None, **given: tuple[str, ...]) -> None:
    """Show calls as they come into the ledger, until it is interrupted.

    Example: gateway usage tail --key alice
    """
    store = open_configured(config)
    seen: set[str] = set()
    after = _lately() if since is None else since
    if since is None:  # what is there already is no news
        asked(partial(tail, store, after, seen, only(given)))
    while True:
        for row in asked(partial(tail, store, after, seen, only(given))):
            click.echo(json.dumps(row) if as_json else _line(row))
        after = _lately()
        time.sleep(_POLL)


def _lately() -> int:
    return clock.now() - _LATE


def _line(row: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(row["at"] / 1e6, UTC).strftime("%H:%M:%S")
    tokens = "/".join("?" if row[name] is None else str(row[name]) for name in ("input", "output"))
    cost = "?" if row["cost"] is None else usd(row["cost"])
    where = f"{row['channel'] or '-'}/{row['upstream_model'] or '-'}"
    error = f" {row['error']}" if row["error"] else ""
    return (
        f"{at} {row['key']} {row['public_model'] or '-'} {where} {row['status']} {row['outcome']}{error}"
        f" tokens={tokens} usd={cost} {row['total'] / 1e6:.3f}s {row['request_id']}"
    )
