"""Many keys at once. The same file may come again: what is there already stays as it is.

All of them are compared with the store before the first is written. They are written in portions, each a
transaction, so that whoever wants to change a key meanwhile (to revoke one, say) waits for a portion and not
for the last of a million. An import that broke off is finished by the same file coming again.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.store import StoreAway, changes
from gateway.store.keys import KeyRefused, Wanted, insert_keys
from gateway.store.tables import keys, secrets

_PORTION = 2000  # keys: a fraction of a second, also on a busy machine
_REST = 0.12  # seconds between two portions: SQLite knows no queue, and who waits for it looks every 0.1 s

Entry = tuple[str, Wanted]  # (place in the file, key)


@dataclass(slots=True)
class Imported:
    """How many keys were ``created``, ``changed``, ``unchanged``, or stay ``revoked`` whatever the file says."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    revoked: int = 0

    @property
    def all(self) -> int:
        return self.created + self.changed + self.unchanged + self.revoked

    def add(self, compared: "_Compared") -> None:
        self.created += len(compared.fresh)
        self.changed += len(compared.other)
        self.unchanged += compared.unchanged
        self.revoked += compared.revoked


@dataclass(slots=True)
class _Compared:
    """What a portion means for the store: ``fresh`` keys, those that it has with ``other`` settings, and
    complaints by the keys' names."""

    fresh: list[Wanted] = field(default_factory=list)
    other: list[Wanted] = field(default_factory=list)
    unchanged: int = 0
    revoked: int = 0
    complaints: dict[str, str] = field(default_factory=dict)


def import_keys(store: Any, wanted: Sequence[Entry]) -> Imported:
    """Bring the store to what *wanted* says; names and digests are distinct. Raises KeyRefused with every
    complaint, and then nothing was written. What comes up later (the store goes away, somebody else makes a
    key of that name meanwhile) is raised as StoreAway or KeyRefused, and says how far it came."""
    # By name, so that two who import the same keys do not wait for each other crosswise.
    in_order = sorted(wanted, key=lambda entry: entry[1].name)
    portions = [in_order[start : start + _PORTION] for start in range(0, len(in_order), _PORTION)]
    _check(store, portions, wanted)
    done = Imported()
    for portion in portions:
        if done.all and store.embedded:
            time.sleep(_REST)
        try:
            done.add(store.change(lambda connection, portion=portion: _write(connection, portion)))
        except StoreAway as error:
            raise StoreAway("; ".join([error.reason, *_how_far(done, wanted)])) from None
        except KeyRefused as error:
            raise KeyRefused([*error.complaints, *_how_far(done, wanted)]) from None
    return done


def _how_far(done: Imported, wanted: Sequence[Entry]) -> list[str]:
    told = f"{done.all} of {len(wanted)} keys of the file are imported; it may come again for the others"
    return [told] if done.all else []


def _check(store: Any, portions: Sequence[Sequence[Entry]], wanted: Sequence[Entry]) -> None:
    complaints: dict[str, str] = {}
    for portion in portions:
        with store.read() as connection:
            complaints |= _compared(connection, portion).complaints
    if complaints:
        raise KeyRefused([complaints[key.name] for _, key in wanted if key.name in complaints])


def _write(connection: Connection, portion: Sequence[Entry]) -> _Compared:
    compared = _compared(connection, portion)
    if compared.complaints:
        raise KeyRefused(list(compared.complaints.values()))
    if compared.fresh:
        insert_keys(connection, compared.fresh)
    for key in compared.other:
        connection.execute(update(keys).where(keys.c.name == key.name).values(key.columns()))
    changes.note(connection, "key", [key.name for key in (*compared.fresh, *compared.other)])
    return compared


def _compared(connection: Connection, portion: Sequence[Entry]) -> _Compared:
    # Keys first: of one that another import has just made, the secret is then there as well.
    rows = connection.execute(select(keys).where(keys.c.name.in_([key.name for _, key in portion])))
    known = {row.name: row for row in rows}
    digests = [key.digest for _, key in portion]
    query = select(secrets.c.digest, secrets.c.key).where(secrets.c.digest.in_(digests))
    owners = {row.digest: row.key for row in connection.execute(query)}
    found = _Compared()
    for place, key in portion:
        owner, row = owners.get(key.digest), known.get(key.name)
        if owner not in (None, key.name):
            found.complaints[key.name] = f"{place}: {key.name!r} has the secret of the key {owner!r}"
        elif row is None:
            found.fresh.append(key)
        elif owner is None:
            told = "exists, with another secret (see `gateway keys rotate`)"
            found.complaints[key.name] = f"{place}: the key {key.name!r} {told}"
        elif row.revoked is not None:
            found.revoked += 1
        elif all(getattr(row, column) == value for column, value in key.columns().items()):
            found.unchanged += 1
        else:
            found.other.append(key)
    return found
