"""Workers of a test's own: ``python -m tests.state_worker URL WORK [green] [workers=N] [calls=N] ...``.

Each is a process that does its work in *calls* at once (greenlets or threads), and writes down each
grant at once, with its process id: so a test knows what it had when it was killed.
"""

import contextlib
import fcntl
import os
import sys
import threading
import time
from pathlib import Path

if "green" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

from gateway.state import Purse, Slots, StateAway, Window
from gateway.state.redis import RedisState
from gateway.state.sqlite import SqliteState

ALIVE = 3.0  # seconds; claims.ALIVE, made short


def opened(url):
    return RedisState(url, alive=ALIVE) if url.startswith("redis") else SqliteState(url, alive=ALIVE)


def say(text):
    os.write(1, f"{os.getpid()} {text}\n".encode())


def window(state, most):
    """Claim until refused."""
    while state.take([Window("w", 600, most), Slots("open", 1000)]).refused is None:
        say("got")


def slots(state, most, counter):
    """Hold a slot for a moment, again and again; a counter that all share tells how many hold one."""
    for _ in range(12):
        while (taken := state.take([Slots("s", most)])).refused:
            time.sleep(0.002)
        say(f"held {add(counter, 1)}")
        time.sleep(0.002)
        add(counter, -1)
        state.settle(taken)


def add(counter, change):
    with open(counter, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # for no longer than it takes to write a number
        number = int(file.read() or 0) + change
        file.seek(0)
        file.write(f"{number:4}")
        return number


def spend(state):
    """Claim and settle without end."""
    claims = [Window("w", 600, None), Slots("s", None), Purse("usd", None, 5)]
    while True:
        taken = state.take(claims)
        say("got")
        time.sleep(0.001)
        state.settle(taken)


def hold(state, most):
    """All slots, for ever."""
    while state.take([Slots("s", most)]).refused is None:
        say("got")
    time.sleep(600)


WORK = {work.__name__: work for work in (window, slots, spend, hold)}


def beat(state):
    while True:
        time.sleep(ALIVE / 4)
        with contextlib.suppress(StateAway):
            state.beat()


def run(url, work, calls, arguments):
    state = opened(url)
    threading.Thread(target=beat, args=(state,), daemon=True).start()
    threads = [threading.Thread(target=WORK[work], args=(state,), kwargs=arguments) for _ in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state.close()


def main():
    url, work, *words = sys.argv[1:]
    said = dict(word.split("=") for word in words if "=" in word)
    workers, calls = int(said.pop("workers", 1)), int(said.pop("calls", 1))
    arguments = {name: int(value) if value.isdigit() else Path(value) for name, value in said.items()}
    for _ in range(workers):  # forked here, so that one start-up serves all
        if not os.fork():
            run(url, work, calls, arguments)
            return
    failed = [status for _, status in (os.wait() for _ in range(workers)) if status]
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
