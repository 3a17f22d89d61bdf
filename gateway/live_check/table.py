"""Findings for people: a table, then what failed and what to do."""

from collections.abc import Iterable, Sequence

from gateway.live_check.findings import DISABLED, FAILED, OK, SKIPPED, STEPS, UNKNOWN, WARNING, Findings, Step

_WORDS = {OK: "ok", WARNING: "warn", FAILED: "FAILED", UNKNOWN: "?", SKIPPED: "-"}
_HEADS = {"first_event": "first event", "model": "listed"}


def table(checks: Sequence[Findings]) -> list[str]:
    """A line for each check, under a heading; ``-`` was not tried or is not there, ``?`` cannot be told."""
    shown = [name for name in STEPS if name != "whole" or any(name in _taken(check) for check in checks)]
    rows = [["channel", "model", *(_HEADS.get(name, name) for name in shown)]]
    for check in checks:
        if check.state == DISABLED:
            rows.append([check.name, DISABLED])
            continue
        note = "" if check.channel.settings.enabled else " (disabled)"
        rows.append([f"{check.name}{note}", check.model or "-", *(_cell(name, check.steps[name]) for name in shown)])
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]


def remarks(checks: Iterable[Findings]) -> list[str]:
    """A line for each step that failed or gives a warning."""
    return [
        f"{'warning' if step.state == WARNING else step.state}: {check.name}: {name.replace('_', ' ')}: {step.text}"
        for state in (FAILED, WARNING)
        for check in checks
        for name, step in check.steps.items()
        if step.state == state
    ]


def summary(checks: Sequence[Findings]) -> str:
    """How many of the checks ended how."""
    said = {OK: "good", WARNING: "with warnings", FAILED: "failed", DISABLED: "disabled"}
    counts = {state: sum(check.state == state for check in checks) for state in said}
    told = ", ".join(f"{count} {said[state]}" for state, count in counts.items() if count)
    return f"{len(checks)} check{'s' * (len(checks) != 1)}: {told}"


def untried(checks: Sequence[Findings]) -> list[str]:
    """What was spared."""
    tried = {(check.channel.name, check.key) for check in checks}
    channels = {check.channel.name: check.channel for check in checks if check.state != DISABLED}.values()
    left = sum((channel.name, key) not in tried for channel in channels for key in range(len(channel.keys)))
    return [f"{left} more key{'s' * (left != 1)} not tried (--keys)"] if left else []


def _taken(check: Findings) -> set[str]:
    return {name for name, step in check.steps.items() if step.state != SKIPPED}


def _cell(name: str, step: Step) -> str:
    if step.state == OK and name == "first_event" and step.seconds is not None:
        return f"{step.seconds * 1000:.0f} ms"
    if step.state in (OK, WARNING) and "days_left" in step.facts:
        return f"{step.facts['days_left']} days" + (" !" if step.state == WARNING else "")
    return _WORDS[step.state]
