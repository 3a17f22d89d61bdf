"""A policy that would never be asked: calling it makes a generator and runs none of it."""

from gateway import hookimpl


@hookimpl
def before_call(call):
    yield call
