"""Client keys: made, changed, rotated, revoked and found by their secrets."""

import hashlib
import json
import secrets as chance
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from gateway.errors import ConfigError
from gateway.store import changes, clock
from gateway.store.documents import read_key, written
from gateway.store.tables import calls, keys, secrets, teams
from gateway.store.teams import StoredTeam

ACTIVE, EXPIRED, REVOKED = "active", "expired", "revoked"
COLUMNS = ("owner", "team", "note", "expires")  # of a key's settings
_SHOWN = 9  # characters of a secret that are kept, to know it again
_PORTION = 1000
_LONG_ENOUGH = 32  # a shorter secret would be given away by them
_FIND = (
    select(keys, secrets.c.until, teams.c.settings.label("team_settings"))
    .join_from(secrets, keys).outerjoin(teams, teams.c.name == keys.c.team)
    .where(secrets.c.digest == bindparam("digest"))
)  # fmt: skip


def digest_of(secret: str) -> str:
    """A secret as it is stored. One fast round of SHA-256 does: slow hashes, with salt, protect what
    people think of; nobody finds 240 random bits by trying, and each call would pay for the slowness."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """``gw-`` and 40 characters that need no quoting anywhere: 240 random bits."""
    return f"gw-{chance.token_urlsafe(30)}"


def prefix_of(secret: str) -> str:
    """What is kept of a secret so that its owner knows it again; nothing of a short one."""
    return secret[:_SHOWN] if len(secret) >= _LONG_ENOUGH else ""


def is_name(text: str) -> bool:
    """Whether a key may be called so: names stand in logs and on the command line."""
    return 0 < len(text) <= 128 and text.isprintable() and " " not in text


class KeyRefused(ConfigError):
    """What was asked about a key cannot be done; the complaints say why."""


@dataclass(frozen=True, slots=True)
class SecretState:
    """A secret of a key, without what would let anybody use it. Times in microseconds."""

    prefix: str
    created: int
    until: int | None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the store has it. ``document`` is its settings in the form of gateway.yaml; times are in
    microseconds; ``last_used`` is the ledger's."""

    name: str
    owner: str
    team: str
    document: dict[str, Any]
    note: str
    created: int
    expires: int | None
    revoked: int | None
    secrets: tuple[SecretState, ...] = ()
    last_used: int | None = None

    def state(self, now: int) -> str:
        if self.revoked is not None:
            return REVOKED
        return EXPIRED if self.expires is not None and self.expires <= now else ACTIVE


@dataclass(frozen=True, slots=True)
class Found:
    """What a secret's digest leads to. ``until``: the secret itself was replaced, and ends then. ``team``
    is the key's, if the store has it."""

    key: StoredKey
    until: int | None
    team: StoredTeam | None


@dataclass(slots=True)
class Wanted:
    """A key to be. ``document`` is as in StoredKey."""

    name: str
    digest: str = field(repr=False)
    prefix: str = ""
    owner: str = ""
    team: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    expires: int | None = None

    def check(self) -> None:
        """Raises ConfigError when the settings cannot be read."""
        read_key(self.name, self.owner, self.team, self.expires, self.document)

    def columns(self) -> dict[str, Any]:
        return {
            "owner": self.owner, "team": self.team, "settings": written(self.document), "note": self.note,
            "expires": self.expires,
        }  # fmt: skip


