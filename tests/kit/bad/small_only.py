"""A filter that gives up on large events: large_event"""

from gateway import Provider, hookimpl


class Small:
    def feed(self, events):
        if len(events) > 1_000_000:
            raise ValueError("too much for me")
        return events

    def close(self):
        return b""


@hookimpl
def register_providers(register):
    register(Provider("small_only", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_stream():
    return Small()
