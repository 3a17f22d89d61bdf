"""``gateway budget``"""

import fnmatch
import importlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from gateway.allowances.needs import worst_micro_usd
from gateway.allowances.plans import (
    CALLS,
    TOKENS,
    USD,
    Meter,
    amount_text,
    budgets_of,
    limits_of,
    period_start,
    scope_text,
)
from gateway.commands import config_option
from gateway.commands.scopes import Scope, found_scopes, moment, opened_store, shared_state, team_option
from gateway.domain import Allowance, Channel, Principal
from gateway.loading import Gateway
from gateway.price_file import read_price_file
from gateway.prices import SHIPPED
from gateway.state import State


@dataclass(frozen=True, slots=True)
class Longest:
    """Tokens that the longest call may read (where no channel's ``context`` says it) and write."""

    read: int
    written: int


@click.group("budget")
def command() -> None:
    """Show and correct what keys and teams have spent of their budgets.

    Example: gateway budget show alice
    """


@command.command("show")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@team_option
@config_option
@click.option("--longest-input", default=1_000_000, show_default=True, help="Tokens; where channels have no `context`.")
@click.option("--longest-output", default=128_000, show_default=True, help="Tokens that one call may write.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON document; money in micro-USD.")
def show(
    keys: tuple[str, ...], teams: tuple[str, ...], config: Path | None, longest_input: int, longest_output: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Show what is spent, reserved for calls under way, and left; and by how much a budget can be overshot at
    most. A KEY's team is shown with it; without any name, all that have budgets are shown.

    Example: gateway budget show alice
    """
    gateway, scopes = found_scopes(config, keys, teams)
    longest = Longest(longest_input, longest_output)
    with shared_state(gateway) as state:
        rows = [row for scope in scopes for row in _rows(gateway, state, scope, longest, time.time())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("no budgets")
    for row in rows:
        click.echo("\n".join(_lines(row)))


@command.command("set")
@click.argument("name")
@click.argument("amount")
@config_option
@click.option("--team", "is_team", is_flag=True, help="NAME is a team's.")
@click.option("--in", "measure", type=click.Choice([USD, TOKENS]), help="Which, for one that has two budgets.")
def correct(name: str, amount: str, config: Path | None, is_team: bool, measure: str | None) -> None:
    """Say that AMOUNT is what key NAME has spent of its budget in this period: US dollars, or tokens. What is
    reserved for calls under way comes on top of it.

    Example: gateway budget set alice 12.50
    """
    gateway, scopes = found_scopes(config, () if is_team else (name,), (name,) if is_team else ())
    kind = f"{'team' if is_team else 'key'}:{name}"
    meters = [m for scope in scopes if scope.allowance.scope == kind for m in budgets_of(scope.allowance)]
    meters = [meter for meter in meters if measure in (None, meter.measure)]
    if len(meters) != 1:
        unit = f" in {measure}" if measure else ""
        what = f"has no budget{unit}" if not meters else "has two budgets: say --in usd or --in tokens"
        raise click.UsageError(f"{scope_text(kind)} {what}")
    spent = _amount(amount, meters[0].measure)
    allowance = next(scope.allowance for scope in scopes if scope.allowance.scope == kind)
    with shared_state(gateway) as state:
        _put(state, allowance, meters[0], spent)


@command.command("recount")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@team_option
@config_option
def recount(keys: tuple[str, ...], teams: tuple[str, ...], config: Path | None) -> None:
    """Count anew from the ledger what is spent in this period, as after the loss of the shared state. A KEY's team
    is counted with it; without any name, all that have budgets are counted.

    Example: gateway budget recount
    """
    gateway, scopes = found_scopes(config, keys, teams)
    if not gateway.settings.store:
        raise click.UsageError("there is no ledger to count from: the configuration has no `store:`")
    with opened_store(gateway) as store, shared_state(gateway) as state:
        for scope in scopes:
            for meter in budgets_of(scope.allowance):
                spent, unknown = _from_ledger(store, meter)
                _put(state, scope.allowance, meter, spent)
                if unknown:
                    click.echo(f"  {unknown} calls are not in it: nobody knows what they used")


def _from_ledger(store: Any, meter: Meter) -> tuple[int, int]:
    """(spent in this period, how many of its calls came to an amount that is not known)."""
    # Not at the top: without a store there may be no SQLAlchemy.
    reports = importlib.import_module("gateway.ledger.reports")
    since = period_start(meter.per, time.time())
    kind, _, name = meter.scope.partition(":")
    span = reports.Span(None if since is None else int(since) * 1_000_000)
    rows = reports.consumption(store, reports.Question((), span, {kind: [name]}))
    columns, unknown = (("cost",), "unpriced") if meter.measure == USD else (("input", "output"), "unmetered")
    return sum(row[column] for row in rows for column in columns), sum(row[unknown] for row in rows)


def _put(state: State, allowance: Allowance, meter: Meter, spent: int) -> None:
    """*spent* becomes what is spent; what is reserved for calls under way comes on top of it."""
    now = time.time()
    purse, note = meter.purse(now), meter.reserved(now)
    calls, reserved = state.levels([_slots(allowance), note])
    held = reserved.used
    if not calls.used and held:  # by a worker that died: nobody will ever give it back
        state.spend(note.name, 0, note.seconds)
        held = 0
    state.spend(purse.name, spent + held, purse.seconds)
    click.echo(f"{scope_text(meter.scope)}: {amount_text(meter.measure, spent)} spent of {meter}")


def _amount(text: str, measure: str) -> int:
    try:
        value = Decimal(text) * (1_000_000 if measure == USD else 1)
        if not 0 <= value < 2**53 or value != value.to_integral_value():
            raise InvalidOperation
    except InvalidOperation:
        expected = "US dollars with at most six decimals" if measure == USD else "a whole number of tokens"
        raise click.BadParameter(f"expected {expected}, found {text!r}", param_hint="AMOUNT") from None
    return int(value)


def _slots(allowance: Allowance) -> Any:
    """What counts the calls under way of an allowance with a budget: there is always something."""
    return next(m.fixed for m in limits_of(allowance) if m.measure == CALLS and not m.observe)


def _rows(gateway: Gateway, state: State, scope: Scope, longest: Longest, now: float) -> Iterator[dict[str, Any]]:
    for meter in budgets_of(scope.allowance):
        used, reserved, calls = state.levels([meter.purse(now), meter.reserved(now), _slots(scope.allowance)])
        worst, attempts = _worst_attempt(gateway, scope.rights, meter, longest), _most_attempts(gateway, scope.rights)
        worst_call, at_once = None if worst is None else worst * attempts, calls.claim.most
        yield {
            "scope": meter.scope, "measure": meter.measure, "per": meter.per, "budget": meter.most,
            "spent": used.used - reserved.used, "reserved": reserved.used, "left": used.left,
            "resets": meter.resets(now), "observed": meter.observe, "calls": calls.used, "calls_at_once": at_once,
            "worst_attempt": worst, "attempts": attempts, "worst_call": worst_call,
            "overshoot": None if meter.observe or worst_call is None else worst_call * at_once,
            "overshoot_now": None if meter.observe or worst_call is None else worst_call * calls.used,
        }  # fmt: skip


def _worst_attempt(gateway: Gateway, rights: Principal, meter: Meter, longest: Longest) -> int | None:
    """The most that one attempt can come to, in the measure of *meter*; None where no price is known."""
    served = list(_served(gateway, rights))
    if meter.measure == TOKENS:
        reads = [channel.context(model) or longest.read for channel, model in served]
        return max(reads, default=longest.read) + longest.written
    prices, at = gateway.services.prices, datetime.now(UTC)
    costs = [
        worst_micro_usd(channel, model, channel.context(model) or longest.read, longest.written, prices, at)
        for channel, model in served
    ]
    return max((cost for cost in costs if cost is not None), default=None)


def _most_attempts(gateway: Gateway, rights: Principal) -> int:
    """How often one call may be tried, and billed each time: with each key of each channel and model that may
    serve it (clients may name several models), but no more often than `retries` lets it."""
    most = gateway.settings.routing.retries + 1
    names = [entry for channel in _allowed(gateway, rights) for entry in channel.models]
    patterns = [public for public, upstream in names if _is_pattern(public, upstream)]
    if any(not rights.models or any(_may_meet(name, model) for model in rights.models) for name in patterns):
        return most  # it stands for any number of models
    turns = {(channel.name, model): len(set(channel.keys)) or 1 for channel, model in _served(gateway, rights)}
    return min(most, sum(turns.values())) or 1


def _is_pattern(public: str, upstream: str) -> bool:
    return not upstream and bool(set(public) & set("*?["))


def _allowed(gateway: Gateway, rights: Principal) -> Iterator[Channel]:
    for channel in gateway.channels:
        if channel.settings.enabled and set(rights.tags) <= set(channel.settings.tags):
            yield channel


def _served(gateway: Gateway, rights: Principal) -> Iterator[tuple[Channel, str]]:
    """Every channel and model there that a call may be served by; of a glob, what has a price."""
    routed = {
        tuple(entry.partition("/")[::2])
        for public, entries in gateway.settings.routes.items()
        for entry in entries
        if rights.may_use(public)
    }
    for channel in _allowed(gateway, rights):
        priced = _priced(gateway, channel)
        yield from ((channel, model) for name, model in routed if name == channel.name)
        for public, upstream in channel.models:
            if not _is_pattern(public, upstream):
                if rights.may_use(public):
                    yield channel, upstream or public
                continue
            # A pattern of the price list stands for names of its form.
            for name in priced:
                if _may_meet(name, public) and (rights.may_use(name) or any(_may_meet(name, m) for m in rights.models)):
                    yield channel, name


def _may_meet(one: str, other: str) -> bool:
    """Whether a name can fit both patterns; never False where one can."""
    return fnmatch.fnmatchcase(one, other) or fnmatch.fnmatchcase(other, one) or ("*" in one and "*" in other)


def _priced(gateway: Gateway, channel: Channel) -> set[str]:
    own = gateway.settings.prices
    files = [read_price_file(path) for path in (SHIPPED, *([gateway.path.parent / own] if own else []))]
    return {
        model
        for file in files
        for section, owner in ((file.channels, channel.name), (file.providers, channel.provider.name))
        for model in section.get(owner, {})
    }


def _lines(row: dict[str, Any]) -> Iterator[str]:
    def said(amount: int) -> str:
        return amount_text(row["measure"], amount)

    every = "in total" if row["per"] == "total" else f"a {row['per']}"
    observed = ", observed only" if row["observed"] else ""
    yield f"{scope_text(row['scope'])}: {said(row['budget'])} {every}, resets {moment(row['resets'])}{observed}"
    yield f"  spent {said(row['spent'])}, reserved {said(row['reserved'])}, left {said(row['left'])}"
    calls = f"{row['calls']} calls under way, at most {row['calls_at_once']} at once"
    if row["observed"]:
        yield f"  {calls}; nothing is refused"
    elif row["worst_call"] is None:
        yield f"  {calls}; no model of its has a price: none can be called"
    else:
        tried = f" with {row['attempts']} attempts" if row["attempts"] > 1 else ""
        yield f"  {calls}, each at most {said(row['worst_call'])}{tried}"
        yield f"  overshoot at most {said(row['overshoot'])} ({said(row['overshoot_now'])} by those under way)"
