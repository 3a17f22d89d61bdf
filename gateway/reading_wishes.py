"""Reads a client's wishes (see wishes) out of its request. Pure.

What is known of `provider` is OpenRouter's object and ofox' (routing, fallback), member by member; a `null`
is no wish.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import BadRequest
from gateway.wishes import NAMES, NO_WISHES, QUANTIZATIONS, SPEED, UNKNOWN, Wishes

_MEMBERS = {"provider": dict, "models": list, "fallbacks": list}
_MOST_MODELS = 16
# Wishes for what only the operator can know of a vendor; a channel's tags say it. Who keeps nothing
# collects nothing.
_TAGS = {
    "zdr": frozenset({"zdr"}),
    "data_collection": frozenset({"no-data-collection", "zdr"}),
    "enforce_distillable_text": frozenset({"distillable"}),
}
# The two vendors' words for the order of providers, as strategies.
SORTS = {"price": "cheapest", "latency": "fastest", "throughput": SPEED}
_ROUTINGS = {"priority": "", "cost": "cheapest", "latency": "fastest", "balanced": "weighted"}
_KNOWN = {
    *_TAGS, *NAMES, "allow_fallbacks", "fallback", "sort", "routing", "max_price",
    "quantizations", "preferred_max_latency", "preferred_min_throughput", "require_parameters",
}  # fmt: skip


def read_wishes(head: Mapping[str, Any], headers: Mapping[str, str]) -> Wishes:
    """The wishes in a body's *head* and the request's *headers*. Raises BadRequest for one that
    would change the route if it could be understood."""
    channel, tags = headers.get("x-gateway-channel", ""), headers.get("x-gateway-tags", "")
    if not channel and not tags and _MEMBERS.keys().isdisjoint(head):
        return NO_WISHES
    members = tuple(name for name, kind in _MEMBERS.items() if isinstance(head.get(name), kind))
    given = {name: head[name] for name in members}
    provider = {name: value for name, value in given.get("provider", {}).items() if value is not None}
    unknown = [f"provider.{name}" for name in provider if name not in _KNOWN]
    models = _models(given.get("models", []), "models", unknown) + _models(
        given.get("fallbacks", []), "fallbacks", unknown
    )
    models += _models(_listed(provider, "fallback"), "provider.fallback", unknown)
    if len(models) > _MOST_MODELS:
        raise BadRequest(f"at most {_MOST_MODELS} models can be fallen back to", param="models")
    return Wishes(
        **{name: _words(provider, name) for name in NAMES},
        allow_fallbacks=_truth(provider, "allow_fallbacks", True),
        models=tuple(dict.fromkeys(models)),
        sort=_sort(provider, unknown) or _word(provider, "routing", _ROUTINGS),
        max_price=_max_price(provider.get("max_price"), unknown),
        max_latency=_preferred(provider, "preferred_max_latency", "seconds", min),
        min_speed=_preferred(provider, "preferred_min_throughput", "tokens a second", max),
        needs=_needs(provider),
        require_parameters=_truth(provider, "require_parameters", False),
        channel=channel,
        tags=tuple(tag.strip() for tag in tags.split(",") if tag.strip()),
        members=members,
        without_effect=_without_effect(provider),
        provider=given.get("provider", {}),
        unknown=tuple(dict.fromkeys(unknown)),  # last: all above may have found some
    )


def _without_effect(provider: Mapping[str, Any]) -> tuple[str, ...]:
    sort = provider.get("sort")
    apart = not isinstance(sort, dict) or sort.get("partition") != "none"
    return () if apart else ("provider.sort.partition",)  # models are fallen back to in the client's order


def _sort(provider: Mapping[str, Any], unknown: list[str]) -> str:
    wish = provider.get("sort")
    if not isinstance(wish, dict):
        return _word(provider, "sort", SORTS)
    unknown += [f"provider.sort.{name}" for name in wish if name not in ("by", "partition")]
    return _word({"sort": wish.get("by")}, "sort", SORTS)


def _word(provider: Mapping[str, Any], name: str, words: Mapping[str, str]) -> str:
    """The strategy that the word stands for."""
    word = provider.get(name)
    if word is None:
        return ""
    if not isinstance(word, str) or word not in words:
        raise BadRequest(f"provider.{name} has to be one of {', '.join(words)}", param=f"provider.{name}")
    return words[word]


def _truth(provider: Mapping[str, Any], name: str, default: bool) -> bool:
    found = provider.get(name, default)
    if not isinstance(found, bool):
        raise BadRequest(f"provider.{name} has to be true or false", param=f"provider.{name}")
    return found


def _needs(provider: Mapping[str, Any]) -> tuple[tuple[str, frozenset[str]], ...]:
    wished = {name for name in ("zdr", "enforce_distillable_text") if _truth(provider, name, False)}
    collection = provider.get("data_collection", "allow")
    if collection not in ("allow", "deny"):
        raise BadRequest("provider.data_collection has to be allow or deny", param="provider.data_collection")
    if collection == "deny":
        wished.add("data_collection")
    needs = [(f"provider.{name}", tags) for name, tags in _TAGS.items() if name in wished]
    exactness = frozenset(_words(provider, "quantizations"))
    if not exactness <= QUANTIZATIONS | {UNKNOWN}:
        known = ", ".join(sorted(QUANTIZATIONS))
        raise BadRequest(f"provider.quantizations has to be a list of {known}, unknown", param="provider.quantizations")
    return tuple(needs + ([("provider.quantizations", exactness)] if exactness else []))


def _max_price(wish: Any, unknown: list[str]) -> tuple[float, float, float, float] | None:
    """``{"prompt": 1, "completion": "2.5", "request": 0.01, "image": 0.1}``: US dollars, the first two per million
    tokens."""
    if not wish:
        return None
    names = ("prompt", "completion", "request", "image")
    try:
        tokens_in, tokens_out, request, image = (float(wish.get(name, "inf")) * 1e6 for name in names)
    except (AttributeError, TypeError, ValueError):
        text = "provider.max_price has to be {prompt, completion: US dollars a million tokens, request, image: for one}"
        raise BadRequest(text, param="provider.max_price") from None
    unknown += [f"provider.max_price.{name}" for name in wish if name not in names]
    return tokens_in, tokens_out, request, image


def _preferred(provider: Mapping[str, Any], name: str, unit: str, strictest: Callable[..., Any]) -> float | None:
    """A number, or {p50: number, ...}: what is known of a channel is a mean, to which the median comes nearest."""
    wish = provider.get(name)
    if wish is None:
        return None
    if isinstance(wish, dict):
        wish = wish.get("p50", strictest(filter(_number, wish.values()), default=None))
    if not _number(wish):
        text = f"provider.{name} has to be a number of {unit}, or {{p50: {unit}}}"
        raise BadRequest(text, param=f"provider.{name}")
    return float(wish)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _listed(provider: Mapping[str, Any], name: str) -> list[Any]:
    found = provider.get(name, [])
    if not isinstance(found, list):
        raise BadRequest(f"provider.{name} has to be a list of names", param=f"provider.{name}")
    return found


def _words(provider: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _listed(provider, name)
    if not all(isinstance(word, str) for word in found):
        raise BadRequest(f"provider.{name} has to be a list of names", param=f"provider.{name}")
    return tuple(word.lower() for word in found)


def _models(entries: list[Any], where: str, unknown: list[str]) -> list[str]:
    """Names in a list of names or of {"model": name}; what else the latter hold is added to *unknown*."""
    models = []
    for entry in entries:
        if isinstance(entry, dict):
            unknown += [f"{where}.{name}" for name in entry if name != "model"]
            entry = entry.get("model")
        if not isinstance(entry, str) or not entry:
            raise BadRequest(f'{where} has to be a list of models: names or {{"model": name}}', param=where)
        models.append(entry)
    return models
