"""``python -m benchmarks.policies``: what the shipped policies cost, an event and a request.

The first table is CPU time inside one process, of the filters alone; the second sends the same load to a gateway
without and with three policies, in turns (needs nginx and wrk, see README.md).
"""

import contextlib
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from benchmarks import wrk
from benchmarks.servers import HERE, KEY, WORKERS, CannotStart, Server, _await, _free_ports, _process, _tool
from gateway import policies

_USUAL = [policies.named_pattern(name) for name in ("email", "card", "iban", "api_key")]
_TOKENS = "the quick brown fox jumps over <b> the lazy dog and writes some code in Python for".split()
# What stands before call_log in `plugins:`.
_RESIDENCY = "{residency: {rules: [{any: [here]}]}}"
_SETS = {
    "none": "",
    "redact, residency, inject": f"redact, {_RESIDENCY}, {{inject: {{rules: [{{text: Be kind.}}]}}}}, ",
    "audit": "{audit: {file: audit.jsonl}}, ",
    "redact, residency, audit": f"redact, {_RESIDENCY}, {{audit: {{file: audit.jsonl}}}}, ",
}


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Rounds of the load, the gateways in turns.")
@click.option("--seconds", default=4, show_default=True, help="Seconds of each load.")
@click.option("--only-events", is_flag=True, help="The first table only.")
def main(rounds: int, seconds: int, only_events: bool) -> None:
    """Measure what policies cost.

    Example: python -m benchmarks.policies --rounds 3
    """
    click.echo("CPU time of redact, microseconds\n")
    for title, cost in event_costs().items():
        click.echo(f"  {title:62} {cost:8.2f}")
    if not only_events:
        try:
            click.echo("\n".join(load_lines(rounds, seconds)))
        except CannotStart as error:
            raise click.ClickException(str(error)) from None


# --- one event ------------------------------------------------------------------------------------------


def event_costs() -> dict[str, float]:
    """Title -> microseconds for an event, or a request."""
    words = random.Random(1).choices(_TOKENS, k=400)
    plain = [_event(f"{word} ") for word in words]
    masked = [_event("<EMAIL_1>" if n % 10 == 0 else word) for n, word in enumerate(words)]
    masks = policies.Masks("")
    masks.values["<EMAIL_1>"] = "alice@example.com"
    small = json.dumps({"model": "m", "messages": [{"role": "user", "content": "What is the weather in Oslo?"}]})
    turns = [{"role": "user", "content": " ".join(random.Random(n).choices(_TOKENS, k=300))} for n in range(60)]
    large = json.dumps({"model": "m", "messages": turns})
    found = json.dumps({"model": "m", "messages": [*turns, {"role": "user", "content": "I am alice@example.com"}]})

    def stream(events: list[bytes], *arguments: object) -> Callable[[], None]:
        def run() -> None:
            rewriter = policies.ReplyRewriter("chat", *arguments)
            for event in events:
                rewriter.feed(event)

        return run

    def search(text: str) -> Callable[[], object]:
        return lambda: policies.find_in_document(text, _USUAL, "chat")

    return {
        "an event, nothing masked in the request": 0.0,  # there is no filter then
        "an event, to put values back; none in it": _cost(stream(plain, (), masks, print)) / len(plain),
        "an event, to put values back; one in ten holds one": _cost(stream(masked, (), masks, print)) / len(masked),
        "an event, the reply is searched too": _cost(stream(plain, _USUAL, masks, print)) / len(plain),
        f"a request of {len(small)} bytes, nothing in it": _cost(search(small)),
        f"a request of {len(large) // 1000} KB, nothing in it": _cost(search(large)),
        f"a request of {len(found) // 1000} KB, one address in it": _cost(search(found)),
    }


def _event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps(head | {'choices': [choice]})}\n\n".encode()


def _cost(run: Callable[[], object]) -> float:
    """Microseconds of CPU time, the best of some rounds."""
    best, deadline = float("inf"), time.monotonic() + 1.0
    while time.monotonic() < deadline:
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return best * 1e6


