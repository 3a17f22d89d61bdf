"""What a check says."""

from dataclasses import dataclass

PASSED, FAILED, SKIPPED, NOTED = "passed", "failed", "skipped", "noted"


class Failed(Exception):
    """The plugin does not keep a rule; the message says where."""


class NotApplicable(Exception):
    """There is nothing to check; the message says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one provider (empty: of the plugin itself); ``outcome`` is one of the words above."""

    provider: str
    check: str
    outcome: str
    detail: str = ""


def expect(condition: object, message: str) -> None:
    """Raises Failed with *message* unless *condition*."""
    if not condition:
        raise Failed(message)
