"""What a check found, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
_ORDER = (FAILED, WARNING, SKIPPED, OK)


@dataclass(frozen=True, slots=True)
class Finding:
    """``remedy`` says what to do; every finding but a good one has it. ``facts`` are for machines."""

    check: str
    state: str
    text: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.state == OK or self.remedy, f"{self.check}: what to do?"


def ok(check: str, text: str, **facts: Any) -> Finding:
    return Finding(check, OK, text, "", facts)


def warning(check: str, text: str, remedy: str, **facts: Any) -> Finding:
    return Finding(check, WARNING, text, remedy, facts)


def failed(check: str, text: str, remedy: str, **facts: Any) -> Finding:
    return Finding(check, FAILED, text, remedy, facts)


def skipped(check: str, text: str, remedy: str, **facts: Any) -> Finding:
    """It could not be looked at; ``remedy`` says what that takes."""
    return Finding(check, SKIPPED, text, remedy, facts)


def told(findings: Iterable[Finding]) -> list[str]:
    """Lines for people: the worst first, below each what to do."""
    lines = []
    for finding in sorted(findings, key=lambda finding: _ORDER.index(finding.state)):
        state = "FAILED" if finding.state == FAILED else finding.state
        lines.append(f"{state:<8} {finding.check}: {finding.text}")
        if finding.remedy:
            lines.append(f"{'':<8} -> {finding.remedy}")
    return lines


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """``{"ok", "findings": [{"check", "state", "text", "remedy", "facts"}]}``"""
    return {"ok": not any_failed(findings), "findings": [asdict(finding) for finding in findings]}


def any_failed(findings: Iterable[Finding]) -> bool:
    return any(finding.state == FAILED for finding in findings)
