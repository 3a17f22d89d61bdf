"""What a check found out about one key of one channel."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from gateway.domain import Channel
from gateway.live_check.discreet import Discreet

OK, WARNING, FAILED, UNKNOWN, SKIPPED, DISABLED = "ok", "warning", "failed", "unknown", "skipped", "disabled"

# In the order in which they are shown.
STEPS = ("dns", "tcp", "proxy", "tls", "auth", "model", "whole", "stream", "first_event", "usage", "end")


@dataclass(frozen=True, slots=True)
class Step:
    """``facts`` are for machines; ``text`` tells the same, and what to do, to people."""

    state: str
    text: str = ""
    seconds: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class Findings:
    """The steps of one check, as they are found. ``key`` is the key's number, as in
    x-gateway-route; None for a channel without keys.

    A check that does not end is given up from another thread: what it finds later is not taken.
    """

    def __init__(self, channel: Channel, key: int | None):
        self.channel = channel
        self.key = key
        self.dialect = ""
        self.model = ""
        self.steps: dict[str, Step] = {}
        self.seconds = 0.0
        self._shown = Discreet(channel)
        self._began = time.monotonic()
        self._under_way, self._since = STEPS[0], self._began
        self._over = False
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.channel.name if self.key is None else f"{self.channel.name}#{self.key}"

    @property
    def state(self) -> str:
        states = {step.state for step in self.steps.values()}
        return next((state for state in (FAILED, WARNING) if state in states), OK if self.steps else DISABLED)

    def start(self) -> None:
        """The check begins now."""
        self._began = time.monotonic()

    def begin(self, name: str) -> None:
        """The step *name* is under way from now on."""
        self._under_way, self._since = name, time.monotonic()

    def note(self, name: str, state: str, text: str = "", seconds: float | None = None, **facts: Any) -> None:
        """What came out of the step *name*. Secrets in *text* are masked, and in the texts of *facts*."""
        if seconds is None and name == self._under_way and state != SKIPPED:
            seconds = time.monotonic() - self._since
        facts = {fact: self._shown(value) if isinstance(value, str) else value for fact, value in facts.items()}
        with self._lock:
            if not self._over:
                self.steps[name] = Step(state, self._shown(text), seconds, facts)

    def end(self) -> None:
        """Nothing more comes; steps that were not taken are skipped."""
        with self._lock:
            self._over = True
            self.seconds = time.monotonic() - self._began
            self.steps = {name: self.steps.get(name, Step(SKIPPED)) for name in STEPS}

    def give_up(self) -> None:
        """The check does not end: the step under way is to blame."""
        self.fail(f"did not end within {time.monotonic() - self._began:.0f} s; given up")
        self.end()

    def fail(self, text: str) -> None:
        """The step under way has failed."""
        self.note(self._under_way, FAILED, text)

    def document(self) -> dict[str, Any]:
        """``{"channel", "key", "provider", "enabled", "dialect", "model", "state", "seconds", "steps": {name:
        {"state", "text", "seconds", ...}}}``; times in seconds, null where nothing was timed."""
        steps = {
            name: {"state": step.state, "text": step.text, "seconds": _rounded(step.seconds)} | step.facts
            for name, step in self.steps.items()
        }
        return {
            "channel": self.channel.name,
            "key": self.key,
            "provider": self.channel.provider.name,
            "enabled": self.channel.settings.enabled,
            "dialect": self.dialect,
            "model": self.model,
            "state": self.state,
            "seconds": _rounded(self.seconds),
            "steps": steps,
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
