"""Ports of this machine that nobody else has."""

import random
import socket


def free_port():
    """Below the range from which the kernel takes ports for outgoing connections: nobody else's
    connection can take it between now and its use."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
