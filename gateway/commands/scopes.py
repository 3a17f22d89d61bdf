"""Whose limits and budgets: keys and teams by name, of the configuration and of the store."""

import contextlib
import difflib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from gateway.commands import found_config
from gateway.config.settings import KeySettings, TeamSettings
from gateway.domain import Allowance, Principal
from gateway.loading import Gateway, load
from gateway.services import Services
from gateway.state import State, StateAway
from gateway.store import StoreAway, open_store
from gateway.store.documents import read_key, read_team

team_option = click.option("--team", "teams", multiple=True, metavar="NAME", help="A team's; may come again.")


@dataclass(slots=True)
class Scope:
    """One allowance, and the keys' settings that decide which models its calls may use (a team's: none)."""

    allowance: Allowance
    rights: Principal = field(default_factory=lambda: Principal(""))


@contextlib.contextmanager
def shared_state(gateway: Gateway) -> Iterator[State]:
    """The state that the workers of this configuration share; one that is away ends the command."""
    url = gateway.settings.state_url or ""
    if url.startswith("memory:"):
        raise click.UsageError("state: memory:// is each worker's own: nothing of it can be seen from here")
    services = Services(gateway.path, gateway.settings.state_url, shared=True)
    try:
        yield services.state
    except StateAway as error:
        raise click.ClickException(str(error)) from None
    finally:
        services.end()


def found_scopes(config: Path | None, keys: Iterable[str], teams: Iterable[str]) -> tuple[Gateway, list[Scope]]:
    """The scopes of the *keys* (their teams' included) and *teams* named; of all, if none is. Raises
    click.UsageError for a name that is not known."""
    gateway = load(found_config(config))
    with opened_store(gateway) as store:
        directory = _Directory(gateway, store)
        if not keys and not teams:
            return gateway, [*directory.all_keys(), *directory.all_teams()]
        found: dict[str, Scope] = {}
        for name in keys:
            for scope in directory.key(name):
                found.setdefault(scope.allowance.scope, scope)
        for name in teams:
            for scope in directory.team(name):
                found.setdefault(scope.allowance.scope, scope)
        return gateway, list(found.values())


class _Directory:
    """Keys and teams of the configuration, which come first, and of the *store* (or None)."""

    def __init__(self, gateway: Gateway, store: Any):
        self._keys = {key.name: key for key in gateway.settings.keys}
        self._teams = {team.name: team for team in gateway.settings.teams}
        self._store = store

    def key(self, name: str) -> list[Scope]:
        settings = self._keys.get(name)
        if settings is None:
            stored = self._store.keys.get(name) if self._store is not None else None
            if stored is None:
                raise click.UsageError(f"no key is called {name!r}{_near(name, self._keys)}")
            settings = _settings(stored)
        principal = Principal.of(settings, self._team(settings.team) if settings.team else None)
        return [Scope(allowance, principal) for allowance in principal.allowances]

    def team(self, name: str) -> list[Scope]:
        team = self._team(name)
        if team is None:
            raise click.UsageError(f"no team is called {name!r}{_near(name, self._teams)}")
        return _of_team(team)

    def all_keys(self) -> Iterator[Scope]:
        stored = self._store.keys.each() if self._store is not None else ()
        further = (_settings(key) for key in stored if key.name not in self._keys)
        for settings in (*self._keys.values(), *further):
            principal = Principal.of(settings)
            yield from (Scope(allowance, principal) for allowance in principal.allowances)

    def all_teams(self) -> Iterator[Scope]:
        stored = self._store.teams.each() if self._store is not None else ()
        further = (read_team(team.name, team.document) for team in stored if team.name not in self._teams)
        for team in (*self._teams.values(), *further):
            yield from _of_team(team)

    def _team(self, name: str) -> TeamSettings | None:
        if name in self._teams or self._store is None:
            return self._teams.get(name)
        stored = self._store.teams.get(name)
        return None if stored is None else read_team(name, stored.document)


@contextlib.contextmanager
def opened_store(gateway: Gateway) -> Iterator[Any]:
    """The store of a configuration, None if it names none; one that is away ends the command."""
    if not gateway.settings.store:
        yield None
        return
    store = open_store(gateway.settings.store_url, gateway.path.resolve().parent)
    try:
        yield store
    except StoreAway as error:
        raise click.ClickException(error.reason) from None
    finally:
        store.close()


def _settings(stored: Any) -> KeySettings:
    return read_key(stored.name, stored.owner, stored.team, stored.expires, stored.document)


def _of_team(team: TeamSettings) -> list[Scope]:
    allowance = Allowance(f"team:{team.name}", team.limits, team.budget)
    return [Scope(allowance)] if team.limits or team.budget else []


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def moment(seconds: float | None) -> str:
    """Seconds since 1970 as ``2026-12-01 00:00 UTC``; ``never`` for None."""
    return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
