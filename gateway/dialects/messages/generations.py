"""What the generations of Claude models take: the Messages API answers 400 to the rest.

Source: platform.claude.com/docs "Troubleshooting thinking", "Effort", "Mid-conversation system
messages" and the migration guides of Opus 5.5 and Fable 5. A name without a version is taken for
a current model, a model that is no Claude for one that knows the classic Messages API.
"""

import re
from dataclasses import dataclass

ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Abilities:
    """``thinking``: the accepted values of thinking.type. ``samplers``: how many of temperature
    and top_p may be given (2, 1, or 0 where any sampling value but the default is refused).
    ``forced_tools``: always, no_thinking (not together with thinking), never. ``inner_system``:
    whether a system message may stand inside the conversation. ``shows_thinking``: whether
    thinking is shown unless it is asked to be left out."""

    thinking: tuple[str, ...] = ("enabled", "disabled")
    efforts: tuple[str, ...] = ()
    samplers: int = 2
    forced_tools: str = "no_thinking"
    inner_system: bool = False
    schemas: bool = True
    shows_thinking: bool = True


_ADAPTIVE = Abilities(("adaptive", "disabled"), ALL_EFFORTS, 0, "always", True, shows_thinking=False)
_ALWAYS_THINKS = Abilities(("adaptive",), ALL_EFFORTS, 0, "always", True, shows_thinking=False)
_NEVER_FORCED = Abilities(("adaptive",), ALL_EFFORTS, 0, "never", True, shows_thinking=False)
_ANY_CLASSIC = Abilities(forced_tools="always")

_MYTHICAL = ("fable", "mythos")
_ANY = ("opus", "sonnet", "haiku", "fable", "mythos", "")

# (families, from this version on, what they take); the first row that fits counts.
_GENERATIONS: tuple[tuple[tuple[str, ...], tuple[int, int], Abilities], ...] = (
    (_MYTHICAL, (5, 1), _NEVER_FORCED),
    (_ANY, (5, 5), _NEVER_FORCED),
    (_MYTHICAL, (5, 0), _ALWAYS_THINKS),
    (_ANY, (4, 8), _ADAPTIVE),
    (_ANY, (4, 7), Abilities(("adaptive", "disabled"), ALL_EFFORTS, 0, shows_thinking=False)),
    (_ANY, (4, 6), Abilities(("adaptive", "enabled", "disabled"), ("low", "medium", "high", "max"), 1)),
    (_ANY, (4, 1), Abilities(samplers=1)),
    (_ANY, (3, 7), Abilities(schemas=False)),
    (_ANY, (0, 0), Abilities(thinking=(), schemas=False, forced_tools="always")),
)
_UNVERSIONED = {"mythos": Abilities(("adaptive", "enabled"), ALL_EFFORTS, 0, "never", shows_thinking=False)}

_FAMILY = re.compile(r"opus|sonnet|haiku|fable|mythos")
# 20250514 is a date, not a version; Bedrock's "-v1:0" is neither.
_VERSION = re.compile(r"claude\D*?[-.](\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


def abilities(model: str) -> Abilities:
    """What *model* takes, judged by its name (vendor and region prefixes and dates allowed)."""
    name = model.lower()
    start = name.rfind("claude")
    if start < 0:
        return _ANY_CLASSIC
    name = name[start:]
    found = _FAMILY.search(name)
    family = found.group() if found else ""
    version = _VERSION.match(name)
    if version is None:
        return _UNVERSIONED.get(family, _ADAPTIVE)
    number = (int(version.group(1)), int(version.group(2) or 0))
    return next(row for families, since, row in _GENERATIONS if family in families and number >= since)
