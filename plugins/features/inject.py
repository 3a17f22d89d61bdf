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

    @property
    def added(self):
        return policies.Added(self.text, self.where == "before")


@dataclass(frozen=True, kw_only=True)
class Options:
    rules: list[Rule] = option("what to add, for whom")
    mode: str = option("observe only logs what would be added", "enforce", choices=("enforce", "observe"))


class Plugin:
    def __init__(self, options):
        self._observes = options.mode == "observe"
        self._rules = options.rules

    @hookimpl
    def check_config(self):
        return [(rule.line, "the text of this rule is empty") for rule in self._rules if not rule.text.strip()]

    @hookimpl
    def before_call(self, call):
        if call.dialect not in _OPERATIONS.get(call.operation, ()):
            return
        fitting = [rule.added for rule in self._rules if rule.fits(call)]
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
