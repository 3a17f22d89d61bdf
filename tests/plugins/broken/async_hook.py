"""A policy that would never be asked: calling it makes a coroutine and runs none of it."""

from gateway import hookimpl


@hookimpl
async def before_call(call):
    raise AssertionError("nobody may call this")
