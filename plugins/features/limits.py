"""Limits and budgets of keys and teams. In use whenever a key or a team has any.

Each call takes all that it may need at once, before any upstream hears of it, from the state that
all workers share; when it has ended, what it did not need is given back. Calls of a key without
limits pass by.
"""

import logging
import math
import time
from collections import deque
from dataclasses import dataclass, field

from gateway import Forbidden, PaymentRequired, TooManyRequests, allowances, hookimpl, option

log = logging.getLogger("gateway.limits")

_NAME = "limits"
_PLANS_KEPT = 10_000
_LATE = 10_000  # calls whose end is kept for a state that is away
_WITHOUT_STATE = {"refuse": "refused", "allow": "let through"}
_QUIET = 10.0  # seconds between two complaints about the state


@dataclass(frozen=True)
class Options:
    output: int = option("tokens reserved for the answer of a call that names no most", 4096, least=0)
    without_state: str = option(
        "calls of limited keys while the shared state is away", "refuse", choices=("refuse", "allow")
    )
    unpriced: str = option(
        "models without a known price, for keys with a budget in usd", "refuse", choices=("refuse", "allow")
    )


@dataclass(slots=True, eq=False)
class _Held:
    """What a call has taken."""

    wants: list
    taken: object
    roomy: bool  # nobody waits for what it gives back
    amounts: dict = field(default_factory=dict)


