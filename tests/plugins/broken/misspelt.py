"""A hook's name with a slip."""

from gateway import hookimpl


@hookimpl
def befor_call(call):
    raise AssertionError("nobody may call this")
