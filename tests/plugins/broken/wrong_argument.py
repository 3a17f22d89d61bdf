"""A hook that asks for what it does not get."""

from gateway import hookimpl


@hookimpl
def before_call(call, chanel):
    raise AssertionError("nobody may call this")
