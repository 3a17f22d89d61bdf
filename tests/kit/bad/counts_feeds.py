"""A filter whose output depends on how often it was fed: every_cut"""

from gateway import Provider, hookimpl


class Counts:
    def __init__(self):
        self._fed = 0

    def feed(self, events):
        self._fed += 1
        return events

    def close(self):
        return b": fed %d times\n\n" % self._fed


@hookimpl
def register_providers(register):
    register(Provider("counts_feeds", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_stream():
    return Counts()
