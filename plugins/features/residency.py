"""Keeps calls on channels that are tagged for them: say, the calls of one team inside the EU.

Each rule that fits a call must be met by each channel that it is tried on. With none left, it is refused.
"""

import logging
from dataclasses import dataclass

from gateway import Forbidden, hookimpl, option, policies

log = logging.getLogger("gateway.residency")


@dataclass(frozen=True, kw_only=True)
class Rule(policies.Rule):
    any: list[str] = option("a channel needs one of these tags", [])
    all: list[str] = option("a channel needs all of these tags", [])
    none: list[str] = option("a channel may have none of these tags", [])

    def objection(self, tags):
        """Why a channel with these *tags* may not serve; empty if it may."""
        if self.any and not set(self.any) & set(tags):
            return f"not tagged {' or '.join(self.any)}"
        lacking = [tag for tag in self.all if tag not in tags]
        if lacking:
            return f"not tagged {' and '.join(lacking)}"
        unwanted = [tag for tag in self.none if tag in tags]
        return f"tagged {' and '.join(unwanted)}" if unwanted else ""


@dataclass(frozen=True, kw_only=True)
class Options:
    rules: list[Rule] = option("who may use which channels")
    mode: str = policies.mode_option("observe only says what would be left out")


class Plugin:
    def __init__(self, options):
        self._observes = options.mode == "observe"
        self._rules = options.rules

    @hookimpl
    def check_config(self, config):
        known = {tag for channel in config.channels if channel for tag in channel.tags}
        complaints = []
        for rule in self._rules:
            if not (rule.any or rule.all or rule.none):
                complaints.append((rule.line, "this rule names no tags; expected any, all or none"))
            missing = [tag for tag in rule.all if tag not in known]
            if rule.any and not known & set(rule.any):
                missing += rule.any
            complaints += [(rule.line, f"no channel is tagged {tag!r}") for tag in missing]
        return complaints

    @hookimpl
    def arrange_channels(self, call, route):
        rules = [rule for rule in self._rules if rule.fits(call)]
        if not rules or not route.candidates:
            return
        left = []
        for candidate in list(route.candidates):
            objections = [rule.objection(candidate.channel.settings.tags) for rule in rules]
            why = next(filter(None, objections), "")
            if not why:
                left.append(candidate)
            elif not self._observes:
                route.drop(candidate, f"residency: {why}")
            else:
                log.info("%s %s: would not use %s: %s", call.id, call.principal.name, candidate.channel.name, why)
        if not left:
            self._none_left(call)

    def _none_left(self, call):
        if self._observes:
            call.reply_headers.append(("x-gateway-would-refuse", "residency"))
            return
        text = f"no channel that has {call.model or call.operation!r} may serve this key's calls"
        raise Forbidden(text, code="residency", param="model")
