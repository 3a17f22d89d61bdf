"""``gateway ledger``"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option, found_config
from gateway.commands.usage import asked, open_configured
from gateway.ledger.bookkeeper import REJECTED
from gateway.ledger.options import read_configured
from gateway.ledger.reconcile import AMOUNTS, Columns, Line, Unreadable, compare, read_invoice
from gateway.ledger.reports import Span, by_day_and_model, newest
from gateway.ledger.spool import is_alive, segments, size_of, workers
from gateway.ledger.starting import is_kept
from gateway.store import StoreAway, clock


@click.group("ledger")
@config_option
@click.pass_context
def command(ctx: click.Context, config: Path | None) -> None:
    """Look after the account of all calls.

    Example: gateway ledger status
    """
    ctx.obj = found_config(config)


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@click.pass_obj
def status(config: Path, as_json: bool) -> None:
    """Say what waits in the spool, since when, and what came into the ledger last.

    Exit code 1 if the store is away, or lines wait and nobody carries them on.
    """
    configured = read_configured(config)
    found = spool_status(configured.spool)
    try:
        last = newest(open_configured(config))
        found |= {"store": "there", "last_call": last and _moment(last["at"])}
    except StoreAway as error:
        found |= {"store": error.reason, "last_call": None}
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(f"{n}: {_word(v)}" for n, v in found.items()))
    if found["store"] != "there" or (found["bytes"] and not found["bookkeeper"]):
        click.get_current_context().exit(1)


def spool_status(spool: Path) -> dict[str, Any]:
    """What there is in the folder: sizes in bytes, ages in seconds."""
    folders = workers(spool)
    alive = [folder for folder in folders if is_alive(folder)]
    files = [path for folder in folders for path in segments(folder)]
    rejected = spool / REJECTED
    return {
        "spool": str(spool),
        "bookkeeper": is_kept(spool),
        "workers": len(alive),
        "dead_workers": len(folders) - len(alive),
        "files": len(files),
        "bytes": size_of(spool),
        "oldest_seconds": max((_age(path) for path in files if path.exists()), default=None),
        "rejected_rows": len(rejected.read_text().splitlines()) if rejected.exists() else 0,
    }


def _age(path: Path) -> float:
    return round(max(0.0, time.time() - path.stat().st_ctime), 1)


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


@command.command("reconcile")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--date", default="date", show_default=True, help="Column of the day (UTC).")
@click.option("--date-format", default="", help="Its form, for strptime; not given: ISO or seconds since 1970.")
@click.option("--model", default="model", show_default=True, help="Column of the model.")
@click.option("--input", "input_", multiple=True, help="Column of tokens read, cached included; several add up.")
@click.option("--output", multiple=True, help="Column of tokens written; several add up.")
@click.option("--cost", multiple=True, help="Column of the cost in US dollars; several add up.")
@click.option("--same", multiple=True, metavar="THEIRS=OURS", help="What the ledger calls a model of the invoice.")
@click.option("--provider", multiple=True, help="Only the calls of this provider; may come again.")
@click.option("--channel", multiple=True, help="Only the calls of this channel; may come again.")
@click.option("--tolerance", default="0", show_default=True, help="Most that amounts may differ, in %.")
@click.option("--all", "everything", is_flag=True, help="Also print what agrees.")
@click.pass_obj
def reconcile(config: Path, file: Path, tolerance: str, everything: bool, same: tuple[str, ...], **given: Any) -> None:
    """Compare a vendor's invoice export (CSV) with the ledger, by day and model.

    Exit code 1 if they differ by more than the tolerance, 2 if the export cannot be read.

    Example: gateway ledger reconcile openai.csv --provider openai --input input_tokens --output output_tokens
    """
    columns = Columns(given["date"], given["model"], given["input_"], given["output"], given["cost"],
                      given["date_format"])  # fmt: skip
    if not columns.amounts:
        raise click.UsageError("name at least one of --input, --output and --cost")
    most = _percent(tolerance)
    try:
        invoice = read_invoice(file, columns)
    except Unreadable as error:
        raise click.UsageError(str(error)) from None
    if not invoice:
        raise click.UsageError(f"{file}: there is no line with a model")
    only = {name: given[name] for name in ("provider", "channel") if given[name]}
    store = open_configured(config)
    ledger = asked(lambda: by_day_and_model(store, _span(day for day, _ in invoice), only))
    lines = compare(invoice, ledger, _pairs(same))
    differing = [line for line in lines if any(line.apart(name) > most for name in columns.amounts)]
    for line in lines if everything else differing:
        click.echo("\n".join(_said(line, [name for name in AMOUNTS if name in columns.amounts], most)))
    click.echo(f"{len(lines)} lines, {len(differing)} of them differ by more than {tolerance.rstrip('%')} %")
    if differing:
        click.get_current_context().exit(1)


def _percent(text: str) -> Decimal:
    plain = text.strip().rstrip("%").strip()
    if not plain.replace(".", "", 1).isdecimal():
        raise click.BadParameter(f"expected per cent, such as 0.5, found {text!r}", param_hint="--tolerance")
    return Decimal(plain) / 100


def _pairs(same: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in same)
    if not all(pairs.values()):
        raise click.BadParameter("expected THEIRS=OURS", param_hint="--same")
    return pairs


def _span(days: Iterator[str]) -> Span:
    """From the first to the last of *days*, both included."""
    known = sorted(days)
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (known[0], known[-1]))
    return Span(clock.micros(first), clock.micros(last + timedelta(days=1)))


def _said(line: Line, amounts: list[str], most: Decimal) -> Iterator[str]:
    """A line for each amount: theirs, ours, the difference."""
    for name in amounts:
        theirs, ours = line.invoice.get(name), line.ledger.get(name)
        mark = "!" if line.apart(name) > most else " "
        apart = (ours or Decimal(0)) - (theirs or Decimal(0))
        shown = "  ".join(f"{what} {_amount(value)}" for what, value in (("invoice", theirs), ("ledger", ours)))
        yield f"{mark} {line.day}  {line.model}  {name}  {shown}  {apart:+f} ({line.apart(name) * 100:.2f} %)"
    if line.unknown:
        yield f"    of {line.calls} calls {line.unknown} have tokens or a cost that the ledger does not know"


def _amount(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:f}"
