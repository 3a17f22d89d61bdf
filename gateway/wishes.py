"""What a client wishes of routing: the members `provider`, `models` and `fallbacks` of its body and
the headers x-gateway-channel and x-gateway-tags. Pure.

Two vendors gave `provider` a meaning, with keys that do not overlap: OpenRouter (order, only, ...)
and ofox (routing, fallback). A channel of such an aggregator (trait ``routing_object``) gets the
object, because its names may be vendors that only the aggregator knows; no other upstream sees it.
What has another shape (a text as `provider`, say) is none of this and passes like any member.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import BadRequest

Channel = Any  # domain stands above this module: a call has its wishes

_MEMBERS = {"provider": dict, "models": list, "fallbacks": list}
_NAMES = ("order", "only", "ignore")
_WITHOUT_EFFECT = frozenset(
    "require_parameters data_collection zdr enforce_distillable_text quantizations "
    "preferred_min_throughput preferred_max_latency routing".split()
)
_MOST_MODELS = 16
_AGGREGATOR = "routing_object"


@dataclass(frozen=True, slots=True)
class Wishes:
    """``order``, ``only`` and ``ignore`` name channels or providers, in lower case. ``models`` are
    to be fallen back to, in order. ``members`` are those of the body that hold all this."""

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    models: tuple[str, ...] = ()
    sort: str = ""  # a strategy's name
    max_price: tuple[float, float] | None = None  # micro-USD per million tokens of input and of output
    channel: str = ""
    tags: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()
    not_served: tuple[str, ...] = ()  # of the models; routing finds out
    provider: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as the client gave it

    def refuse(self, channel: Channel, ours: frozenset[str]) -> str:
        """Why the client does not want *channel*; empty if it does. *ours* are the names that mean
        a channel here: an aggregator may know the others."""
        names = _names(channel)
        if self.only and names.isdisjoint(self.only) and not (_aggregates(channel) and set(self.only) - ours):
            return "not among the client's provider.only"
        if not names.isdisjoint(self.ignore):
            return "named in the client's provider.ignore"
        missing = [tag for tag in self.tags if tag not in channel.settings.tags]
        return f"lacks what the client asked for in x-gateway-tags: {', '.join(missing)}" if missing else ""

    def place(self, channel: Channel, ours: frozenset[str]) -> int:
        """Where *channel* stands in the client's order; those that it does not name share the end."""
        names, elsewhere = _names(channel), _aggregates(channel)
        places = (i for i, name in enumerate(self.order) if name in names or (elsewhere and name not in ours))
        return next(places, len(self.order))

    def unset(self, channel: Channel) -> list[str]:
        """JSON Pointers to what *channel* must not see of the body's members."""
        if not _aggregates(channel):
            return [f"/{member}" for member in self.members]
        pointers = []
        if not all(_lists(channel, model) for model in self.models):  # it would be a way around the channel's `models`
            pointers = [f"/{member}" for member in self.members if member != "provider"] + ["/provider/fallback"]
        # A list that names the channel is in the gateway's words, not in the aggregator's.
        names = _names(channel)
        return pointers + [f"/provider/{name}" for name in _NAMES if not names.isdisjoint(getattr(self, name))]

    def passes_object(self, channel: Channel) -> bool:
        """Whether *channel* is to get the client's `provider` object."""
        return "provider" in self.members and _aggregates(channel)

    def warning(self, channel: Channel | None) -> str:
        """What the client should know that is not carried out on *channel*."""
        said = []
        if channel is None or not _aggregates(channel):
            said = [(self.without_effect, "without effect"), (self.unknown, "unknown")]
        said.append((self.not_served, "no such model"))
        return "; ".join(f"{', '.join(names)}: {what}" for names, what in said if names)


NO_WISHES = Wishes()


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
    allow = provider.get("allow_fallbacks", True)
    if not isinstance(allow, bool):
        raise BadRequest("provider.allow_fallbacks has to be true or false", param="provider.allow_fallbacks")
    return Wishes(
        **{name: _words(provider, name) for name in _NAMES},
        allow_fallbacks=allow,
        models=tuple(dict.fromkeys(models)),
        sort=_sort(provider.get("sort")),
        max_price=_max_price(provider.get("max_price")),
        channel=channel,
        tags=tuple(tag.strip() for tag in tags.split(",") if tag.strip()),
        members=members,
        unknown=tuple(dict.fromkeys(unknown)),
        without_effect=tuple(f"provider.{name}" for name in provider if name in _WITHOUT_EFFECT),
        provider=given.get("provider", {}),
    )


_KNOWN = _WITHOUT_EFFECT | {*_NAMES, "allow_fallbacks", "fallback", "sort", "max_price"}

# OpenRouter's words for the order of providers, as strategies. Throughput is not measured here: who
# begins soonest stands for it.
_SORTS = {"price": "cheapest", "latency": "fastest", "throughput": "fastest"}


def _sort(wish: Any) -> str:
    word = wish.get("by") if isinstance(wish, dict) else wish
    if word is None:
        return ""
    if word not in _SORTS:
        raise BadRequest(f"provider.sort has to be one of {', '.join(_SORTS)}", param="provider.sort")
    return _SORTS[word]


def _max_price(wish: Any) -> tuple[float, float] | None:
    """``{"prompt": 1, "completion": "2.5"}``: US dollars per million tokens."""
    if not wish:
        return None
    try:
        most = [float(wish.get(name, "inf")) * 1e6 for name in ("prompt", "completion")]
    except (AttributeError, TypeError, ValueError):
        raise BadRequest(
            "provider.max_price has to be {prompt: US dollars per million tokens, completion: ...}",
            param="provider.max_price",
        ) from None
    return most[0], most[1]


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


def _names(channel: Channel) -> frozenset[str]:
    return frozenset((channel.name.lower(), channel.provider.name.lower()))


def _aggregates(channel: Channel) -> bool:
    return _AGGREGATOR in channel.provider.traits


def _lists(channel: Channel, model: str) -> bool:
    return any(
        upstream in (None, model)
        and (model == public or (("*" in public or "?" in public) and fnmatch.fnmatchcase(model, public)))
        for public, upstream in channel.models
    )
