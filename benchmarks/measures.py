"""What is measured: one function for each kind of load, from a server and a plan to figures."""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import paced, wrk
from benchmarks.servers import KEY, Server

_CHAT = "/v1/chat/completions"
_HEADERS = {"Authorization": f"Bearer {KEY}"}
_CONNECTIONS = 32
_EVENTS = 100
_SMALLEST_EVENT = 60  # bytes; an answer with fewer on average was not the whole stream
_PAUSE = 0.05  # 20 events a second
_WARM_STREAMS, _WARM_EVENTS = 40, 10

Figures = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """How much is done: ``seconds`` of wrk per round, ``streams`` slow ones of ``events``."""

    rounds: int
    seconds: int
    streams: int
    events: int
    ramp: float


FULL = Plan(rounds=3, seconds=4, streams=1000, events=200, ramp=4.0)
QUICK = Plan(rounds=1, seconds=1, streams=40, events=20, ramp=0.4)


def _body(model: str, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "Tell me about the quick brown fox and the lazy dog."}]
    document = {"model": model, "messages": messages, "max_tokens": 512}
    return json.dumps(document | ({"stream": True} if stream else {}), separators=(",", ":")).encode()


def _drive(server: Server, port: int, body: bytes, connections: int, plan: Plan, smallest: int) -> Figures:
    cpu = server.cpu()
    load = wrk.run(port, _CHAT, body, _HEADERS, connections, plan.seconds)
    done = max(load.per_second * plan.seconds, 1)
    failed = load.failed + (load.bytes_each < smallest)
    return {
        "per_second": load.per_second, "median": load.median, "p99": load.p99, "failed": failed,
        "cpu_ms": (server.cpu() - cpu) / done * 1000,
    }  # fmt: skip


def whole(server: Server, plan: Plan) -> Figures:
    return _drive(server, server.whole, _body("whole", False), _CONNECTIONS, plan, 1)


def one(server: Server, plan: Plan) -> Figures:
    return _drive(server, server.whole, _body("whole", False), 1, plan, 1)


def streams(server: Server, plan: Plan) -> Figures:
    body = _body(f"mock-{_EVENTS}x0", True)
    return _drive(server, server.streams, body, _CONNECTIONS, plan, _EVENTS * _SMALLEST_EVENT)


def translated(server: Server, plan: Plan) -> Figures:
    """A chat client on a channel that speaks Messages."""
    body = _body("translated", True)
    return _drive(server, server.streams, body, _CONNECTIONS, plan, _EVENTS * _SMALLEST_EVENT)


def slow(server: Server, plan: Plan) -> Figures:
    # What a worker loads at its first calls is no stream's.
    paced.run(server.streams, _request(_WARM_EVENTS), _WARM_STREAMS, _WARM_EVENTS, _PAUSE, _PAUSE, server.memory)
    grown: list[int] = []
    memory, cpu = server.memory(), server.cpu()
    run = paced.run(
        server.streams, _request(plan.events), plan.streams, plan.events, _PAUSE, plan.ramp,
        lambda: grown.append(server.memory() - memory),
    )  # fmt: skip
    return {
        "complete": run.complete / run.asked, "failed": run.asked - run.complete,
        "delay_p50": run.delay(0.5), "delay_p99": run.delay(0.99), "delay_max": run.delay(1.0),
        "kb_a_stream": grown[0] / run.asked / 1024,
        "cpu_seconds": server.cpu() - cpu, "driver_cpu_seconds": run.driver_cpu, "seconds": run.seconds,
    }  # fmt: skip


def _request(events: int) -> bytes:
    """One for a slow stream."""
    body = _body(f"mock-{events}x{round(_PAUSE * 1000)}", True)
    head = f"POST {_CHAT} HTTP/1.1\r\nHost: benchmark\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in _HEADERS.items())
    return head.encode() + b"\r\n" + body


@dataclass(frozen=True)
class Measure:
    run: Callable[[Server, Plan], Figures]
    on: tuple[str, ...] = ("direct", "nginx", "gateway", "litellm")


MEASURES = {
    "slow": Measure(slow),  # first, because memory is judged on workers that have not grown yet
    "whole": Measure(whole),
    "one": Measure(one),
    "streams": Measure(streams),
    "translated": Measure(translated, ("gateway",)),
}


def summary(rounds: list[Figures]) -> Figures:
    """The median of each figure; memory and failures are judged by the worst round."""
    worst = ("failed", "kb_a_stream")
    return {n: (max if n in worst else statistics.median)([r[n] for r in rounds]) for n in rounds[0]}
