"""What the options of policies have in common: whom a rule is for, and whether it is carried out."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gateway.config.checker import option
from gateway.domain import Call


def mode_option(text: str) -> Any:
    """The option ``mode`` of policies that can stand by: *text* says what ``observe`` leaves."""
    return option(text, "enforce", choices=("enforce", "observe"))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What the rules of policies have in common: they are for the calls that fit all that is given, and
    one that gives nothing is for every call. ``line`` is where it stands in the YAML."""

    keys: list[str] = option("client keys (names or globs) that it is for; none given: all", [])
    teams: list[str] = option("teams that it is for", [])
    models: list[str] = option("models, by the name that the client uses", [])
    headers: dict[str, str] = option("header -> value (or glob) that the request must have", {})
    line: int = 0

    def fits(self, call: Call) -> bool:
        principal = call.principal
        return (
            (not self.keys or _any(principal.name, self.keys))
            and (not self.teams or _any(principal.team, self.teams))
            and (not self.models or any(_any(model, self.models) for model in (call.model, *call.wishes.models)))
            and (not self.headers or self._has_headers(call))
        )

    def _has_headers(self, call: Call) -> bool:
        return all(fnmatchcase(call.headers.get(name.lower(), ""), value) for name, value in self.headers.items())


def _any(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in globs)
