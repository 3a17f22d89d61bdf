"""Nonsense of every kind at the door: no 500, no worker that dies, nothing that stays behind.

What once broke something is kept in cases/fuzz/. ``FUZZ_EXAMPLES=5000`` looks for longer.
"""

import contextlib
import copy
import functools
import json
import os
import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_cases import DIALECTS, asking, path_of, reply_bytes
from live_client import Client
from live_servers import CLIENT_KEY, descriptors, resident_mb, until

pytestmark = pytest.mark.live

CASES = Path(__file__).parents[1] / "cases"
BODIES = yaml.safe_load((CASES / "fuzz" / "bodies.yaml").read_text("utf-8"))
HEADS = yaml.safe_load((CASES / "fuzz" / "heads.yaml").read_text("utf-8"))
CHANNELS = ("up", "to-chat", "to-responses", "to-messages", "to-gemini", "echo")
OPERATIONS = {
    "/v1/embeddings": "up", "/v1/completions": "up", "/v1/messages/count_tokens": "to-chat",
    "/v1/responses/compact": "to-chat", "/v1/moderations": "up", "/v1/rerank": "up", "/v1/images/generations": "up",
    "/v1beta/models/to-chat:countTokens": "to-chat",
}  # fmt: skip
fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")), derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
both_workers = pytest.mark.parametrize("served", ["gevent", "gthread"], indirect=True)


@pytest.fixture(name="door")
def _door(served, upstream):
    """The gateway, with an upstream that answers whatever it is asked; unharmed at the end."""
    gateway, _ = served
    upstream.answer(answer)
    send(gateway.port, "/v1/chat/completions", json.dumps(asking("chat", "up")).encode())
    workers, begun, before = gateway.workers(), len(gateway.log()), descriptors(gateway.workers()[0])
    yield gateway
    assert gateway.workers() == workers
    said = gateway.log()[begun:]
    assert "Traceback" not in said
    assert "failed unexpectedly" not in said
    until(lambda: descriptors(workers[0]) < before + 20, "descriptors are given back")


def answer(exchange):
    """Some answer in the dialect that was asked for."""
    target = exchange.target
    dialect = (
        "gemini" if "/v1beta/" in target else "messages" if "/messages" in target
        else "responses" if "/responses" in target else "chat"
    )  # fmt: skip
    if re.search(rb'"stream": ?true', exchange.body) or "streamGenerate" in target:
        exchange.stream(reply_bytes(dialect))
    else:
        exchange.reply(reply_bytes(dialect, stream=False))


def send(port, path, body, head=()):
    """Sends it, and looks at the answer: (status, its body)."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", *head]
    names = {line.partition(":")[0].lower() for line in head}
    if not names & {"authorization", "x-api-key", "x-goog-api-key"}:
        lines.append(f"x-api-key: {CLIENT_KEY}")
    if "content-type" not in names:
        lines.append("content-type: application/json")
    lines.append(f"content-length: {len(body)}")
    with Client(port) as client:
        with contextlib.suppress(OSError):  # it has heard enough; the answer is there
            client.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        while client.head().status == 100:
            pass
        data, _ = client.rest()
    assert client.status != 500, data
    assert client.status < 600
    assert b"internal_error" not in data
    assert b"Traceback" not in data
    return client.status, data


def bytes_of(case, model):
    if "again" in case:
        before, times, opening, closing, after = case["again"]
        text = before + opening * times + case.get("inner", "") + closing * times + after
    else:
        text = case["body"]
    return text.replace("MODEL", model).encode("latin-1")


@both_workers
@pytest.mark.parametrize("case", BODIES)
def test_bodies_of_the_corpus(case, door):
    for model in CHANNELS:
        for dialect in DIALECTS:
            send(door.port, path_of(dialect, model), bytes_of(BODIES[case], model))
    for path, model in OPERATIONS.items():
        send(door.port, path, bytes_of(BODIES[case], model))


@both_workers
@pytest.mark.parametrize("number", range(len(HEADS)), ids=lambda n: ascii(HEADS[n])[:40])
def test_heads_of_the_corpus(number, door):
    case = HEADS[number]
    for dialect in DIALECTS:
        body = json.dumps(asking(dialect, "to-messages", stream=False)).encode()
        target = case.get("target") or path_of(dialect, "to-messages", stream=False)
        send(door.port, target, body, case.get("headers", ()))


# --- made up ------------------------------------------------------------------------------------

ODD = [
    None, True, False, 0, -1, 10**30, -(10**30), 1e308, 5e-324,
    "", " ", "\x00", "\ud800", "x" * 5000, "\u2028", "1e400",
    [], {}, [[]], [None], [{}], {"": None}, {"type": None}, {"type": "no_such_type"}, {"text": []}, "data:;base64,%",
    "text", "function", "user", "assistant", "tool", "auto",
    "@1e700000000@", "@-1e-700000000@", "@123456789012345678901@",
]  # fmt: skip


def odd(chance):
    return copy.deepcopy(chance.choice(ODD))


@functools.cache
def seeds(dialect):
    """Requests of the translation's cases, which use everything that a dialect has."""
    found = []
    for path in sorted(CASES.glob(f"{dialect}-*/*.yaml")):
        request = yaml.safe_load(path.read_text("utf-8")).get("request")
        if isinstance(request, dict):
            found.append(json.dumps(request, default=str))
    assert len(found) > 20
    return found


