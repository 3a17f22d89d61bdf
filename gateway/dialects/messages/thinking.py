"""How hard to think, both ways: ``thinking``, ``output_config.effort``; and what depends on it
when a request is written: ``max_tokens`` and the sampling members.

Three generations of models differ: those that need a budget of tokens, those that take either,
and those that only take ``adaptive`` with an effort (see models.py).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.dialects.messages.generations import ALL_EFFORTS, Abilities
from gateway.dialects.messages.schema import DIALECT
from gateway.dialects.messages.shape import mapping, string, whole
from gateway.dialects.vocabulary import Prompt, ReasoningWish

# Tokens of thinking for an effort. The largest leaves room for an answer of 8192 tokens below
# 32000, the smallest output limit of the models that need a budget.
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 20480, "max": 23552}
_LEAST_BUDGET = 1024  # the API's own minimum
_LEAST_TOP_P = Decimal("0.949999")  # beside thinking, top_p may lie between 0.95 and 1
_DISPLAYS = {"summarized": True, "omitted": False}
_SHOWN = ("auto", "concise", "detailed")


# --- reading -----------------------------------------------------------------------------------


def wish(prompt: Prompt) -> ReasoningWish:
    """The prompt's wish, made on first use: ``thinking`` and ``output_config`` both speak of it."""
    if prompt.reasoning is None:
        prompt.reasoning = ReasoningWish()
    return prompt.reasoning


def read_thinking(prompt: Prompt, value: Any) -> None:
    """``thinking``. ``disabled`` is a budget of 0; so is ``between_tools``, which only says more
    about progress notes; a type unknown here is kept as it is."""
    kind = mapping(value, "thinking").get("type")
    if not isinstance(kind, str) or kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        prompt.rest["thinking"] = value
        return
    asked = wish(prompt)
    if kind == "enabled":
        asked.budget = whole(value.get("budget_tokens"), "thinking.budget_tokens")
    elif kind == "adaptive":
        asked.adaptive = True
    else:
        asked.budget = 0
    if kind == "between_tools":
        prompt.rest["thinking.type"] = kind
    display = value.get("display")
    if isinstance(display, str) and display in _DISPLAYS:
        asked.visible = _DISPLAYS[display]
    for name, member in value.items():
        said = name in ("type", "budget_tokens") or (name == "display" and asked.visible is not None)
        if not said and member is not None:
            prompt.rest[f"thinking.{name}"] = member


def read_effort(prompt: Prompt, value: Any) -> None:
    """``output_config.effort``."""
    wish(prompt).effort = string(value, "output_config.effort")


def settle(prompt: Prompt) -> None:
    """Once all is read. Effort without thinking shapes the answer's length only, which no other
    dialect means by effort: to them the wish is ``none``."""
    asked = prompt.reasoning
    if asked is not None and asked.budget == 0:
        if asked.effort is not None:
            prompt.rest["output_config.effort"] = asked.effort
        asked.effort = "none"


# --- writing -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Plan:
    """What is written: the ``thinking`` object, the effort and ``max_tokens``."""

    thinking: dict[str, Any] | None
    effort: str | None
    max_tokens: int

    @property
    def thinks(self) -> bool:
        return self.thinking is not None and self.thinking["type"] in ("enabled", "adaptive")


def plan_thinking(prompt: Prompt, able: Abilities, default_max: int, dropped: list[str]) -> Plan:
    """The wish in Messages' words. ``max_tokens`` is compulsory and must stay above the budget:
    without the client's own limit it grows by the budget, under it the budget shrinks (what the
    client allows to be spent is never raised)."""
    ceiling = default_max if prompt.max_tokens is None else prompt.max_tokens
    asked = prompt.reasoning
    if asked is None:
        return Plan(None, None, ceiling)
    if prompt.dialect == DIALECT:
        return Plan(_as_read(asked), _own_effort(asked), ceiling)
    if asked.effort == "none" or asked.budget == 0:
        return _off(able, ceiling, dropped)
    if not able.thinking:
        dropped.append("reasoning")
        return Plan(None, None, ceiling)
    if not _wants_thought(asked):
        return Plan(None, None, ceiling)
    if "adaptive" in able.thinking:
        thinking = {"type": "adaptive"} | _display(asked, able)
        return Plan(thinking, _effort(asked, able.efforts), ceiling)
    return _budgeted(prompt, asked, able, default_max, dropped)


