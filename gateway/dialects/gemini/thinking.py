"""How hard to think, by generation of Gemini.

Gemini 3 and later take ``thinkingLevel``, 2.5 takes ``thinkingBudget``, both in one request are
refused, and anything before 2.5 takes neither. What a model supports is data: a name that is not
in the tables is taken for a new one. (ai.google.dev: Thinking; OpenAI compatibility.)
"""

import re
from typing import Any

from gateway.dialects.gemini import proto_json
from gateway.dialects.vocabulary import ReasoningWish

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# First match wins.
_LEVELS = (
    (re.compile(r"gemini-3(\.\d+)?-pro-image"), ("high",)),
    (re.compile(r"gemini-3-pro"), ("low", "high")),
    (re.compile(r"gemini-3(\.\d+)?-flash.*-image"), ("minimal", "high")),
    (re.compile(r"gemini-3(\.[0-6])?-flash"), ("minimal", "low", "medium", "high")),
    (re.compile(""), ("low", "medium", "high")),
)
# Lowest and highest budget, and whether 0 (off) is taken.
_BUDGETS = (
    (re.compile(r"gemini-2\.5-pro"), (128, 32768, False)),
    (re.compile(r"gemini-2\.5-flash-lite"), (512, 24576, True)),
    (re.compile(""), (1, 24576, True)),
)
# Google's own table for reasoning_effort on 2.5; the top two mean "as much as there is".
_EFFORT_BUDGETS = {
    "none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768,
}  # fmt: skip
_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_MEMBERS = ("thinkingBudget", "thinkingLevel", "includeThoughts")


def generation(model: str) -> tuple[int, int]:
    """``(2, 5)`` of ``gemini-2.5-flash``; a name without one is taken for the newest."""
    found = _GENERATION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def read(value: Any, where: str, rest: dict[str, Any]) -> ReasoningWish | None:
    """``thinkingConfig`` -> ReasoningWish; members without a word go to *rest*."""
    found, left = proto_json.split(value, _MEMBERS, where)
    for key, member in left.items():
        rest[f"{where}.{key}"] = member
    wish = ReasoningWish()
    if "thinkingBudget" in found:
        wish.budget = proto_json.integer(found["thinkingBudget"], f"{where}.thinkingBudget")
    if "includeThoughts" in found:
        wish.visible = proto_json.boolean(found["includeThoughts"], f"{where}.includeThoughts")
    if "thinkingLevel" in found:
        level = proto_json.text(found["thinkingLevel"], f"{where}.thinkingLevel").lower()
        if level in EFFORTS:
            wish.effort = level
        else:
            rest[f"{where}.thinkingLevel"] = found["thinkingLevel"]
    return wish if found else None


def write_own(wish: ReasoningWish) -> dict[str, Any]:
    """The wish of a Gemini client, word for word."""
    config: dict[str, Any] = {}
    if wish.budget is not None:
        config["thinkingBudget"] = wish.budget
    if wish.effort is not None:
        config["thinkingLevel"] = wish.effort.upper()
    if wish.visible is not None:
        config["includeThoughts"] = wish.visible
    return config


def write(wish: ReasoningWish, model: str) -> tuple[dict[str, Any], bool]:
    """``thinkingConfig`` for *model*, and whether it says all of the wish: an effort that the
    model does not know becomes the nearest, a budget the nearest in range."""
    age = generation(model)
    if age < (2, 5):
        return {}, wish.effort in (None, "none") and wish.budget in (None, 0)
    config, exact = (_by_level if age >= (3, 0) else _by_budget)(wish, model.lower())
    shown = _shown(wish)
    if shown is not None:
        config["includeThoughts"] = shown
    return config, exact


def _shown(wish: ReasoningWish) -> bool | None:
    if wish.visible is not None:
        return wish.visible
    if wish.summary is not None:
        return wish.summary != "none"
    # Who speaks of budgets (Anthropic's thinking) is shown the thinking unless they decline;
    # who speaks of effort alone is not. Gemini shows none unless asked.
    return True if wish.budget or wish.adaptive else None


def _by_level(wish: ReasoningWish, model: str) -> tuple[dict[str, Any], bool]:
    effort = wish.effort
    if effort is None and wish.budget == 0:
        effort = "none"
    if effort is None:
        # Budgets are still taken by Gemini 3, alone; without one it thinks as much as it likes.
        return ({} if wish.budget is None else {"thinkingBudget": wish.budget}), True
    if effort not in EFFORTS:
        return {}, False
    supported = next(levels for pattern, levels in _LEVELS if pattern.search(model))
    wanted = EFFORTS.index(effort)
    # The higher one of two that are equally near, as Google's own compatibility layer does.
    nearest = min(supported, key=lambda level: (abs(EFFORTS.index(level) - wanted), -EFFORTS.index(level)))
    return {"thinkingLevel": nearest.upper()}, nearest == effort


def _by_budget(wish: ReasoningWish, model: str) -> tuple[dict[str, Any], bool]:
    lowest, highest, can_stop = next(limits for pattern, limits in _BUDGETS if pattern.search(model))
    budget, exact = wish.budget, True
    if budget is None and wish.effort is not None:
        if wish.effort not in _EFFORT_BUDGETS:
            return {}, False
        budget = min(_EFFORT_BUDGETS[wish.effort], highest)
    if budget is None:
        return ({"thinkingBudget": -1} if wish.adaptive else {}), True
    if budget > 0 or (budget == 0 and not can_stop):
        fitting = min(max(budget, lowest), highest)
        budget, exact = fitting, fitting == budget
    return {"thinkingBudget": budget}, exact
