"""A store of a million keys beside one of ten, in turns: what a call costs, with few keys that ask and with
many; what a gateway needs to start; and how soon a key that is revoked is refused.

    python -m benchmarks.many_keys [--keys 1000000] [--rounds 3] [--seconds 5]

The target is the same cost for a call whatever the store holds; the price is CPU time, the least of the rounds.
A worker keeps 10,000 keys in mind (`stored_keys: {cached: ...}`): one that it has not met costs a look into the store.
"""

import contextlib
import http.client
import tempfile
import threading
import time
from pathlib import Path

import click

from benchmarks import pairs, wrk
from benchmarks.measures import _CHAT, _body
from benchmarks.servers import Server
from gateway.store import open_store
from gateway.store.importing import import_keys
from gateway.store.keys import Wanted, digest_of

_CONNECTIONS = 32
_SMALL = 10
_SOME = 500  # so many that a worker meets them all in the first round
_PORTION = 50_000
_REVOKED = 5  # so many are revoked under load, one after another
_YAML = """
store: sqlite:///{store}
channels: [{{name: whole, provider: openai-compatible, base_url: "http://127.0.0.1:$static", key: up, models: [whole]}}]
"""


def secret(number: int) -> str:
    """As wrk_keys.lua writes it."""
    return f"gw-{number:040}"


def fill(path: Path, keys: int) -> float:
    """A store with so many keys; seconds of CPU time for 1,000 of them."""
    store, used = open_store(f"sqlite:///{path}", path.parent), time.process_time()
    for first in range(0, keys, _PORTION):
        numbers = range(first, min(first + _PORTION, keys))
        import_keys(store, [("", Wanted(f"key-{n}", digest_of(secret(n)), owner=f"owner-{n % 999}")) for n in numbers])
    store.close()
    return (time.process_time() - used) / keys * 1000


def price(server: Server, asking: int, seconds: int) -> float:
    """Milliseconds of CPU time for one call, when so many keys ask by chance."""
    used = server.cpu()
    load = wrk.run_with_keys(server.whole, _CHAT, _body("whole", False), asking, _CONNECTIONS, seconds)
    if load.failed:
        raise SystemExit(f"{server.name}: {load.failed} calls failed")
    return (server.cpu() - used) / max(load.per_second * seconds, 1) * 1000


def status(port: int, number: int) -> int:
    """Of a call with the key of that number; 0 when nobody answers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        headers = {"Authorization": f"Bearer {secret(number)}", "Content-Type": "application/json"}
        with contextlib.suppress(OSError, http.client.HTTPException):
            client.request("POST", _CHAT, _body("whole", False), headers)
            return client.getresponse().status
    return 0


def until_refused(port: int, store: Path, number: int) -> float:
    """Seconds from a key's revocation to the last call with it that was let in, asked in eight ways at once."""
    last, over = [0.0], threading.Event()

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            if status(port, number) == 200:
                last[0] = max(last[0], began)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    keeper = open_store(f"sqlite:///{store}", store.parent)
    keeper.keys.revoke(f"key-{number}")
    revoked = time.monotonic()
    time.sleep(2)
    over.set()
    for thread in threads:
        thread.join()
    keeper.close()
    return max(last[0] - revoked, 0.0)


def compare(folder: Path, keys: int, rounds: int, seconds: int) -> None:
    stores = {"small": folder / "small.db", "large": folder / "large.db"}
    fill(stores["small"], _SMALL)
    cost, size = fill(stores["large"], keys), stores["large"].stat().st_size
    click.echo(f"{keys} keys imported, {cost * 1000:.0f} us of CPU time each; {size >> 20} MB")
    with pairs.servers({size: _YAML.format(store=path) for size, path in stores.items()}) as started:
        for size, server in started.items():
            while status(server.whole, 0) != 200:
                time.sleep(0.02)
            say_used(size, server)
        for what, asking in (("ten keys ask", _SMALL), ("some keys ask", _SOME), ("all keys ask", keys)):
            least = prices(started, {"small": _SMALL, "large": asking}, rounds, seconds)
            more = least["large"] / least["small"]
            costs = f"{least['small']:8.3f} ms of CPU time, {least['large']:.3f} in the large store: {more:.2f}"
            click.echo(f"{what:20}{costs}")
        for size, server in started.items():
            say_used(size, server)
        found = [until_refused(started["large"].whole, stores["large"], number) for number in range(_REVOKED)]
        click.echo(f"a revoked key is refused after at most {max(found):.2f} s ({_REVOKED} tries)")


def say_used(size: str, server: Server) -> None:
    click.echo(f"{size}: {server.cpu():.1f} s of CPU time so far, {server.memory() / 1e6:.0f} MB resident")


def prices(started: dict[str, Server], asking: dict[str, int], rounds: int, seconds: int) -> dict[str, float]:
    """The least of the rounds for each gateway; a first round is not counted: it loads what is loaded once."""
    found = []
    for _ in range(rounds + 1):
        found.append({size: price(server, asking[size], seconds) for size, server in started.items()})
    return {size: min(each[size] for each in found[1:]) for size in started}


@click.command()
@click.option("--keys", default=1_000_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=5, show_default=True)
def main(keys: int, rounds: int, seconds: int) -> None:
    """Measure what a large store costs.

    Example: python -m benchmarks.many_keys --keys 100000
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        compare(Path(folder), keys, rounds, seconds)


if __name__ == "__main__":
    main()
