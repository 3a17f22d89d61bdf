"""Events that say the same as before in other bytes: reply_bytes"""

import json

from gateway import Provider, hookimpl


class Anew:
    def feed(self, events):
        return b"".join(self._anew(line) for line in events.splitlines(keepends=True))

    def _anew(self, line):
        if not line.startswith(b"data: {"):
            return line
        return b"data: " + json.dumps(json.loads(line[6:]), indent=None).encode() + b"\n"

    def close(self):
        return b""


@hookimpl
def register_providers(register):
    register(Provider("dumps_events", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_stream():
    return Anew()
