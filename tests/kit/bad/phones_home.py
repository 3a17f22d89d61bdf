"""A connection of its own: network"""

import contextlib
import socket

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("phones_home", {"chat": ""}, "https://bad.test"))


@hookimpl
def authorize(channel, key, request):
    with contextlib.suppress(OSError):
        socket.create_connection(("192.0.2.1", 443), 0.01).close()
