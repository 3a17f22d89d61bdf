"""Leaves its mark on the call, on the way in and on the way out."""

from gateway import hookimpl


@hookimpl
def before_call(call):
    call.notes.setdefault("order", []).append("a in")


@hookimpl
def after_call(call):
    call.notes["order"].append("a out")
