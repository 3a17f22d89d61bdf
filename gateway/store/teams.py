"""Teams: what several keys use together."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from gateway.errors import ConfigError
from gateway.store import changes, clock
from gateway.store.documents import TEAM_MEMBERS, read_team, written
from gateway.store.tables import keys, teams


class TeamRefused(ConfigError):
    """What was asked about a team cannot be done; the complaints say why."""


@dataclass(frozen=True, slots=True)
class StoredTeam:
    """A team as the store has it. ``document`` is its settings in the form of gateway.yaml; ``created``
    is in microseconds."""

    name: str
    document: dict[str, Any]
    note: str
    created: int


class Teams:
    """The teams of a store. What is changed takes effect on all workers within a second."""

    def __init__(self, store: Any):
        self._store = store

    def get(self, name: str) -> StoredTeam | None:
        with self._store.read() as connection:
            row = connection.execute(select(teams).where(teams.c.name == name)).one_or_none()
        return row and _stored(row)

    def each(self) -> list[StoredTeam]:
        with self._store.read() as connection:
            rows = connection.execute(select(teams).order_by(teams.c.name)).all()
        return [_stored(row) for row in rows]

    def create(self, name: str, document: Mapping[str, Any], note: str) -> None:
        """Raises TeamRefused when there is one of that name, ConfigError when *document* is wrong."""
        read_team(name, dict(document))
        row = {"name": name, "settings": written(document), "note": note, "created": clock.now()}
        self._store.change(lambda connection: _create(connection, row))

    def change(self, name: str, members: Mapping[str, Any]) -> None:
        """Set *members* (limits, budget, note); None takes one away. Raises TeamRefused and ConfigError."""
        with self._store.begin() as connection:
            team = _existing(connection, name)
            document = {**team.document, **{m: value for m, value in members.items() if m in TEAM_MEMBERS}}
            document = {member: value for member, value in document.items() if value is not None}
            read_team(name, document)
            values = {"settings": written(document), "note": members.get("note", team.note) or ""}
            connection.execute(update(teams).where(teams.c.name == name).values(values))
            changes.note(connection, "team", [name])

    def remove(self, name: str) -> None:
        """Raises TeamRefused when there is none, and while keys that live name it: they would lose
        their limits."""
        with self._store.begin() as connection:
            _existing(connection, name)
            using = select(keys.c.name).where(keys.c.team == name, keys.c.revoked.is_(None))
            names = list(connection.execute(using.order_by(keys.c.name).limit(6)).scalars())
            if names:
                shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                raise TeamRefused([f"the team {name!r} has keys: {shown}; give them another one first"])
            connection.execute(delete(teams).where(teams.c.name == name))
            changes.note(connection, "team", [name])


def _create(connection: Connection, row: Mapping[str, Any]) -> None:
    name = row["name"]
    if _row(connection, name) is not None:
        raise TeamRefused([f"the team {name!r} exists"])
    connection.execute(insert(teams).values(row))
    changes.note(connection, "team", [name])


def _row(connection: Connection, name: str) -> Any:
    return connection.execute(select(teams).where(teams.c.name == name).with_for_update()).one_or_none()


def _existing(connection: Connection, name: str) -> StoredTeam:
    row = _row(connection, name)
    if row is None:
        raise TeamRefused([f"there is no team {name!r} in the store"])
    return _stored(row)


def _stored(row: Any) -> StoredTeam:
    return StoredTeam(row.name, json.loads(row.settings), row.note, row.created)