# --- a load ---------------------------------------------------------------------------------------------


def load_lines(rounds: int, seconds: int) -> list[str]:
    """The second table. Raises CannotStart."""
    for tool in ("nginx", "wrk"):
        if _tool(tool) is None:
            raise CannotStart(f"{tool} is missing; on Debian: apt-get install nginx-light wrk")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers run as another user
        figures = _measured(folder, rounds, seconds)
    lines = [
        "",
        f"whole replies, 32 connections, {WORKERS} workers (most replies, least CPU of {rounds} rounds; each round's)",
        "",
        f"  {'':30} {'a second':>9}    {'CPU for one, ms':>15}",
    ]  # fmt: skip
    bare, bare_cpu = _best(figures["none"])
    for title, found in figures.items():
        speed, cpu = _best(found)
        rounds_said = ", ".join(f"{each[0]:.0f}/{each[1]:.3f}" for each in found)
        lines.append(
            f"  {title:30} {speed:9.0f} {_percent(speed, bare)} {cpu:9.3f} {_percent(cpu, bare_cpu)}   {rounds_said}"
        )
    return lines


def _best(found: list[tuple[float, float]]) -> tuple[float, float]:
    """Whatever else the machine does only makes it worse."""
    speeds, cpus = zip(*found, strict=True)
    return max(speeds), min(cpus)


def _percent(value: float, bare: float) -> str:
    return f"{100 * (value / bare - 1):+6.1f} %"


def _measured(folder: Path, rounds: int, seconds: int) -> dict[str, list[tuple[float, float]]]:
    """Title -> (whole replies a second, milliseconds of CPU time for one) of each round."""
    static, *ports = _free_ports(1 + len(_SETS))
    text = (HERE / "conf" / "static.conf").read_text().replace("$static", str(static))
    (folder / "static.conf").write_text(text)
    figures: dict[str, list[tuple[float, float]]] = {title: [] for title in _SETS}
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "What is the weather?"}]}).encode()
    headers = {"x-api-key": KEY}
    nginx = [_tool("nginx"), "-p", str(folder), "-c", str(folder / "static.conf")]
    with _process(folder, "static", nginx, {}) as upstream:
        _await(static, upstream, folder / "static.log")
        for number in range(rounds):
            for (title, plugins), port in zip(_SETS.items(), ports, strict=True):
                with _gateway(folder, plugins, static, port) as server:
                    wrk.run(port, "/v1/chat/completions", body, headers, 32, 2)  # warms up
                    before = server.cpu()
                    load = wrk.run(port, "/v1/chat/completions", body, headers, 32, seconds)
                    used = server.cpu() - before
                if load.failed or not load.per_second:
                    raise CannotStart(f"calls failed with {title}")
                figures[title].append((load.per_second, 1000 * used / (load.per_second * seconds)))
                click.echo(f"\rround {number + 1} of {rounds}: {title:30}", err=True, nl=False)
    click.echo("\r" + " " * 60 + "\r", err=True, nl=False)
    return figures


@contextlib.contextmanager
def _gateway(folder: Path, plugins: str, static: int, port: int) -> Iterator[Server]:
    """A gateway that answers, with these plugins before the call log."""
    config, log = folder / "gateway.yaml", folder / "gateway.log"
    config.write_text(f"""
plugins: [{plugins}call_log]
keys: [{{name: benchmark, key: {KEY}}}]
channels:
  - {{name: whole, provider: openai-compatible, base_url: "http://127.0.0.1:{static}", key: sk-up, tags: [here]}}
""")
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--bind", f"127.0.0.1:{port}",
               "--workers", str(WORKERS), "--graceful-timeout", "1"]  # fmt: skip
    with _process(folder, "gateway", command, {}) as process:
        _await(port, process, log)
        with socket.create_connection(("127.0.0.1", port), 60) as client:  # until a worker answers
            client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            client.recv(1)
        yield Server("gateway", port, port, process.pid)


if __name__ == "__main__":
    main()
