"""Which claims follow from a principal, a call and the time."""

import fnmatch
import functools
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from gateway.allowances.needs import Needs
from gateway.config.settings import Budget, Limits, Rates
from gateway.domain import Allowance, Principal
from gateway.state import Claim, Purse, Slots, Window

REQUESTS, TOKENS, CALLS, USD = "requests", "tokens", "calls", "usd"
# A budget bounds what is spent but for what the calls under way come to beyond what was reserved
# for them. So that this is bounded, too, so is their number, where no limit of concurrency does it.
AT_ONCE = 1000

_GUESSED = 10  # the part of a budget that is reserved at most for a call that does not say its most

_SPANS = (
    ("rpm", REQUESTS, 60), ("rph", REQUESTS, 3600), ("rpd", REQUESTS, 86400),
    ("tpm", TOKENS, 60), ("tph", TOKENS, 3600), ("tpd", TOKENS, 86400),
)  # fmt: skip
_SPAN_WORDS = {60: "a minute", 3600: "an hour", 86400: "a day"}
# How long a purse is remembered behind its last use, in seconds.
_KEPT = {"day": 3 * 86400, "month": 40 * 86400, "total": 0}
_PERIODS = {"day": "%Y-%m-%d", "month": "%Y-%m", "total": "total"}


@dataclass(frozen=True, slots=True)
class Meter:
    """One thing that is counted for a *scope* (``key:alice``), for calls of models like *glob* only
    if that is not empty. ``most`` is in requests, tokens, calls at once or micro-USD (*measure*).
    ``per`` is a budget's period, empty for limits."""

    scope: str
    glob: str
    word: str  # as in the configuration: rpm, concurrency, usd
    measure: str
    most: int
    observe: bool
    name: str
    seconds: int = 0
    per: str = ""
    fixed: Claim | None = field(default=None, compare=False)  # where the claim is the same for each call

    def __str__(self) -> str:
        whose = scope_text(self.scope) + (f" for models {self.glob!r}" if self.glob else "")
        if self.measure == CALLS:
            return f"{self.most} calls at once of {whose}"
        if self.per:
            every = "in total" if self.per == "total" else f"a {self.per}"
            return f"{amount_text(self.measure, self.most)} {every} of {whose}"
        return f"{self.most} {self.measure} {_SPAN_WORDS[self.seconds]} of {whose}"

    def claim(self, amount: int) -> Claim:
        """Of a limit: *amount* tokens, where it is tokens that it counts."""
        return self.fixed or Window(self.name, self.seconds, self.most, amount, self.observe)

    def purse_name(self, now: float) -> str:
        """A budget's purse at *now* (seconds since 1970): each UTC day or month has one of its own."""
        return f"{self.name}/{_period(self.per, int(now) // 86400)}"

    def resets(self, now: float) -> float | None:
        """When a budget's period ends, in seconds since 1970; None: never."""
        return period_end(self.per, now)

    def purse(self, now: float, amount: int = 0) -> Purse:
        return Purse(self.purse_name(now), self.most, amount, self.observe, _KEPT[self.per])

    def reserved(self, now: float, amount: int = 0) -> Purse:
        return reserved_of(self.purse(now, amount))


@dataclass(slots=True)  # not frozen: some are made for each call, which takes three times as long then
class Want:
    """A claim, and what it is for; ``reserve`` marks the note of what a budget holds in reserve."""

    meter: Meter
    claim: Claim
    reserve: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """All meters of a principal: those of each call, those of single models, and the budgets."""

    limits: tuple[Meter, ...]
    by_model: tuple[tuple[re.Pattern, tuple[Meter, ...]], ...]
    budgets: tuple[Meter, ...]
    ready: dict[str, Want] = field(default_factory=dict, compare=False)  # by meter's name: the same for each call
    needs_tokens: bool = False  # whether anything is counted but requests

    @property
    def in_usd(self) -> bool:
        return any(meter.measure == USD for meter in self.budgets)

    @property
    def strict_usd(self) -> bool:
        """Whether a call without a known price has to be refused."""
        return any(meter.measure == USD and not meter.observe for meter in self.budgets)

    @property
    def strict(self) -> bool:
        """Whether a call has to be refused of which nobody will know what it used."""
        return any(not meter.observe for meter in self.budgets)

    def limits_for(self, models: Iterable[str]) -> Sequence[Meter]:
        """The meters of a call that names *models* (to fall back to, too)."""
        if not self.by_model:
            return self.limits
        # A vendor's prefix ("openai/gpt-4o") leads to the same model: it must not lead around a limit.
        names = {name for model in models for name in (model, model.partition("/")[2]) if name}
        found = list(self.limits)
        for glob, meters in self.by_model:
            if any(glob.match(name) for name in names):
                found += meters
        return found

    def wants(self, models: Iterable[str], needs: Needs, usd: int, free: bool, now: float) -> list[Want]:
        """Everything to be claimed for a call: budgets first, because no waiting helps there. *usd* is
        what it may cost, in micro-USD; a *free* call counts as a request and no more."""
        wanted = []
        for meter in () if free else self.budgets:
            amount = _fitting(meter, needs, usd if meter.measure == USD else needs.tokens)
            purse = meter.purse(now, amount)
            wanted += (Want(meter, purse), Want(meter, reserved_of(purse), True))
        for meter in self.limits_for(models):
            if meter.fixed is not None:
                wanted.append(self.ready[meter.name])
            elif not free:
                wanted.append(Want(meter, meter.claim(_fitting(meter, needs, needs.tokens))))
        return wanted


