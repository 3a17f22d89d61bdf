"""Puts system prompts into requests: by key, team, model or header, before or behind the client's own.

All rules that fit a call are carried out, in their order.
"""

import logging
from dataclasses import dataclass

from gateway import hookimpl, option, policies

log = logging.getLogger("gateway.inject")

_OPERATIONS = {"generate": {"chat", "responses", "messages", "gemini"}, "count_tokens": {"responses", "messages"}}


@dataclass(frozen=True, kw_only=True)
class Rule(policies.Rule):
    text: str = option("the system prompt")
    where: str = option("before or behind what the client says to the system", "before", choices=("before", "behind"))


@dataclass(frozen=True, kw_only=True)
class Options:
    rules: list[Rule] = option("what to add, for whom")
    mode: str = policies.mode_option("observe only logs what would be added")


class Plugin:
    def __init__(self, options):
        self._observes = options.mode == "observe"
        self._rules = [(rule, policies.Added(rule.text, rule.where == "before")) for rule in options.rules]

    @hookimpl
    def check_config(self):
        return [(rule.line, "the text of this rule is empty") for rule, _ in self._rules if not rule.text.strip()]

    @hookimpl
    def before_call(self, call):
        if call.dialect not in _OPERATIONS.get(call.operation, ()):
            return
        fitting = [added for rule, added in self._rules if rule.fits(call)]
        if not fitting:
            return
        if self._observes:
            log.info("%s %s: would add %d system prompts", call.id, call.principal.name, len(fitting))
            return
        data = policies.json_of(call)
        if data is not None:
            for added in fitting:
                data = policies.with_system_text(data, call.dialect, added)
            policies.put_json(call, data)
