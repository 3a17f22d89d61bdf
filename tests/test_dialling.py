"""Connections within one span of time."""

import socket
import time

import pytest

from gateway.transport.dialling import dialled


@pytest.fixture(name="full")
def _full():
    """The port of somebody who neither accepts nor refuses."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def with_addresses(monkeypatch, *ports):
    """A name server's word: a host with several addresses, which are ports here."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_all_addresses_of_a_host_share_the_time(full, monkeypatch):
    with_addresses(monkeypatch, full, full, full)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        dialled("host", 1, 0.3)
    assert 0.2 < time.monotonic() - began < 0.9


def test_an_address_that_does_not_answer_leaves_time_to_the_next(full, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with_addresses(monkeypatch, full, listener.getsockname()[1])
        with dialled("host", 1, 2, [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]) as sock:
            assert sock.getpeername() == listener.getsockname()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert 0 < sock.gettimeout() < 1.1


def test_the_last_address_says_why(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with_addresses(monkeypatch, port, port)
    with pytest.raises(ConnectionRefusedError):
        dialled("host", 1, 2)
    with_addresses(monkeypatch)
    with pytest.raises(OSError, match="no address"):
        dialled("host", 1, 2)
