"""The table of figures, their ratios and the targets beside them."""

import math
from dataclasses import dataclass

Results = dict[str, dict[str, dict[str, float]]]  # measure -> server -> figure -> value

SERVERS = ("direct", "nginx", "gateway", "litellm")


@dataclass(frozen=True)
class Target:
    """The gateway's figure is to be at least (or at most) *bound* times another one: a server's
    in the same row, or that of the row (measure, figure) in *row*. With neither, *bound* itself."""

    bound: float
    at_least: bool = True
    server: str = ""
    row: tuple[str, str] | None = None


@dataclass(frozen=True)
class Row:
    title: str
    measure: str
    figure: str
    digits: int = 0
    targets: tuple[Target, ...] = ()


ROWS = (
    Row("whole replies a second, 32 connections", "whole", "per_second", 0,
        (Target(1 / 32, server="nginx"), Target(10, server="litellm"))),
    Row("  CPU for one, ms", "whole", "cpu_ms", 3),
    Row("one connection: added median latency, ms", "one", "added", 3,
        (Target(1 / 10, at_least=False, server="litellm"),)),
    Row("streams of 100 events a second, 32 connections", "streams", "per_second", 0,
        (Target(1 / 5, server="nginx"), Target(30, server="litellm"))),
    Row("  CPU for one, ms", "streams", "cpu_ms", 3),
    Row("  translated (chat on Messages)", "translated", "per_second", 0,
        (Target(1 / 3, row=("streams", "per_second")),)),
    Row("slow streams of 20 events/s: complete, of 1", "slow", "complete", 3, (Target(1.0),)),
    Row("  delay of an event, p50, ms", "slow", "delay_p50", 2),
    Row("  delay of an event, p99, ms", "slow", "delay_p99", 2, (Target(10, at_least=False, server="nginx"),)),
    Row("  memory for one, KB", "slow", "kb_a_stream", 1, (Target(30, at_least=False),)),
)  # fmt: skip


def added_latency(results: Results) -> None:
    """What each server adds to the upstream's own median, put beside its figures."""
    medians = results.get("one", {})
    for figures in medians.values():
        figures["added"] = figures["median"] - medians["direct"]["median"]


def verdicts(row: Row, results: Results) -> list[tuple[str, bool]]:
    """Each target of *row* that can be judged, in words, and whether it is met."""
    found = []
    measured = results[row.measure]
    for target in row.targets:
        measure, figure = target.row or (row.measure, row.figure)
        other = results.get(measure, {}).get(target.server or "gateway", {}).get(figure)
        absolute = not target.server and not target.row
        if other is None and not absolute:
            continue
        value = measured["gateway"][row.figure]
        reached = value if absolute else value / other if other else math.inf
        met = reached >= target.bound if target.at_least else reached <= target.bound
        whose = target.server or ("untouched" if target.row else "")
        sign = ">=" if target.at_least else "<="
        text = f"{_ratio(reached)} {f'of {whose} ' if whose else ''}({sign} {_ratio(target.bound)})"
        found.append((text, met and not measured["gateway"]["failed"]))
    return found


def _ratio(value: float) -> str:
    if 0 < value < 1:
        return f"1/{1 / value:.1f}".removesuffix(".0")
    return f"{value:.1f}".removesuffix(".0")


def lines(results: Results) -> list[str]:
    """The whole table."""
    rows = [row for row in ROWS if row.measure in results]
    table = [f"{'':48}" + "".join(f"{name:>11}" for name in SERVERS) + "   ratios (targets)"]
    for row in rows:
        measured = results[row.measure]
        cells = ""
        for name in SERVERS:
            value = measured.get(name, {}).get(row.figure)
            cells += f"{'-' if value is None or _idle(row, name) else f'{value:,.{row.digits}f}':>11}"
        words = "; ".join(f"{text} {'ok' if met else 'MISSED'}" for text, met in verdicts(row, results))
        table.append(f"{row.title:48}{cells}   {words}".rstrip())
    for measure, measured in results.items():
        for name, figures in measured.items():
            if figures["failed"]:
                table.append(f"{name} failed {figures['failed']:.0f} times under {measure!r}")
    return table


def _idle(row: Row, server: str) -> bool:
    """The upstream itself is no proxy: it adds nothing, and its cost is not compared."""
    return server == "direct" and row.figure in ("added", "cpu_ms", "kb_a_stream")
