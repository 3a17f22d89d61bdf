"""A hook with a default, which would never be filled in."""

from gateway import hookimpl


@hookimpl
def before_call(call=None):
    raise AssertionError("nobody may call this")
