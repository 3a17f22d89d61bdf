"""Whose call ``gateway explain`` is about: a key of the configuration or of the store, and what its limits leave."""

import difflib
import time
from dataclasses import dataclass
from typing import Any

import click

from gateway.allowances.plans import plan_of
from gateway.commands.scopes import opened_store
from gateway.domain import Principal
from gateway.loading import Gateway
from gateway.state import StateAway
from gateway.store.documents import read_key, read_team

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit or budget of the caller's, and how much of it is used (in the meter's own measure)."""

    text: str
    used: int
    left: int
    observed: bool = False

    def __str__(self) -> str:
        return f"{self.text}: {self.used} used, {self.left} left{' (observed only)' if self.observed else ''}"


def found_caller(gateway: Gateway, name: str) -> tuple[Principal, str]:
    """The key called *name*, and why its calls would be refused whatever they ask (it is revoked or
    expired); the configuration's go before the store's. Raises click.BadParameter for an unknown name."""
    with opened_store(gateway) as store:
        keys = {key.name: key for key in gateway.settings.keys}
        settings, state = keys.get(name), ""
        if settings is None:
            stored = store.keys.get(name) if store is not None else None
            if stored is None:
                raise click.BadParameter(f"no key is called {name!r}{_hint(name, keys, store)}", param_hint="--key")
            settings = read_key(stored.name, stored.owner, stored.team, stored.expires, stored.document)
            state = stored.state(int(time.time() * _MICRO))
        return Principal.of(settings, _team(gateway, store, settings.team)), state if state != "active" else ""


def _team(gateway: Gateway, store: Any, name: str) -> Any:
    teams = {team.name: team for team in gateway.settings.teams}
    if not name or name in teams or store is None:
        return teams.get(name)
    stored = store.teams.get(name)
    return None if stored is None else read_team(name, stored.document)


def _hint(name: str, keys: dict[str, Any], store: Any) -> str:
    known = [*keys, *(key.name for key in (store.keys.each() if store is not None else ()))]
    near = difflib.get_close_matches(name, known, 1, 0.6)
    if near:
        return f", did you mean {near[0]!r}?"
    return f"; there are: {', '.join(known[:20]) or 'none'}{', ...' if len(known) > 20 else ''}"


def bounds_of(gateway: Gateway, principal: Principal, models: tuple[str, ...]) -> list[Bound]:
    """What a call for *models* would be counted against, as the running workers have counted. Empty, with a
    warning, where that cannot be seen."""
    plan, now = plan_of(principal), time.time()
    claims = [(meter, meter.claim(0)) for meter in plan.limits_for(models)]
    claims += [(meter, meter.purse(now)) for meter in plan.budgets]
    if not claims:
        return []
    try:
        levels = gateway.services.state.levels([claim for _, claim in claims])
    except StateAway as error:
        click.echo(f"warning: {error}", err=True)
        return []
    return [
        Bound(str(meter), level.used, level.left or 0, meter.observe)
        for (meter, _), level in zip(claims, levels, strict=True)
    ]
