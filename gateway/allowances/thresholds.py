"""When somebody has to be told that a budget comes to its end: once per threshold and period, by
one of all workers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.allowances.plans import Meter, amount_text
from gateway.state import State

THRESHOLDS = (100, 80, 50)  # percent
_NEARLY = 10  # percent that may be left when a refused call tells that a budget is at its end
_TOTAL = 366 * 86400.0  # seconds for which a warning about a budget without period is remembered


@dataclass(frozen=True, slots=True)
class Warned:
    """A threshold that a budget has just passed; amounts in its measure (micro-USD or tokens)."""

    meter: Meter
    percent: int
    spent: int
    resets: float | None

    def __str__(self) -> str:
        meter = self.meter
        how = f"{self.percent}% spent" if self.percent < 100 else "spent: calls are refused"
        if self.percent == 100 and meter.observe:
            how = "spent (observed only)"
        return f"budget of {meter}: {how} ({amount_text(meter.measure, self.spent)})"

    def document(self) -> dict[str, Any]:
        """As JSON for a webhook; money in micro-USD."""
        meter = self.meter
        return {
            "event": "budget", "scope": meter.scope, "percent": self.percent, "measure": meter.measure,
            "unit": "micro_usd" if meter.measure == "usd" else "tokens", "spent": self.spent, "budget": meter.most,
            "per": meter.per, "resets": self.resets, "observed": meter.observe, "text": str(self),
        }  # fmt: skip


def crossed(spent: int, used: int, most: int, refused: bool) -> int:
    """The highest threshold passed, 0 for none. *used* holds what is reserved beside what is *spent*.

    A reservation that does not fit is refused before all is spent: with little left, that is the end.
    """
    if refused and most - used <= most * _NEARLY // 100:
        return 100
    return next((percent for percent in THRESHOLDS if spent * 100 >= most * percent), 0)


def warnings_due(state: State, budgets: Iterable[tuple[Meter, bool]], now: float) -> Iterator[Warned]:
    """Of *budgets* (each with whether it refused a call) those that somebody has to be told of now,
    and that no worker has told of. Raises StateAway."""
    for meter, refused in budgets:
        used, reserved = (level.used for level in state.levels([meter.purse(now), meter.reserved(now)]))
        spent = used - reserved
        percent = crossed(spent, used, meter.most, refused)
        if not percent:
            continue
        resets = meter.resets(now)
        seconds = _TOTAL if resets is None else resets - now
        # The lower ones are passed, too: whoever hears of 80 % needs not hear of 50 % behind it.
        told = [_tell(state, meter, each, now, seconds) for each in THRESHOLDS if each <= percent]
        if told[0]:
            yield Warned(meter, percent, spent, resets)


def _tell(state: State, meter: Meter, percent: int, now: float, seconds: float) -> bool:
    # With the amount in its name: a budget that was raised warns anew.
    return state.claim(f"warned/{meter.purse_name(now)}/{meter.most}/{percent}", seconds)
