"""Bodies that come too slowly end; those that are only large, or slow and honest, do not."""

import io
import socket
import threading
import time

import pytest

from gateway.arrival.laggards import SLOWEST, Laggards, make_light, reading


@pytest.fixture(name="pair")
def _pair():
    near, far = socket.socketpair()
    yield near, far
    near.close()
    far.close()


def drip(sock, seconds, piece=b"x"):
    def run():
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                sock.sendall(piece)
                time.sleep(0.02)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side has heard enough

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("sends", [0, 30])
def test_who_stops_or_only_drips_is_ended(pair, sends):
    near, far = pair
    laggards = Laggards(look=0.01)
    thread = drip(far, sends) if sends else None
    with near.makefile("rb") as stream, laggards.reading(stream, near, 0.2) as body:
        assert len(body.read(1 << 20)) < 10_000  # it ends, long before that
    far.close()
    if thread:
        thread.join()
    assert laggards.under_way == set()


def test_who_sends_much_gets_more_time(pair):
    near, far = pair
    laggards = Laggards(look=0.01)
    thread = drip(far, 0.6, b"x" * (SLOWEST // 10))  # five times the least rate
    size = 0
    with near.makefile("rb") as stream, laggards.reading(stream, near, 0.2) as body:
        while piece := body.read(1024):
            size += len(piece)
    thread.join()
    assert size > SLOWEST * 2
    assert size % (SLOWEST // 10) == 0  # to its end


def test_a_stream_without_a_socket_is_only_read():
    with reading(io.BytesIO(b"abc"), None, 60.0) as body:
        assert body.read(10) == b"abc"


@pytest.mark.parametrize("seconds, told", [(300.0, 300_000), (0.0001, 1), (1e9, 2**31 - 1)])
def test_the_kernel_is_told_how_long_a_reply_may_be_unread(seconds, told):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        make_light(client, seconds)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == told


def test_a_local_socket_and_none_are_left_alone(pair):
    make_light(pair[0], 1.0)
    make_light(None, 1.0)
