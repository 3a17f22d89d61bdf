"""The settings of keys and teams as the store keeps them: JSON of the form that gateway.yaml has, read
by the same checker."""

import dataclasses
import json
import threading
from collections.abc import Mapping
from typing import Any

from gateway.config.checker import Checker
from gateway.config.document import Complaints, Node
from gateway.config.forms import node_of
from gateway.config.settings import KeySettings, TeamSettings
from gateway.store.clock import moment

# What of a key's or a team's settings has no column of its own.
_COLUMNS = ("name", "key", "sha256", "certificates", "owner", "team", "expires", "line")
KEY_MEMBERS = tuple(field.name for field in dataclasses.fields(KeySettings) if field.name not in _COLUMNS)
TEAM_MEMBERS = ("limits", "budget")

# One for all: what a checker finds out about a class of settings takes longer than a lookup.
_checker = Checker(Complaints(""))
_one_at_a_time = threading.Lock()


def read_key(name: str, owner: str, team: str, expires: int | None, document: dict[str, Any]) -> KeySettings:
    """The settings of a stored key. Raises ConfigError when they cannot be read: a newer gateway wrote
    them, or somebody's hand."""
    ends = {} if expires is None else {"expires": moment(expires)}
    return checked(KeySettings, document | ends | {"name": name, "owner": owner, "team": team}, f"key {name!r}")


def read_team(name: str, document: dict[str, Any]) -> TeamSettings:
    """The settings of a stored team. Raises ConfigError, as read_key does."""
    return checked(TeamSettings, document | {"name": name}, f"team {name!r}")


def checked(kind: type, document: Any, what: str) -> Any:
    """Plain data as settings of *kind*. Raises ConfigError with every complaint, *what* before each."""
    complaints = Complaints(what)
    with _one_at_a_time:
        _checker.complaints = complaints
        settings = _checker.read(kind, node_of(document, 1))
    # There are no lines that a complaint could name.
    complaints.lines = [line.replace(f"{what}:1: ", f"{what}: ", 1) for line in complaints.lines]
    complaints.raise_any()
    return settings


def written(document: Mapping[str, Any]) -> str:
    """As the store keeps it: the same settings are the same text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def plain(node: Node) -> Any:
    """The data of a node that was read from a file, as JSON has it."""
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value if isinstance(node.value, bool | int | float | None) else node.text