class Plugin:
    def __init__(self, options):
        self._options = options
        self._services = None
        self._plans = {}  # id of a principal -> (itself, so that its id stays its own; its plan)
        self._late = deque(maxlen=_LATE)
        self._touched = {}  # a budget's meter -> whether it refused a call since the last look
        self._work = None
        self._under_way = set()
        self._ended = False
        self._forgetful = False
        self._complained = -math.inf

    @hookimpl
    def check_config(self, config):
        scopes = [scope for scope in (*config.keys, *config.teams) if scope is not None]
        self._forgetful = not config.state and any(scope.budget for scope in scopes)

    @hookimpl
    def begin(self, services):
        self._services = services
        if self._forgetful:
            log.warning("budgets are kept where a restart of the machine forgets them: name a file with `state:`")
        self._work = services.every(1.0, self._catch_up, "limits")

    @hookimpl
    def end(self):
        self._ended = True  # calls under way are still to be settled: the last look is after them

    # --- the way in ------------------------------------------------------------------------------

    @hookimpl
    def arrange_channels(self, call, route):
        if not call.principal.allowances or self._services is None or not route.candidates:
            return
        plan, now = self._plan(call.principal), time.time()
        wants = self._wants(plan, call, route, now)
        if not wants:
            return
        try:
            taken = self._services.state.take([want.claim for want in wants])
        except allowances.StateAway as error:
            self._without_state(error)
            return
        if taken.refused is not None:
            self._refuse(call, wants, taken.refused, now)
        held = call.notes[_NAME] = _Held(wants, taken, allowances.is_roomy(taken))
        self._under_way.add(held)
        levels = zip((want.meter for want in wants), taken.levels, strict=True)
        call.reply_headers += allowances.rate_headers(call.dialect, levels, now)
        if taken.over:
            self._report(call, wants, taken.over)

    def _plan(self, principal):
        found = self._plans.get(id(principal))
        if found is None:
            if len(self._plans) >= _PLANS_KEPT:
                self._plans.clear()
            found = self._plans[id(principal)] = principal, allowances.plan_of(principal)
        return found[1]

    def _wants(self, plan, call, route, now):
        free = allowances.is_free(call)
        needs, usd = allowances.NO_NEEDS, 0
        if plan.needs_tokens and not free:
            needs = allowances.needs_of(call, self._options.output)
            if needs.unseen and plan.budgets:
                self._check_unseen(plan, call)
            if plan.in_usd:
                usd = self._dearest(plan, call, route, needs)
        return plan.wants((call.model, *call.wishes.models), needs, usd, free, now)

    def _check_unseen(self, plan, call):
        """Raises Forbidden where a budget would be none."""
        if self._options.unpriced == "allow":
            return
        if plan.strict:
            raise Forbidden(
                f"this key has a budget, and nobody here will see what {call.operation} use", code="price_unknown"
            )
        self._say_would_refuse(call, "price_unknown")

    def _dearest(self, plan, call, route, needs):
        """Micro-USD that the call may cost on its dearest candidate. Those without a price are dropped
        where a budget depends on it; raises Forbidden when that leaves none."""
        prices, at = self._services.prices, call.received
        costs = [(candidate, allowances.micro_usd(needs, candidate, prices, at)) for candidate in route.candidates]
        known = [cost for _, cost in costs if cost is not None]
        dearest = max(known, default=0)
        if len(known) == len(costs) or self._options.unpriced == "allow":
            return dearest
        if not plan.strict_usd:
            self._say_would_refuse(call, "price_unknown")
            return dearest
        if not known:
            raise Forbidden(
                f"this key's budget is in US dollars, and no price is known for {call.model or call.operation!r}: "
                "the gateway's operator has to add one", code="price_unknown",
            )  # fmt: skip
        for candidate, cost in costs:
            if cost is None:
                route.drop(candidate, "has no known price, and the key has a budget in US dollars")
        return dearest

    def _without_state(self, error):
        now = time.monotonic()
        if now - self._complained > _QUIET:
            self._complained = now
            log.error("%s; calls of limited keys are %s", error, _WITHOUT_STATE[self._options.without_state])
        if self._options.without_state == "refuse":
            raise error

    def _refuse(self, call, wants, refusal, now):
        """Raises TooManyRequests or PaymentRequired."""
        want = next(want for want in wants if want.claim.name == refusal.claim.name)
        meter, claim = want.meter, refusal.claim
        details = {"scope": meter.scope, "limit": meter.word, "most": meter.most, "used": refusal.used}
        if meter.glob:
            details["model"] = meter.glob
        if meter.per:
            self._touched[meter] = True
            raise PaymentRequired(_budget_text(meter, claim, refusal.used, now), details=details)
        call.reply_headers += allowances.refused_headers(refusal)
        call.reply_headers += self._levels(call.dialect, wants, now)
        retry = refusal.retry_after
        after = None if retry is None else float(math.ceil(retry))
        if after is None and meter.measure == "tokens":
            text = f"this call may use {claim.amount} tokens, more than the limit of {meter} allows at all"
        elif meter.seconds and after is not None:
            text = f"the limit of {meter} is reached; try again in {after:.0f} s"
        else:
            text = f"the limit of {meter} is reached"
        raise TooManyRequests(text, retry_after=after, details=details)

    def _levels(self, dialect, wants, now):
        """The headers of a refused call: what others have left."""
        windows = [want for want in wants if want.meter.seconds]
        try:
            levels = self._services.state.levels([want.claim for want in windows])
        except allowances.StateAway:
            return []
        return allowances.rate_headers(dialect, zip((want.meter for want in windows), levels, strict=True), now)

    def _report(self, call, wants, over):
        names = {claim.name for claim in over}
        meters = [want.meter for want in wants if want.claim.name in names]
        for meter in meters:
            if meter.per:
                self._touched[meter] = True
        self._say_would_refuse(call, allowances.would_refuse(meters))

    @staticmethod
    def _say_would_refuse(call, what):
        log.warning("%s %s would be refused: %s", call.id, call.principal.name, what)
        call.reply_headers.append(("x-gateway-would-refuse", what))

    # --- the way out -----------------------------------------------------------------------------

    @hookimpl
    def after_call(self, call, record):
        held = call.notes.get(_NAME)
        if held is None:
            return
        held.amounts = allowances.amounts_of(held.wants, record)
        for want in held.wants:
            if want.meter.per:
                self._touched.setdefault(want.meter, False)
        if not self._settle(held):
            self._late.append(held)

    def _settle(self, held):
        try:
            self._services.state.settle(held.taken, held.amounts, later=held.roomy)
        except allowances.StateAway as error:
            held.taken.settled = False  # it has to be done once more
            log.warning("a call's end is kept for later: %s", error)
            return False
        self._under_way.discard(held)
        return True

    def _catch_up(self):
        """Each second: what could not be settled, and what somebody has to be told of."""
        for _ in range(len(self._late)):
            held = self._late.popleft()
            if not self._settle(held):
                self._late.append(held)
                return
        touched, self._touched = self._touched, {}
        if touched:
            try:
                for warned in allowances.warnings_due(self._services.state, touched.items(), time.time()):
                    log.warning("%s", warned)
                    self._services.warn(warned.document())
            except allowances.StateAway:
                self._touched = touched | self._touched
                return
        if self._ended and not self._under_way:
            self._work.set()


def _budget_text(meter, claim, used, now):
    resets = meter.resets(now)
    until = "" if resets is None else time.strftime(" until %Y-%m-%d %H:%M UTC", time.gmtime(resets))
    left = max(meter.most - used, 0)
    if not left:
        return f"the budget of {meter} is spent{until}"
    said = allowances.amount_text
    return (
        f"this call may cost {said(meter.measure, claim.amount)}, and of the budget of {meter} "
        f"{said(meter.measure, left)} is left{until}; ask for a shorter answer"
    )