def places(value, found):
    """(container, name or index) of everything inside *value*."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(inside):
        found.append((value, key))
        places(inner, found)
    return found


def mangled(document, chance):
    """*document* with a few of its values exchanged, moved, doubled or taken out."""
    for _ in range(chance.randint(1, 4)):
        container, key = chance.choice(places(document, []) or [(document.setdefault("a", [0]), 0)])
        way = chance.randrange(5)
        if way == 0 and isinstance(container, dict):
            del container[key]
        elif way == 1 and isinstance(container, list):
            container.insert(key, container[key])
        elif way == 2:
            container[key] = [container[key]]
        elif way == 3:
            container[key] = {"type": container[key], "content": odd(chance)}
        else:
            container[key] = odd(chance)
    return document


def written(document):
    """As JSON; a text between @ is a number that Python could not write."""
    return re.sub(r'"@(.*?)@"', r"\1", json.dumps(document)).encode()


def cut(data, chance):
    """*data* with a few of its bytes changed, taken out or put in."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(data))
        way = chance.randrange(4)
        if way == 0:
            data[at] = chance.randrange(256)
        elif way == 1:
            del data[at : at + chance.randint(1, 9)]
        elif way == 2:
            data[at:at] = bytes(chance.choice(b'"{}[],:\\\x00\xff09eE-+.') for _ in range(chance.randint(1, 4)))
        else:
            data[at:at] = data[chance.randrange(len(data)) :][:50]
        if not data:
            return b"{"
    return bytes(data)


chances = st.integers(0, 2**32).map(random.Random)


@pytest.mark.parametrize("dialect", DIALECTS)
@fuzzed
@given(chance=chances)
def test_mangled_documents(dialect, door, chance):
    document = mangled(json.loads(chance.choice(seeds(dialect))), chance)
    model = chance.choice(CHANNELS)
    if dialect != "gemini" and chance.randrange(20):
        document["model"] = model
    document["stream"] = chance.choice([True, False])
    strict = ["x-gateway-strict: 1"] if chance.randrange(5) == 0 else []
    send(door.port, path_of(dialect, model, document["stream"]), written(document), strict)


@pytest.mark.parametrize("dialect", DIALECTS)
@fuzzed
@given(chance=chances)
def test_mangled_bytes(dialect, door, chance):
    document = json.loads(chance.choice(seeds(dialect))) | {"model": chance.choice(CHANNELS)}
    send(door.port, path_of(dialect, document["model"]), cut(json.dumps(document).encode(), chance))


@pytest.mark.parametrize("channel", DIALECTS)
@fuzzed
@given(chance=chances)
def test_an_upstream_that_talks_nonsense(channel, door, upstream, chance):
    """Whoever asked is told in a dialect of theirs, and not by a 500."""
    stream = chance.choice([True, False])
    data = reply_bytes(channel, chance.choice(["text", "tools"]), stream=stream)
    cutting = stream or chance.randrange(3) == 0
    data = cut(data, chance) if cutting else written(mangled(json.loads(data), chance))
    upstream.answer(lambda exchange: exchange.stream(data) if stream else exchange.reply(data))
    dialect = chance.choice(DIALECTS)
    body = json.dumps(asking(dialect, f"to-{channel}", stream=stream)).encode()
    send(door.port, path_of(dialect, f"to-{channel}", stream), body)


@fuzzed
@given(name=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=30),
       value=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=200))  # fmt: skip
def test_made_up_header_lines(door, name, value):
    known = "x-gateway-tags x-forwarded-for authorization accept traceparent content-type x-request-start".split()
    for each in (name, known[len(value) % len(known)]):
        send(door.port, "/v1/messages", json.dumps(asking("messages", "to-chat")).encode(), [f"{each}: {value}"])


@fuzzed
@given(path=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0 "), max_size=60))
def test_made_up_paths(door, path):
    send(door.port, "/" + path, b'{"model":"up"}')


PIECES = [
    b"GET ", b"POST /v1/messages HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n", b"\n", b"\r", b"\x00",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"hello\r\n", b"0\r\n\r\n", b": ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", f"x-api-key: {CLIENT_KEY}\r\n".encode(), b"HTTP/1.1", b"\xff\xff", b"{}",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
]  # fmt: skip


@both_workers
@fuzzed
@given(pieces=st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), max_size=12))
def test_what_is_no_http_at_all(door, pieces):
    with Client(door.port) as client:
        try:
            client.send(b"".join(pieces))
            client.sock.shutdown(1)
        except OSError:
            return
        came = b""
        try:
            while piece := client.sock.recv(65536):
                came += piece
        except ConnectionResetError:
            pass
        assert not re.search(rb"HTTP/1\.[01] 500", came)


def test_nothing_stays_behind(door):
    """A thousand large bodies that are refused leave neither memory nor files."""
    (worker,) = door.workers()
    bodies = [bytes_of(BODIES[name], "to-gemini") for name in ("deep lists", "a long name", "many messages")]

    def round_of(number):
        for _ in range(number):
            for body in bodies:
                send(door.port, path_of("messages", "to-gemini"), body)
        return resident_mb(worker)

    round_of(15)
    before = round_of(15)
    assert round_of(60) < before + 15