def reserved_of(purse: Purse) -> Purse:
    """What of *purse* is only reserved, for calls that have not ended."""
    return Purse(f"{purse.name}/reserved", None, purse.amount, False, purse.seconds)


def _fitting(meter: Meter, needs: Needs, amount: int) -> int:
    """What is only guessed must not keep a call from ever being made: a window empties, and lets it
    through then; what is left of a budget only becomes less."""
    if needs.said:
        return amount
    return min(amount, meter.most // _GUESSED if meter.per else meter.most)


def plan_of(principal: Principal) -> Plan:
    """The meters that the allowances of *principal* come to."""
    limits, by_model, budgets = [], {}, []
    for allowance in principal.allowances:
        budgets += budgets_of(allowance)
        limits += limits_of(allowance)
        for meter in model_limits_of(allowance):
            by_model.setdefault(meter.glob, []).append(meter)
    # Requests and tokens before slots: it is the longer wait that a refused client has to know.
    # Some vendors take a model's name in any case: that must not lead around a limit either.
    patterns = tuple(
        (re.compile(fnmatch.translate(glob), re.IGNORECASE), tuple(meters)) for glob, meters in by_model.items()
    )
    limits.sort(key=lambda meter: meter.measure == CALLS)
    all_limits = [meter for meters in (limits, *by_model.values()) for meter in meters]
    ready = {meter.name: Want(meter, meter.fixed) for meter in all_limits if meter.fixed is not None}
    needs_tokens = bool(budgets) or any(meter.measure == TOKENS for meter in all_limits)
    return Plan(tuple(limits), patterns, tuple(budgets), ready, needs_tokens)


def limits_of(allowance: Allowance) -> list[Meter]:
    """What is counted of all its calls, whatever their model."""
    limits = allowance.limits
    meters = _rates(allowance.scope, "", limits, _observes(limits)) if limits is not None else []
    bounded = any(meter.measure == CALLS and not meter.observe for meter in meters)
    if allowance.budget is not None and not bounded:
        meters.append(_slots(allowance.scope, "", "at_once", AT_ONCE, False))
    return meters


def model_limits_of(allowance: Allowance) -> list[Meter]:
    """What is counted of its calls of single models, or of all that a glob matches together."""
    limits = allowance.limits
    if limits is None:
        return []
    observe = _observes(limits)
    return [meter for glob, rates in limits.models.items() for meter in _rates(allowance.scope, glob, rates, observe)]


def budgets_of(allowance: Allowance) -> list[Meter]:
    """The purses of its budget: one in US dollars, one in tokens."""
    budget = allowance.budget
    if budget is None:
        return []
    most = {USD: None if budget.usd is None else round(budget.usd * 1_000_000), TOKENS: budget.tokens}
    return [_budget(allowance.scope, measure, limit, budget) for measure, limit in most.items() if limit is not None]


def _budget(scope: str, measure: str, most: int, budget: Budget) -> Meter:
    name = f"budget/{quote(scope, safe=':')}/{measure}"
    return Meter(scope, "", measure, measure, most, budget.mode == "observe", name, per=budget.per)


def _rates(scope: str, glob: str, rates: Rates, observe: bool) -> list[Meter]:
    meters = []
    for word, measure, seconds in _SPANS:
        most = getattr(rates, word)
        if most is None:
            continue
        name = _name(scope, glob, word)
        fixed = Window(name, seconds, most, 1, observe) if measure == REQUESTS else None
        meters.append(Meter(scope, glob, word, measure, most, observe, name, seconds, fixed=fixed))
    if rates.concurrency is not None:
        meters.append(_slots(scope, glob, "concurrency", rates.concurrency, observe))
    return meters


def _slots(scope: str, glob: str, word: str, most: int, observe: bool) -> Meter:
    name = _name(scope, glob, word)
    return Meter(scope, glob, word, CALLS, most, observe, name, fixed=Slots(name, most, observe))


def _name(scope: str, glob: str, word: str) -> str:
    # Quoted, so that no key's name can be read as another's with a model behind it.
    return "/".join(["limits", quote(scope, safe=":"), *([quote(glob, safe="*")] if glob else []), word])


def _observes(limits: Limits | None) -> bool:
    return limits is not None and limits.mode == "observe"


@functools.lru_cache(64)
def _period(per: str, day: int) -> str:
    """``2026-11-21``, ``2026-11`` or ``total``; *day* since 1970."""
    return time.strftime(_PERIODS[per], time.gmtime(day * 86400))


def period_end(per: str, now: float) -> float | None:
    """When the UTC day or month that *now* is in ends; both in seconds since 1970. None for ``total``."""
    if per == "total":
        return None
    midnight = (int(now) // 86400 + 1) * 86400
    while per == "month" and time.gmtime(midnight).tm_mday != 1:
        midnight += 86400
    return float(midnight)


def period_start(per: str, now: float) -> float | None:
    """When the UTC day or month that *now* is in began; as period_end."""
    if per == "total":
        return None
    midnight = int(now) // 86400 * 86400
    return float(midnight - (time.gmtime(midnight).tm_mday - 1) * 86400 if per == "month" else midnight)


def scope_text(scope: str) -> str:
    """``key 'alice'``"""
    kind, _, name = scope.partition(":")
    return f"{kind} {name!r}"


def amount_text(measure: str, amount: int) -> str:
    """Micro-USD as dollars, anything else as it is; with its unit."""
    if measure != USD:
        return f"{amount} {measure}"
    dollars, rest = divmod(abs(amount), 1_000_000)
    cents = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}{dollars}.{cents} USD"
