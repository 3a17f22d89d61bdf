"""What a check says."""

from dataclasses import dataclass

from gateway.testing.bench import Bench

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


def need_upstream(bench: Bench) -> None:
    """Raises NotApplicable where there is nothing between the gateway and the provider to look at."""
    if bench.inside:
        raise NotApplicable("answers inside the gateway")


def expect(condition: object, message: str) -> None:
    """Raises Failed with *message* unless *condition*."""
    if not condition:
        raise Failed(message)