class Keys:
    """The keys of a store. What is changed takes effect on all workers within a second."""

    def __init__(self, store: Any):
        self._store = store

    def find(self, connection: Connection, digest: str) -> Found | None:
        """The key that a secret with this digest opens, revoked and expired ones included."""
        row = connection.execute(_FIND, {"digest": digest}).one_or_none()
        if row is None:
            return None
        team = None if row.team_settings is None else StoredTeam(row.team, json.loads(row.team_settings), "", 0)
        return Found(_stored(row), row.until, team)

    def get(self, name: str) -> StoredKey | None:
        with self._store.read() as connection:
            used = select(func.max(calls.c.at)).where(calls.c.key == name).scalar_subquery().label("used")
            row = connection.execute(select(keys, used).where(keys.c.name == name)).one_or_none()
            if row is None:
                return None
            query = select(secrets).where(secrets.c.key == name).order_by(secrets.c.created)
            held = [SecretState(s.prefix, s.created, s.until) for s in connection.execute(query)]
            return _stored(row, tuple(held), row.used)

    def each(self, *, team: str = "", owner: str = "", revoked: bool = False) -> Iterator[StoredKey]:
        """All keys by name, with the newest secret and the last use of each; *revoked* ones if asked."""
        held = select(secrets.c.prefix).where(secrets.c.key == keys.c.name)
        newest = held.order_by(secrets.c.created.desc()).limit(1)
        used = select(func.max(calls.c.at)).where(calls.c.key == keys.c.name)
        query = select(keys, newest.scalar_subquery().label("prefix"), used.scalar_subquery().label("used"))
        for column, value in ((keys.c.team, team), (keys.c.owner, owner)):
            query = query.where(column == value) if value else query
        query = query if revoked else query.where(keys.c.revoked.is_(None))
        last = ""
        while last is not None:  # in portions: no transaction stays open while they are printed
            with self._store.read() as connection:
                rows = connection.execute(query.where(keys.c.name > last).order_by(keys.c.name).limit(_PORTION)).all()
            yield from (_stored(row, (SecretState(row.prefix or "", row.created, None),), row.used) for row in rows)
            last = rows[-1].name if len(rows) == _PORTION else None

    def create(self, wanted: Wanted) -> None:
        """Raises KeyRefused when there is a key of that name, ConfigError when the settings are wrong."""
        wanted.check()
        self._store.change(lambda connection: _create(connection, wanted))

    def change(self, name: str, members: Mapping[str, Any]) -> None:
        """Set *members* (of the settings; or owner, team, note, expires); None takes one away. Raises
        KeyRefused, and ConfigError when the settings could not be read any more."""
        with self._store.begin() as connection:
            key = _stored(_living(connection, name))
            document = {**key.document, **{m: value for m, value in members.items() if m not in COLUMNS}}
            wanted = Wanted(
                name, "", "", members.get("owner", key.owner) or "", members.get("team", key.team) or "",
                {member: value for member, value in document.items() if value is not None},
                members.get("note", key.note) or "", members.get("expires", key.expires),
            )  # fmt: skip
            wanted.check()
            connection.execute(update(keys).where(keys.c.name == name).values(wanted.columns()))
            changes.note(connection, "key", [name])

    def rotate(self, name: str, digest: str, prefix: str, overlap: int) -> int:
        """Give the key another secret; the ones of before end in *overlap* microseconds, if not earlier.
        When they end, in microseconds. Raises KeyRefused."""
        with self._store.begin() as connection:
            _living(connection, name)
            ends = clock.now() + overlap
            later = or_(secrets.c.until.is_(None), secrets.c.until > ends)
            connection.execute(update(secrets).where(secrets.c.key == name, later).values(until=ends))
            connection.execute(insert(secrets).values(_secret(name, digest, prefix)))
            changes.note(connection, "key", [name])
            return ends

    def revoke(self, name: str) -> bool:
        """End the key for ever; whether it still lived. Raises KeyRefused when there is none."""
        with self._store.begin() as connection:
            living = and_(keys.c.name == name, keys.c.revoked.is_(None))
            ended = connection.execute(update(keys).where(living).values(revoked=clock.now())).rowcount
            if not ended and _row(connection, name) is None:
                raise KeyRefused([f"there is no key {name!r} in the store"])
            changes.note(connection, "key", [name] if ended else [])
            return bool(ended)


def _create(connection: Connection, wanted: Wanted) -> None:
    existing = _row(connection, wanted.name)
    if existing is not None:
        what = "was revoked; take another name" if existing.revoked else "exists; `rotate` changes its secret"
        raise KeyRefused([f"the key {wanted.name!r} {what}"])
    insert_keys(connection, [wanted])
    changes.note(connection, "key", [wanted.name])


def insert_keys(connection: Connection, wanted: Sequence[Wanted]) -> None:
    """In a transaction of the caller's, who also notes the change."""
    now = clock.now()
    connection.execute(insert(keys), [{"name": key.name, "created": now, **key.columns()} for key in wanted])
    connection.execute(insert(secrets), [_secret(key.name, key.digest, key.prefix) for key in wanted])


def _secret(name: str, digest: str, prefix: str) -> dict[str, Any]:
    return {"digest": digest, "key": name, "prefix": prefix, "created": clock.now(), "until": None}


def _row(connection: Connection, name: str) -> Any:
    return connection.execute(select(keys).where(keys.c.name == name).with_for_update()).one_or_none()


def _living(connection: Connection, name: str) -> Any:
    row = _row(connection, name)
    if row is None:
        raise KeyRefused([f"there is no key {name!r} in the store"])
    if row.revoked is not None:
        raise KeyRefused([f"the key {name!r} was revoked"])
    return row


def _stored(row: Any, held: tuple[SecretState, ...] = (), used: int | None = None) -> StoredKey:
    return StoredKey(
        row.name, row.owner, row.team, json.loads(row.settings), row.note, row.created, row.expires, row.revoked,
        held, used,
    )  # fmt: skip
