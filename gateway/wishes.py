"""What a client wishes of routing: the members `provider`, `models` and `fallbacks` of its body and
the headers x-gateway-channel and x-gateway-tags. Pure. (reading_wishes reads them.)

Two vendors gave `provider` a meaning, with keys that do not overlap: OpenRouter (order, only, ...)
and ofox (routing, fallback). A channel of such an aggregator (trait ``routing_object``) gets the
object, because its names may be vendors that only the aggregator knows; no other upstream sees it.
What has another shape (a text as `provider`, say) is none of this and passes like any member.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Channel = Any  # domain stands above this module: a call has its wishes

NAMES = ("order", "only", "ignore")
# In these words a channel's tags say how exact its vendor's copy of a model is; without one of them it is not known.
QUANTIZATIONS = frozenset("int4 int8 fp4 fp6 fp8 fp16 bf16 fp32".split())
UNKNOWN = "unknown"  # the client's word for that
_AGGREGATOR = "routing_object"
SPEED = "most_tokens"  # the strategy that goes by how fast channels write


@dataclass(frozen=True, slots=True)
class Wishes:
    """``order``, ``only`` and ``ignore`` name channels or providers, in lower case. ``models`` are
    to be fallen back to, in order. ``needs`` are (the wish, the tags of which a channel has to have one).
    ``members`` are those of the body that hold all this."""

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    models: tuple[str, ...] = ()
    sort: str = ""  # a strategy's name
    sorts: Mapping[str, str] = field(default_factory=dict)  # those of single models, which stand behind their names
    # Micro-USD per million tokens of input and of output, per call, and per image made.
    max_price: tuple[float, float, float, float] | None = None
    max_latency: float | None = None  # seconds to the first event; who takes longer comes later
    min_speed: float | None = None  # tokens a second; who writes slower comes later
    needs: tuple[tuple[str, frozenset[str]], ...] = ()
    require_parameters: bool = False
    channel: str = ""
    tags: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()
    not_served: tuple[str, ...] = ()  # of the models; routing finds out
    provider: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as the client gave it
    rewritten: bool = False  # unless it said some of that behind the model's name

    @property
    def measures_speed(self) -> bool:
        """Whether it has to be known how fast the channels write."""
        return self.min_speed is not None or SPEED in (self.sort, *self.sorts.values())

    def refuse(self, channel: Channel, ours: frozenset[str]) -> str:
        """Why the client does not want *channel*; empty if it does. *ours* are the names that mean
        a channel here: an aggregator may know the others."""
        names = _names(channel)
        if self.only and names.isdisjoint(self.only) and not (aggregates(channel) and set(self.only) - ours):
            return "not among the client's provider.only"
        if not names.isdisjoint(self.ignore):
            return "named in the client's provider.ignore"
        if not aggregates(channel):  # it is told, and knows best
            for wish, tags in self.needs:
                if tags.isdisjoint(channel.settings.tags) and not _exactness_unknown(channel, tags):
                    return f"has no tag {' or '.join(sorted(tags))}, for the client's {wish}"
        missing = [tag for tag in self.tags if tag not in channel.settings.tags]
        return f"lacks what the client asked for in x-gateway-tags: {', '.join(missing)}" if missing else ""

    def place(self, channel: Channel, ours: frozenset[str]) -> int:
        """Where *channel* stands in the client's order; those that it does not name share the end."""
        names, elsewhere = _names(channel), aggregates(channel)
        places = (i for i, name in enumerate(self.order) if name in names or (elsewhere and name not in ours))
        return next(places, len(self.order))

    def unset(self, channel: Channel) -> list[str]:
        """JSON Pointers to what *channel* must not see of the body's members."""
        if not aggregates(channel):
            return [f"/{member}" for member in self.members]
        pointers = []
        if not all(_lists(channel, model) for model in self.models):  # it would be a way around the channel's `models`
            pointers = [f"/{member}" for member in self.members if member != "provider"] + ["/provider/fallback"]
        # A list that names the channel is in the gateway's words, not in the aggregator's.
        names = _names(channel)
        return pointers + [f"/provider/{name}" for name in NAMES if not names.isdisjoint(getattr(self, name))]

    def passes_object(self, channel: Channel, translated: bool) -> bool:
        """Whether the client's `provider` object has to be put into a body for *channel*: a *translated* one, or
        where it is not as the client wrote it."""
        return "provider" in self.members and (translated or self.rewritten) and aggregates(channel)

    def warning(self, channel: Channel | None) -> str:
        """What the client should know that is not carried out on *channel*."""
        said = []
        if channel is None or not aggregates(channel):
            said = [(self.without_effect, "without effect"), (self.unknown, "unknown")]
        said.append((self.not_served, "no such model"))
        return "; ".join(f"{', '.join(names)}: {what}" for names, what in said if names)


NO_WISHES = Wishes()


def _names(channel: Channel) -> frozenset[str]:
    return frozenset((channel.name.lower(), channel.provider.name.lower()))


def aggregates(channel: Channel) -> bool:
    """Whether *channel* leads to vendors that are chosen there, and may know names that mean nobody here."""
    return _AGGREGATOR in channel.provider.traits


def _lists(channel: Channel, model: str) -> bool:
    return any(
        upstream in (None, model)
        and (model == public or (("*" in public or "?" in public) and fnmatch.fnmatchcase(model, public)))
        for public, upstream in channel.models
    )


def _exactness_unknown(channel: Channel, tags: frozenset[str]) -> bool:
    return UNKNOWN in tags and QUANTIZATIONS.isdisjoint(channel.settings.tags)
