"""Connections within one span of time."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

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


@pytest.fixture(name="silent")
def _silent(monkeypatch):
    """A name server that says nothing until it is told to: (event, the hosts that it was asked for)."""
    speaks, asked = threading.Event(), []

    def getaddrinfo(host, port, **_):
        asked.append(host)
        assert speaks.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield speaks, asked
    speaks.set()


def test_the_name_servers_time_is_part_of_the_span(silent):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        dialled("slow.test", 1, 0.2)
    assert 0.1 < time.monotonic() - began < 5


def test_who_asks_for_the_same_name_waits_for_the_same_answer(silent):
    speaks, asked = silent
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with ThreadPoolExecutor(4) as pool:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    dialled("slow.test", port, 0.05)
            waiting = [pool.submit(dialled, "slow.test", port, 20) for _ in range(4)]
            speaks.set()
            for each in waiting:
                each.result(20).close()
        assert 1 <= len(asked) <= 5  # the first two, and those that came before it was said, share one question
        assert asked.count("slow.test") == len(asked)
        dialled("slow.test", port, 20).close()  # nothing is kept: the next question is a new one
        assert len(asked) >= 2


def test_a_host_that_is_not_known_is_said_to_every_caller(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="not known"):
            dialled("nobody.test", 1, 5)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_is_not_asked_about(address, silent):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        dialled(address, listener.getsockname()[1], 5).close()
    assert silent[1] == []
