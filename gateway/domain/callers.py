"""Who calls: what a request carries of it, and whose it turns out to be."""

import fnmatch
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.config.kinds import Secret
from gateway.config.settings import Budget, KeySettings, Limits, TeamSettings


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the calls of one *scope* (``key:alice``, ``team:search``) may use together."""

    scope: str
    limits: Limits | None = None
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a client key's name and rights. ``models`` are names or globs; empty means all.
    With ``tags`` it is served only by channels that have all of them. ``show_route`` puts the
    attempts into each reply, ``show_timing`` where its time went; ``may_choose`` lets it choose
    channels by header. ``allowances`` are its own and its team's."""

    name: str
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    show_route: bool = False
    show_timing: bool = False
    may_choose: bool = True
    owner: str = ""
    team: str = ""
    allowances: tuple[Allowance, ...] = ()

    @classmethod
    def of(cls, key: KeySettings, team: TeamSettings | None = None) -> "Principal":
        allowances = []
        if key.limits or key.budget:
            allowances.append(Allowance(f"key:{key.name}", key.limits, key.budget))
        if team is not None and (team.limits or team.budget):
            allowances.append(Allowance(f"team:{team.name}", team.limits, team.budget))
        return cls(
            key.name, tuple(key.models), tuple(key.tags), key.show_route, key.show_timing, key.may_choose,
            key.owner, key.team, tuple(allowances),
        )  # fmt: skip

    def may_use(self, model: str) -> bool:
        return not self.models or any(fnmatch.fnmatchcase(model, pattern) for pattern in self.models)


ANONYMOUS = Principal("anonymous")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client's TLS certificate, which a trusted proxy has verified: small hexadecimal digits (SHA-1 or
    SHA-256), and its subject in the form of RFC 4514; either may be empty."""

    fingerprint: str
    subject: str


@dataclass(frozen=True, slots=True)
class Inbound:
    """What ``authenticate`` sees of a request. ``credentials`` holds the distinct keys it carried
    (Bearer, x-api-key, api-key, x-goog-api-key, ?key=), wherever they stood."""

    method: str
    path: str
    headers: Mapping[str, str]
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    credentials: tuple[Secret, ...] = field(repr=False)
    certificate: Certificate | None = None
    principal: Principal = ANONYMOUS  # whose it is, once that is known: pages are told
