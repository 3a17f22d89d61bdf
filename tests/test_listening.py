"""The waiting for an answer's bytes, on plain sockets and on gevent's."""

import gc
import http.client
import math
import socket
import threading
import time
import weakref

import gevent
import gevent.socket
import pytest

from gateway.transport.listening import GreenListener, Listener, listener_of, read_head
from gateway.transport.response_head import HeadReader


@pytest.fixture(name="ends", params=[socket.socketpair, gevent.socket.socketpair], ids=["plain", "green"])
def _ends(request):
    """(a listener, the socket at its other end)"""
    near, far = request.param()
    listening = listener_of(near)
    yield listening, far
    listening.close()
    far.close()


def later(seconds, act):
    """*act* in a thread of the other world: the hub of this one is not needed for it."""
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def sender(far):
    """The bare socket, which any thread may use."""
    return socket.socket(fileno=far.detach())


def test_a_socket_of_gevents_has_its_own_listener():
    for make, kind in ((socket.socketpair, Listener), (gevent.socket.socketpair, GreenListener)):
        near, far = make()
        listening = listener_of(near)
        assert type(listening) is kind
        listening.close()
        far.close()


def test_what_is_there_already_is_taken_at_once(ends):
    listening, far = ends
    far.sendall(b"one")
    assert listening.receive(5) == b"one"
    far.sendall(b"two")
    assert listening.receive(5) == b"two"


def test_what_comes_later_is_waited_for(ends):
    listening, far = ends
    bare = sender(far)
    timer = later(0.1, lambda: bare.sendall(b"late"))
    assert listening.receive(30) == b"late"
    timer.join()
    bare.close()
    assert listening.receive(30) == b""


def test_silence_is_told_and_the_socket_can_be_listened_to_further(ends):
    listening, far = ends
    for seconds in (0.2, 0.05):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            listening.receive(seconds)
        assert time.monotonic() - began >= seconds
    far.sendall(b"after all")
    assert listening.receive(5) == b"after all"


def test_a_shorter_wait_is_not_held_by_the_alarm_of_a_longer_one(ends):
    listening, far = ends
    far.sendall(b"x")
    assert listening.receive(3600) == b"x"
    with pytest.raises(TimeoutError):
        listening.receive(0.05)


def test_a_longer_wait_is_not_cut_short_by_the_alarm_of_a_shorter_one(ends):
    listening, far = ends
    bare = sender(far)
    bare.sendall(b"x")
    assert listening.receive(0.1) == b"x"
    timer = later(0.4, lambda: bare.sendall(b"y"))
    assert listening.receive(30) == b"y"
    timer.join()
    bare.close()


def test_waiting_for_ever_needs_no_alarm():
    near, far = gevent.socket.socketpair()
    listening = listener_of(near)
    far.sendall(b"x")
    assert listening.receive(math.inf) == b"x"
    assert listening._alarm is None
    listening.close()
    far.close()


def test_an_alarm_that_nobody_waits_for_is_not_set_again():
    near, far = gevent.socket.socketpair()
    listening = listener_of(near)
    far.sendall(b"x")
    assert listening.receive(0.05) == b"x"
    until = time.monotonic() + 10
    while listening._alarm is not None and time.monotonic() < until:
        gevent.sleep(0.01)
    assert listening._alarm is None
    listening.close()
    far.close()


def test_a_closed_listener_leaves_nothing_behind():
    near, far = gevent.socket.socketpair()
    listening = listener_of(near)
    far.sendall(b"x")
    listening.receive(3600)
    gone = weakref.ref(near)
    listening.close()
    listening.close()  # as a connection that two look after
    far.close()
    del listening, near
    gevent.sleep(0)
    gc.collect()
    assert gone() is None


def test_another_greenlet_that_is_killed_in_its_wait_leaves_the_listener_usable():
    near, far = gevent.socket.socketpair()
    listening = listener_of(near)
    waiting = gevent.spawn(listening.receive, 3600)
    gevent.sleep(0)
    waiting.kill()
    far.sendall(b"x")
    assert listening.receive(5) == b"x"
    listening.close()
    far.close()


def test_the_head_of_an_answer_however_it_is_cut(ends):
    listening, far = ends
    bare = sender(far)
    threading.Thread(target=lambda: [bare.sendall(bytes([byte])) for byte in b"HTTP/1.1 204 No\r\n\r\n"]).start()
    assert read_head(listening, HeadReader("GET"), 30).status == 204
    bare.close()
    with pytest.raises(http.client.RemoteDisconnected):
        read_head(listening, HeadReader("GET"), 30)
