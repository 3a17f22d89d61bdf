"""What a call may come to, before anybody knows: cheap, and on the high side."""

import math
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from gateway import json_text
from gateway.bodies import JsonBody
from gateway.domain import COUNT_TOKENS, Call, Candidate, Channel
from gateway.token_count import weighed
from gateway.usage import Usage

_FILE = 2000  # tokens of a body that is no JSON: a recording, a picture
_AUDIO_BYTES = 3000  # of a second of speech, where it is packed tightly
# Work that nobody is billed for: what was made before is looked at, or tokens are counted.
_FREE = frozenset({COUNT_TOKENS, "files", "stored_responses", "models"})
_BATCHES = "batches"
_DIGITS = 15  # of a number; one with more is no count
_NO_OUTPUT = frozenset({"embeddings", "moderations", "rerank"})
# Where each dialect says the most that may be written, and how many answers are to be written.
_MOST = {
    "chat": (("max_completion_tokens",), ("max_tokens",)),
    "responses": (("max_output_tokens",),),
    "messages": (("max_tokens",),),
    "gemini": (("generationConfig", "maxOutputTokens"), ("generation_config", "max_output_tokens")),
}
_ANSWERS = {
    "chat": (("n",), ("best_of",)),
    "responses": (),
    "messages": (),
    "gemini": (("generationConfig", "candidateCount"), ("generation_config", "candidate_count")),
}
_NUMBERS = {dialect: json_text.Members([*paths, *_ANSWERS[dialect]]) for dialect, paths in _MOST.items()}


class Needs(NamedTuple):
    """What a call may use: tokens, images made, seconds of audio heard. ``said``: the client itself
    said how much it lets be written. ``unseen``: the vendor does the work later, and nobody here
    will ever know how much it was."""

    input: int
    output: int
    said: bool
    images: int | None = None
    seconds: int | None = None
    unseen: bool = False

    @property
    def tokens(self) -> int:
        return self.input + self.output

    def usage(self) -> Usage:
        """As if it had been used."""
        return Usage(self.input, self.output, images=self.images, seconds=self.seconds)


NO_NEEDS = Needs(0, 0, True)


def is_free(call: Call) -> bool:
    """Whether the call counts as a request but uses neither tokens nor money."""
    return call.method != "POST" or call.operation in _FREE


def needs_of(call: Call, usual_output: int) -> Needs:
    """An estimate of what *call* may use. *usual_output* stands in where the client says no most."""
    if is_free(call):
        return NO_NEEDS
    if not isinstance(call.body, JsonBody):
        seconds = len(call.body) // _AUDIO_BYTES + 1 if call.body and call.operation == "audio" else None
        images = 1 if call.operation == "images" else None
        return Needs(_FILE, usual_output, False, images, seconds, call.operation == _BATCHES)
    data = call.body.data
    read = weighed(data)
    if call.operation in _NO_OUTPUT:
        return Needs(read, 0, True)
    most, answers = _said(data, call.dialect)
    images = answers if call.operation == "images" else None
    output = (usual_output if most is None else most) * answers
    return Needs(read, output, most is not None, images, unseen=call.operation == _BATCHES)


def micro_usd(needs: Needs, candidate: Candidate, prices: Any, at: datetime) -> int | None:
    """What *needs* cost there in micro-USD; None when no price is known. *prices* is what
    ``services.prices`` holds, or None."""
    if needs.unseen:  # a price for "*" is none for it
        return None
    return _cost(prices, candidate.channel, candidate.model, needs.usage(), at)


def worst_micro_usd(channel: Channel, model: str, read: int, written: int, prices: Any, at: datetime) -> int | None:
    """The most that a call can cost there that reads and writes so many tokens, whatever their kinds."""
    kinds = (
        Usage(read, written),
        Usage(read, written, cache_write=read, cache_write_1h=read),
        Usage(read, written, input_audio=read, output_audio=written),
        Usage(read, written, reasoning=written),
    )
    costs = [_cost(prices, channel, model, usage, at) for usage in kinds]
    return max((cost for cost in costs if cost is not None), default=None)


def _cost(prices: Any, channel: Channel, model: str, usage: Usage, at: datetime) -> int | None:
    return None if prices is None else prices.cost(channel.name, channel.provider.name, model, usage, at)


def _said(data: bytes, dialect: str) -> tuple[int | None, int]:
    """(the most tokens that each answer may have, if *data* says it; how many answers it asks for)"""
    try:
        found = _NUMBERS[dialect].read(data)
    except json_text.NotJson:  # intake has seen that it is JSON; it may still be nested too deeply
        return None, 1
    parted = len(_MOST[dialect])
    answers = [number for number in _counts(found[parted:]) if number]
    return max(_counts(found[:parted]), default=None), max(answers, default=1)


def _counts(values: Iterable[Any]) -> list[int]:
    """Those of *values* that are counts; most calls say none."""
    return [number for value in values if value is not None and (number := _count(value)) is not None]


def _count(value: Any) -> int | None:
    """A count as vendors read it: ``1e5`` is one, and so is ``"7"`` for those that take it."""
    if isinstance(value, str) and value.isdecimal() and len(value) < _DIGITS:
        return int(value)
    if isinstance(value, Decimal) and 0 <= value < 10**_DIGITS:
        return math.ceil(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
