"""A filter that gives everything at the end: incremental"""

from gateway import Provider, hookimpl


class Holds:
    def __init__(self):
        self._held = []

    def feed(self, events):
        self._held.append(events)
        return b""

    def close(self):
        return b"".join(self._held)


@hookimpl
def register_providers(register):
    register(Provider("holds_back", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_stream():
    return Holds()
