"""Puts system prompts into requests: by key, team, model or header, before or behind the client's own.

All rules that fit a call are carried out, in their order.
"""

import logging
from dataclasses import dataclass

from gateway import hookimpl, option, policies

log = logging.getLogger("gateway.inject")

_OPERATIONS = {"generate": {"chat", "responses", "messages", "gemini"}, "count_tokens": {"responses", "messages"}}


@dataclass(frozen=True, kw_only=True)
class Rule:
    text: str = option("the system prompt")
    where: str = option("before or behind what the client says to the system", "before", choices=("before", "behind"))
    keys: list[str] = option("client keys (names or globs) that it is for; none given: all", [])
    teams: list[str] = option("teams that it is for", [])
    models: list[str] = option("models, by the name that the client uses", [])
    headers: dict[str, str] = option("header -> value (or glob) that the request must have", {})
    line: int = 0


@dataclass(frozen=True, kw_only=True)
class Options:
    rules: list[Rule] = option("what to add, for whom")
    mode: str = option("observe only logs what would be added", "enforce", choices=("enforce", "observe"))


class Plugin:
    def __init__(self, options):
        self._observes = options.mode == "observe"
        self._empty = [rule.line for rule in options.rules if not rule.text.strip()]
        self._rules = [
            (
                policies.Whom(rule.keys, rule.teams, rule.models, rule.headers),
                policies.Added(rule.text, rule.where == "before"),
            )
            for rule in options.rules
        ]

    @hookimpl
    def check_config(self):
        return [(line, "the text of this rule is empty") for line in self._empty]

    @hookimpl
    def before_call(self, call):
        if call.dialect not in _OPERATIONS.get(call.operation, ()):
            return
        fitting = [added for whom, added in self._rules if whom.fits(call)]
        if not fitting:
            return
        if self._observes:
            log.info("%s %s: would add %d system prompts", call.id, call.principal.name, len(fitting))
            return
        text = policies.text_of(call)
        if text is not None:
            for added in fitting:
                text = policies.with_system_text(text, call.dialect, added)
            policies.put_text(call, text)
