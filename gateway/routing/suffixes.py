"""``gpt-4o:nitro`` and ``gpt-4o:floor``: a model's name with a wish behind it, OpenRouter's short way to write
``provider.sort`` (openrouter.ai/docs/guides/routing/provider-selection). Pure.

A name that is configured as it stands is that model's. Other endings (``:free``, ``:online``) are parts of names.
"""

from dataclasses import replace

from gateway.bodies import FileBody
from gateway.domain import Call
from gateway.json_edit import edit_body
from gateway.reading_wishes import SORTS
from gateway.routing.router import Router

_ENDINGS = {"nitro": "throughput", "floor": "price"}


def take_suffixes(call: Call, router: Router) -> None:
    """Read *call* as if its client had named the models alone, and said ``provider.sort`` of them."""
    wishes = call.wishes
    if ":" not in call.model and not any(":" in model for model in wishes.models):
        return
    model, sort = _parted(call.model, router)
    pairs = [_parted(each, router) for each in wishes.models]
    sorts = {name: SORTS[word] for name, word in [*reversed(pairs), (model, sort)] if word}
    if not sorts:
        return
    call.wishes = replace(wishes, models=tuple(name for name, _ in pairs), sorts=sorts)
    if sort:
        _rename(call, model)
        # An aggregator is told what it would have read in the name.
        provider = {**wishes.provider, "sort": sort}
        members = tuple(dict.fromkeys([*wishes.members, "provider"]))
        call.wishes = replace(call.wishes, members=members, provider=provider, rewritten=True)


def _parted(name: str, router: Router) -> tuple[str, str]:
    """(the model, the word for its order or nothing)"""
    model, _, ending = name.rpartition(":")
    if ending not in _ENDINGS or router.names(name) or not router.has(model):
        return name, ""
    return model, _ENDINGS[ending]


def _rename(call: Call, model: str) -> None:
    call.model = model
    if isinstance(call.body, FileBody):
        call.body = call.body.renamed(model)
    elif not call.endpoint.model:
        edit_body(call, [("/model", model)])
