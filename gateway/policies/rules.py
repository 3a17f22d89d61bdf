"""Whom a rule of a policy is for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gateway.domain import Call


@dataclass(frozen=True, slots=True)
class Whom:
    """The calls of certain keys and teams, for certain models, with certain headers: those that fit all
    that is given. All are names or globs; nothing given fits every call."""

    keys: Sequence[str] = ()
    teams: Sequence[str] = ()
    models: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def fits(self, call: Call) -> bool:
        principal = call.principal
        return (
            (not self.keys or _any(principal.name, self.keys))
            and (not self.teams or _any(principal.team, self.teams))
            and (not self.models or any(_any(model, self.models) for model in (call.model, *call.wishes.models)))
            and all(fnmatchcase(call.headers.get(name.lower(), ""), value) for name, value in self.headers.items())
        )

    def text(self) -> str:
        """For messages: ``team search, models gpt-*``."""
        parts = [("key", self.keys), ("team", self.teams), ("model", self.models)]
        said = [f"{word} {' or '.join(names)}" for word, names in parts if names]
        return ", ".join([*said, *(f"header {name}" for name in self.headers)]) or "all calls"


def _any(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in globs)
