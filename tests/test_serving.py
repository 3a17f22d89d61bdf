"""How a worker writes to its clients."""

import socket
import threading

import pytest

from gateway.serving import write


@pytest.mark.parametrize("size", [1, 300, 5_000_000], ids=["a byte", "an event", "more than fits in"])
@pytest.mark.parametrize("chunked", [False, True])
def test_all_of_it_is_written(chunked, size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    near, far = socket.socketpair()
    with near, far:
        thread = threading.Thread(target=lambda: (write(near, data, chunked), near.shutdown(socket.SHUT_WR)))
        thread.start()
        with far.makefile("rb") as reader:
            came = reader.read()
        thread.join()
    assert came == (b"%X\r\n%b\r\n" % (size, data) if chunked else data)
