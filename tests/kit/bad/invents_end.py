"""A filter that ends each stream well, also one that broke: abort"""

from gateway import Provider, hookimpl


class Invents:
    def __init__(self):
        self._done = False

    def feed(self, events):
        self._done = self._done or b"[DONE]" in events
        return events

    def close(self):
        return b"" if self._done else b"data: [DONE]\n\n"


@hookimpl
def register_providers(register):
    register(Provider("invents_end", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_stream():
    return Invents()
