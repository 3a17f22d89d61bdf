"""A name server that takes its time is part of connecting: its channel fails in time, and the next one is tried."""

import re
import time
import uuid

import pytest
from live_cases import asking, reply_bytes

pytestmark = pytest.mark.live

# In place of a name server, for which a test would have to be root: the system's own call, which both kinds of
# worker end in, holds its thread as long as the C library's does.
SITECUSTOMIZE = """
import _socket
import time

real, sleep = _socket.getaddrinfo, time.sleep

def getaddrinfo(host, *more, **named):
    if host in ("slow.test", "late.test"):
        sleep(12 if host == "slow.test" else 1)
    return real("127.0.0.1" if str(host).endswith(".test") else host, *more, **named)

_socket.getaddrinfo = getaddrinfo
"""


@pytest.fixture(name="slowly", params=["gevent", "gthread"])
def _slowly(request, start, tmp_path):
    """slowly(timeouts, more) -> a gateway; of its models `slow` has one channel, `either` a second one that is well."""
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)

    def started(upstream, timeouts, more=""):
        port = upstream.port
        return start(
            f"""
{more}
plugins: [{{call_log: {{format: text}}}}]
keys: [{{name: tester, key: "${{CLIENT_KEY}}", show_route: true}}]
channels:
  - {{name: slow, provider: openai, key: k, models: [slow, either], priority: 1, base_url: "http://slow.test:{port}",
     timeout: {timeouts}}}
  - {{name: late, provider: openai, key: k, models: [late], base_url: "http://late.test:{port}", timeout: {timeouts}}}
  - {{name: quick, provider: openai, key: k, models: [either, quick], base_url: "http://quick.test:{port}"}}
""",
            worker_class=request.param,
            environment={"PYTHONPATH": str(tmp_path)},
        )

    return started


def test_a_slow_name_ends_the_attempt_at_its_connect_timeout(slowly, upstream, clients):
    gateway, name = slowly(upstream, "{connect: 0.5}", "health: {trips: 2, cool_down: 60}"), f"slow-{uuid.uuid4()}"
    began = time.monotonic()
    client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "slow"), x_request_id=name).head()
    assert (client.status, client.json()["error"]["code"]) == (504, "upstream_connect_timeout")
    assert time.monotonic() - began < 6
    assert gateway.outcome(name) == ("failed", 1, "upstream_connect_timeout")
    # The second takes over, and what failed so twice is left alone from then on.
    upstream.answer(lambda exchange: exchange.stream(reply_bytes("chat")))
    routes = []
    for _ in range(2):
        client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "either")).head()
        assert client.rest() == (reply_bytes("chat"), True)
        routes.append(re.findall(r"(\w+)#0:([\w.]+)/", client.headers["x-gateway-route"]))
    assert routes == [[("slow", "upstream_connect_timeout"), ("quick", "ok")], [("quick", "ok")]]


def test_a_slow_name_ends_the_call_at_its_deadline(slowly, upstream, clients):
    gateway, name = slowly(upstream, "{connect: 60}", "routing: {deadline: 0.5}"), f"slow-{uuid.uuid4()}"
    began = time.monotonic()
    client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "slow"), x_request_id=name).head()
    assert (client.status, client.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert time.monotonic() - began < 6
    assert gateway.outcome(name) == ("failed", 1, "deadline_exceeded")


def test_the_time_until_the_request_is_sent_is_none_of_the_first_events(slowly, upstream, clients):
    gateway = slowly(upstream, "{connect: 8, first_event: 0.7}")
    client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "late"))
    with upstream.take() as exchange:
        assert not exchange.left_within(0.2)
        exchange.stream(reply_bytes("chat"))
        assert (client.head().status, client.rest()) == (200, (reply_bytes("chat"), True))
    client.post("/v1/chat/completions", asking("chat", "late"))
    with upstream.take() as exchange:
        assert client.head().status == 504
        assert client.json()["error"]["code"] == "upstream_first_event_timeout"


def test_a_slow_name_holds_up_no_other_call(slowly, upstream, clients):
    gateway = slowly(upstream, "{connect: 4}")
    upstream.answer(lambda exchange: exchange.stream(reply_bytes("chat")))
    waiting = [clients(gateway.port).post("/v1/chat/completions", asking("chat", "slow")) for _ in range(12)]
    began = time.monotonic()
    client = clients(gateway.port).post("/v1/chat/completions", asking("chat", "quick")).head()
    assert client.rest() == (reply_bytes("chat"), True)
    assert time.monotonic() - began < 3.5
    for each in waiting:
        each.leave()
