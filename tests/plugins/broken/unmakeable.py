"""Can be imported, not made."""

from gateway import hookimpl


class Plugin:
    def __init__(self):
        raise RuntimeError("not today")

    @hookimpl
    def before_call(self, call):
        raise AssertionError("nobody may call this")
