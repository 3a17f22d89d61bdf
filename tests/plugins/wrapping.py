"""A hook around the others of its own plugin, as pluggy has them: a generator that is run."""

from gateway import hookimpl

seen = []


@hookimpl(wrapper=True)
def before_call(call):
    seen.append(call.id)
    return (yield)
