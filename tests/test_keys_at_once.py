"""Commands that want the same thing of the store at the same moment, each with a connection of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.errors import ConfigError
from gateway.store import open_store
from gateway.store.importing import import_keys
from gateway.store.keys import Wanted, digest_of, new_secret, prefix_of
from tests.store_cases import KINDS, url_of

TIMES = 10
MOST = 6


@pytest.fixture(name="stores", params=KINDS)
def _stores(request, tmp_path):
    """As many views of one store as there are commands."""
    url = url_of(request.param)
    stores = [open_store(url, tmp_path) for _ in range(MOST)]
    for store in stores:
        store.upgrade()
        store.teams.each()
    yield stores
    for store in stores:
        store.close()


def at_once(stores, work):
    """What *work(store, number)* gives, or the complaints with which it was refused."""
    together = threading.Barrier(len(stores))

    def run(number):
        together.wait()
        try:
            return work(stores[number], number)
        except ConfigError as error:
            return error.complaints

    with ThreadPoolExecutor(len(stores)) as pool:
        return list(pool.map(run, range(len(stores))))


def wanted(name, secret, **columns):
    return Wanted(name, digest_of(secret), prefix_of(secret), **columns)


def test_one_of_them_makes_the_key_and_the_others_are_told(stores):
    for time in range(TIMES):
        name = f"alice{time}"
        came = at_once(stores, lambda store, _, name=name: store.keys.create(wanted(name, new_secret())))
        refused = [f"the key {name!r} exists; `rotate` changes its secret"]
        assert sorted(came, key=str) == sorted([None] + [refused] * (MOST - 1), key=str)
        assert len(stores[0].keys.get(name).secrets) == 1


def test_one_of_them_makes_the_team_and_the_others_are_told(stores):
    for time in range(TIMES):
        name = f"search{time}"
        came = at_once(stores, lambda store, _, name=name: store.teams.create(name, {}, ""))
        assert sorted(came, key=str) == sorted([None] + [[f"the team {name!r} exists"]] * (MOST - 1), key=str)


def test_all_rotate_and_one_secret_is_left(stores):
    stores[0].keys.create(wanted("alice", new_secret()))
    secrets = [new_secret() for _ in stores]
    came = at_once(stores, lambda store, n: store.keys.rotate("alice", digest_of(secrets[n]), "", 0))
    assert all(type(ends) is int for ends in came)
    held = stores[0].keys.get("alice").secrets
    assert len(held) == MOST + 1
    assert len([secret for secret in held if secret.until is None]) == 1


def test_what_several_change_of_a_key_or_a_team_is_all_there(stores):
    stores[0].keys.create(wanted("alice", new_secret()))
    stores[0].teams.create("search", {}, "")
    parts = [("limits", {"rpm": 1}), ("budget", {"usd": 5}), ("note", "hi")]
    for _ in range(TIMES):
        for things, name in (("keys", "alice"), ("teams", "search")):
            at_once(stores[:3], lambda store, n, t=things, name=name: getattr(store, t).change(name, dict([parts[n]])))
            found = getattr(stores[0], things).get(name)
            assert (found.document, found.note) == ({"limits": {"rpm": 1}, "budget": {"usd": 5}}, "hi")
            getattr(stores[0], things).change(name, {"limits": None, "budget": None, "note": None})


def test_the_same_file_is_imported_by_all(stores):
    secrets = [new_secret() for _ in range(40)]
    for time in range(TIMES):
        entries = [(f"keys.csv:{n}", wanted(f"key-{time}-{n}", f"{time}{secret}")) for n, secret in enumerate(secrets)]
        orders = [entries, entries[::-1]] * (MOST // 2)
        came = at_once(stores, lambda store, n, orders=orders: import_keys(store, orders[n]))
        assert sorted((done.created, done.unchanged) for done in came) == [(0, 40)] * (MOST - 1) + [(40, 0)]


def test_the_same_name_is_imported_with_another_secret(stores):
    for time in range(TIMES):
        came = at_once(stores, lambda store, n, t=time: import_keys(store, [("f:1", wanted(f"key{t}", new_secret()))]))
        told = [f"f:1: the key 'key{time}' exists, with another secret (see `gateway keys rotate`)"]
        assert len([one for one in came if one == told]) == MOST - 1