def _as_read(asked: ReasoningWish) -> dict[str, Any] | None:
    display = {} if asked.visible is None else {"display": "summarized" if asked.visible else "omitted"}
    if asked.adaptive:
        return {"type": "adaptive"} | display
    if asked.budget == 0:
        return {"type": "disabled"} | display
    return None if asked.budget is None else {"type": "enabled", "budget_tokens": asked.budget} | display


def _own_effort(asked: ReasoningWish) -> str | None:
    return None if asked.effort == "none" else asked.effort


def _off(able: Abilities, ceiling: int, dropped: list[str]) -> Plan:
    if not able.thinking:
        return Plan(None, None, ceiling)
    if "disabled" in able.thinking:
        return Plan({"type": "disabled"}, None, ceiling)
    dropped.append("reasoning")  # cannot be switched off: as little as possible
    return Plan(None, able.efforts[0] if able.efforts else None, ceiling)


def _wants_thought(asked: ReasoningWish) -> bool:
    """Whether thinking is asked for at all: hiding it is no wish for it."""
    said = (asked.effort, asked.budget, asked.adaptive)
    return any(member is not None for member in said) or _shown(asked) is True


def _shown(asked: ReasoningWish) -> bool | None:
    if asked.visible is not None:
        return asked.visible
    return None if asked.summary is None else asked.summary in _SHOWN


def _display(asked: ReasoningWish, able: Abilities) -> dict[str, str]:
    """``display``, only where it is not what the model does anyway."""
    shown = _shown(asked)
    if shown is None or shown == able.shows_thinking:
        return {}
    return {"display": "summarized" if shown else "omitted"}


def _effort(asked: ReasoningWish, efforts: tuple[str, ...]) -> str | None:
    """The nearest effort not above the wished one; a budget stands for the effort it would be."""
    wished = asked.effort
    if wished is None and asked.budget is not None and asked.budget > 0:
        wished = next((word for word in ALL_EFFORTS if BUDGETS[word] >= asked.budget), ALL_EFFORTS[-1])
    if wished is None:
        return None
    if wished not in BUDGETS:
        return wished if wished in efforts else None
    return next((word for word in reversed(efforts) if BUDGETS[word] <= BUDGETS[wished]), efforts[0])


def _budgeted(prompt: Prompt, asked: ReasoningWish, able: Abilities, default_max: int, dropped: list[str]) -> Plan:
    budget = asked.budget if asked.budget is not None and asked.budget > 0 else None
    if budget is None:
        budget = BUDGETS.get(asked.effort or "medium", BUDGETS["medium"])
    budget = max(budget, _LEAST_BUDGET)
    ceiling = prompt.max_tokens
    if ceiling is None:
        ceiling = budget + default_max
    elif budget > ceiling * 4 // 5:
        budget = ceiling * 4 // 5  # a fifth is left for the answer
    if budget < _LEAST_BUDGET:
        dropped.append("reasoning")
        return Plan(None, None, ceiling)
    if asked.budget is not None and asked.budget > 0 and asked.budget != budget:
        dropped.append("reasoning")
    return Plan({"type": "enabled", "budget_tokens": budget} | _display(asked, able), None, ceiling)


def write_sampling(prompt: Prompt, able: Abilities, thinks: bool, dropped: list[str]) -> dict[str, Any]:
    """temperature, top_p and top_k as the model takes them beside thinking; the rest is dropped by
    name. A value of 1 is what happens without it, and above 1 there is nothing."""
    given = {name: getattr(prompt, name) for name in ("temperature", "top_p", "top_k")}
    given = {name: value for name, value in given.items() if value is not None}
    if prompt.dialect == DIALECT:
        return given
    if _is_above(given.get("temperature"), 1):
        given["temperature"] = 1
        dropped.append("temperature")
    for name in _refused(given, able, thinks):
        if given.pop(name) != 1 or name == "top_k":
            dropped.append(name)
    return given


def _refused(given: dict[str, Any], able: Abilities, thinks: bool) -> list[str]:
    if able.samplers == 0:
        return list(given)
    if thinks:
        kept = {"top_p"} if _is_above(given.get("top_p"), _LEAST_TOP_P) else set()
        return [name for name in given if name not in kept]
    if able.samplers == 1 and "temperature" in given and "top_p" in given:
        return ["temperature"] if given["temperature"] == 1 else ["top_p"]
    return []


def _is_above(value: Any, limit: Decimal | int) -> bool:
    return isinstance(value, (int, float, Decimal)) and value > limit
