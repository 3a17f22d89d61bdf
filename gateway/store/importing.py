"""Many keys at once. The same file may come again: what is there already stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.store import changes
from gateway.store.keys import KeyRefused, Wanted, insert_keys
from gateway.store.tables import keys, secrets

_BATCH = 500  # a statement takes only so many parameters


@dataclass(slots=True)
class Imported:
    """How many keys were ``created``, ``changed``, ``unchanged``, or stay ``revoked`` whatever the file says."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    revoked: int = 0


def import_keys(store: Any, wanted: Sequence[tuple[str, Wanted]]) -> Imported:
    """Bring the store to what (place in the file, key) pairs say: all of them or, with KeyRefused
    and every complaint, none. Names and digests are distinct."""
    return store.change(lambda connection: _import(connection, wanted))


def _import(connection: Connection, wanted: Sequence[tuple[str, Wanted]]) -> Imported:
    done, complaints, changed = Imported(), {}, []
    # By name, so that two who import the same keys do not wait for each other crosswise.
    in_order = sorted(wanted, key=lambda pair: pair[1].name)
    for start in range(0, len(in_order), _BATCH):
        complaints |= _batch(connection, in_order[start : start + _BATCH], done, changed)
    if complaints:
        raise KeyRefused([complaints[key.name] for _, key in wanted if key.name in complaints])
    changes.note(connection, "key", changed)
    return done


def _batch(
    connection: Connection, batch: Sequence[tuple[str, Wanted]], done: Imported, changed: list[str]
) -> dict[str, str]:
    """Carries out a part; the complaints by the keys' names."""
    # Keys first: of one that another import has just made, the secret is then there as well.
    rows = connection.execute(select(keys).where(keys.c.name.in_([key.name for _, key in batch])))
    known = {row.name: row for row in rows}
    digests = [key.digest for _, key in batch]
    query = select(secrets.c.digest, secrets.c.key).where(secrets.c.digest.in_(digests))
    owners = {row.digest: row.key for row in connection.execute(query)}
    complaints, fresh = {}, []
    for place, key in batch:
        owner, row = owners.get(key.digest), known.get(key.name)
        if owner not in (None, key.name):
            complaints[key.name] = f"{place}: {key.name!r} has the secret of the key {owner!r}"
        elif row is None:
            fresh.append(key)
        elif owner is None:
            told = "exists, with another secret (see `gateway keys rotate`)"
            complaints[key.name] = f"{place}: the key {key.name!r} {told}"
        elif row.revoked is not None:
            done.revoked += 1
        elif all(getattr(row, column) == value for column, value in key.columns().items()):
            done.unchanged += 1
        else:
            connection.execute(update(keys).where(keys.c.name == key.name).values(key.columns()))
            done.changed += 1
            changed.append(key.name)
    if fresh and not complaints:
        insert_keys(connection, fresh)
        done.created += len(fresh)
        changed += [key.name for key in fresh]
    return complaints
