"""What the scripted upstream says, and on which paths, in each dialect (files in cases/)."""

import json
from pathlib import Path

import pytest

from gateway.testing import asking as testing_asking

CASES = Path(__file__).parent / "cases"
DIALECTS = ("chat", "responses", "messages", "gemini")

# Every kind of worker and both doors, without the product of the two.
WAYS = [("gevent", "direct"), ("gevent", "nginx"), ("gthread", "direct")]
all_ways = pytest.mark.parametrize("served, door", WAYS, indirect=True)
both_doors = pytest.mark.parametrize("door", ["direct", "nginx"], indirect=True)
# The same on gateways with little patience, where each case costs a second: each way with another dialect.
hasty = pytest.mark.parametrize("served", ["hasty"], indirect=True)
all_hasty_ways = pytest.mark.parametrize(
    "served, door, dialect",
    [("hasty", "direct", "chat"), ("hasty", "nginx", "responses"), ("hasty-gthread", "direct", "messages")],
    indirect=["served", "door"],
)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)

KEEP_ALIVE = b": keep-alive\n\n"


def path_of(dialect, model, stream=True):
    return testing_asking.path_of(dialect, model, stream)


def asking(dialect, model, text="Hello", stream=True):
    """A small request of *dialect*, as a document."""
    return testing_asking.question(dialect, model, text, stream)


def reply_bytes(dialect, name="text", stream=True):
    """A reply as a vendor would send it."""
    return (CASES / "replies" / f"{dialect}_{name}.{'sse' if stream else 'json'}").read_bytes()


def stream_events(dialect, name="text"):
    """The events of a streamed reply, separators included."""
    return [event + b"\n\n" for event in reply_bytes(dialect, name).split(b"\n\n") if event]


def one_by_one(events, say, client):
    """Each of *events*, which the upstream says by *say*, is with the *client* before the next is said."""
    for number, event in enumerate(events):
        say(event)
        if not number:
            client.head()
        client.expect(event)


def error_of(dialect, event):
    """The code that an error event of *dialect* says; fails when it is none."""
    name, _, data = event.rpartition(b"data: ")
    document = json.loads(data)
    if dialect in ("responses", "messages"):
        assert name == b"event: error\n"
        assert document["type"] == "error"
    else:
        assert name == b""
    error = document["error"]
    if dialect == "gemini":
        assert error["status"] in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL")
        return error["details"][0]["reason"].lower()
    assert error["message"]
    return error.get("code")
