"""Who left is told from who came after on the same number."""

import os
import socket
import time

from gateway.departures import Departures


def joined():
    """(a connection's near end, its far end)"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        return listener.accept()[0], far


def until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_departure_is_noticed():
    near, far = joined()
    watch = Departures().watch(near)
    far.close()
    until(lambda: watch.gone)


def test_the_next_connection_with_the_same_number_is_not_taken_for_it():
    """The news of a departure is on its way while its connection is closed and the next one gets its number."""
    departures = Departures()
    (old, old_far), (new, new_far) = joined(), joined()
    left = departures.watch(old)
    with departures.lock:  # the watcher hears of it, and has to wait
        old_far.close()
        time.sleep(0.05)
        departures._watches.pop(old.fileno())
        os.dup2(new.fileno(), old.fileno())
    watch = departures.watch(old)
    near, far = joined()
    other = departures.watch(near)
    far.close()
    until(lambda: other.gone)  # behind the first news
    assert not left.gone
    assert not watch.gone
    new_far.close()
    until(lambda: watch.gone)
