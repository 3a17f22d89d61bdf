"""A stream as one answer, and one answer as a stream: for upstreams that send the other of the two."""

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.dialects.vocabulary import (
    Choice,
    Closed,
    Completion,
    Delta,
    Failed,
    Finished,
    Mark,
    Opened,
    Part,
    Reasoning,
    Refusal,
    Started,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)
from gateway.errors import ChannelAnswered
from gateway.usage import Usage


def completion_of(events: Iterable[StreamEvent]) -> Completion:
    """All of a stream's events as one Completion. Raises ChannelAnswered when it failed."""
    completion = Completion("", "", [])
    choices: dict[int, Choice] = {}
    parts: dict[tuple[int, int], Part] = {}
    for event in events:
        if isinstance(event, Failed):
            raise ChannelAnswered(event.fault)
        if isinstance(event, Started):
            completion.id, completion.model = event.id, event.model
            completion.created, completion.service_tier = event.created, event.service_tier
        elif isinstance(event, UsageSeen):
            completion.usage = event.usage
        elif isinstance(event, Finished):
            choices.setdefault(event.choice, Choice([])).finish = event.finish
        elif isinstance(event, Opened):
            parts[event.choice, event.index] = event.part
            choices.setdefault(event.choice, Choice([])).parts.append(event.part)
        elif isinstance(event, Delta | Mark):
            part = parts.get((event.choice, event.index))
            if part is not None:
                _grow(part, event)
            if isinstance(event, Delta) and isinstance(event.logprobs, dict):
                _add_logprobs(choices[event.choice], event.logprobs)
    completion.choices = [choices[number] for number in sorted(choices)]
    return completion


def _add_logprobs(choice: Choice, more: dict) -> None:
    listed = (choice.logprobs or {}).get("content") or []
    choice.logprobs = {**more, "content": listed + (more.get("content") or [])}


def _grow(part: Part, event: Delta | Mark) -> None:
    if isinstance(event, Mark):
        if event.citation is not None and isinstance(part, Text):
            part.citations.append(event.citation)
        if event.signature is not None and hasattr(part, "signature"):
            part.signature = event.signature
        if isinstance(part, Reasoning):
            part.encrypted = event.encrypted or part.encrypted
            part.dialect = event.dialect or part.dialect
    elif isinstance(part, ToolCall):
        part.arguments += event.text
    elif isinstance(part, Text | Reasoning | Refusal):
        part.text += event.text


def events_of(completion: Completion) -> Iterator[StreamEvent]:
    """A whole answer as the events that would have streamed it, one Delta a part."""
    yield Started(completion.id, completion.model, completion.created, completion.service_tier)
    for number, choice in enumerate(completion.choices):
        logprobs = choice.logprobs  # of all its words: they go with the first
        for index, part in enumerate(choice.parts):
            yield from _told(part, index, number, logprobs)
            logprobs = None if isinstance(part, Text) else logprobs
    if completion.usage != Usage():
        yield UsageSeen(completion.usage)
    for number, choice in enumerate(completion.choices):
        if choice.finish is not None:
            yield Finished(choice.finish, number)


def _told(part: Part, index: int, choice: int, logprobs: Any) -> Iterator[StreamEvent]:
    if isinstance(part, Text):
        yield Opened(index, Text("", cache=part.cache), choice)
        yield Delta(index, part.text, choice, logprobs)
        for citation in part.citations:
            yield Mark(index, citation=citation, choice=choice)
        if part.signature is not None:
            yield Mark(index, signature=part.signature, choice=choice)
    elif isinstance(part, Reasoning):
        yield Opened(index, Reasoning(id=part.id, summary=part.summary, dialect=part.dialect), choice)
        yield Delta(index, part.text, choice)
        if part.signature is not None or part.encrypted is not None:
            yield Mark(index, signature=part.signature, encrypted=part.encrypted, choice=choice)
    elif isinstance(part, ToolCall):
        begun = ToolCall(part.id, part.name, "", part.kind, part.signature, part.item_id)
        yield Opened(index, begun, choice)
        yield Delta(index, part.arguments, choice)
    elif isinstance(part, Refusal):
        yield Opened(index, Refusal(""), choice)
        yield Delta(index, part.text, choice)
    else:
        yield Opened(index, part, choice)
    yield Closed(index, choice)
