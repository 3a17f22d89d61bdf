"""A whole reply: an upstream's Response object as a Completion, and a Completion as one."""

from typing import Any

from gateway.dialects.responses.item_reader import item_parts, logprobs
from gateway.dialects.responses.response import read_usage
from gateway.dialects.responses.schema import DIALECT, INCOMPLETE, fault_of, integer, listing, mapping, string
from gateway.dialects.responses.stream_writer import StreamWriter
from gateway.dialects.vocabulary import (
    Asked,
    Choice,
    Closed,
    Completion,
    Delta,
    Finish,
    Finished,
    Opened,
    Part,
    Started,
    Text,
    ToolCall,
    UsageSeen,
)
from gateway.errors import ChannelAnswered, ChannelFailed

# Statuses of an answer that is there; others have failed or will only come later.
_ANSWERED = ("completed", "incomplete", "")


def read_reply(document: Any) -> Completion:
    """A Response object as a Completion. Raises ChannelFailed, or ChannelAnswered when it tells
    of an error."""
    document = mapping(document)
    status, output = string(document.get("status")), document.get("output")
    if document.get("error") or status in ("failed", "cancelled"):
        raise ChannelAnswered(fault_of(document.get("error"), f"the upstream's response is {status or 'an error'}"))
    if not isinstance(output, list):
        raise ChannelFailed("the upstream's reply is not a Response object: it has no output")
    if status not in _ANSWERED:
        raise ChannelFailed(f"the upstream's response is not finished: {status}")
    parts = [part for item in output for part in item_parts(item)]
    choice = Choice(parts, read_finish(document, _calls(parts)), _logprobs(output))
    return Completion(
        id=string(document.get("id")),
        model=string(document.get("model")),
        choices=[choice],
        usage=read_usage(document.get("usage")),
        created=integer(document.get("created_at")),
        service_tier=string(document.get("service_tier")) or None,
        dialect=DIALECT,
    )


def read_finish(response: dict, calls: bool) -> Finish:
    """Why the answer ended; *calls* tells that it holds calls of the client's tools."""
    if response.get("status") == "incomplete":
        reason = string(mapping(response.get("incomplete_details")).get("reason"))
        return Finish(INCOMPLETE.get(reason, "length"), raw=reason or "incomplete")
    return Finish("tool_calls" if calls else "stop", raw=string(response.get("status")) or None)


def write_reply(completion: Completion, asked: Asked) -> dict:
    """The Completion as a Response object. It is what the same answer, streamed, ends with; of
    several choices the protocol can say only the first."""
    writer = StreamWriter(asked)
    writer.feed(Started(completion.id, completion.model, completion.created, completion.service_tier))
    choice = completion.choices[0] if completion.choices else Choice([])
    listed = choice.logprobs
    for index, part in enumerate(choice.parts):
        writer.feed(Opened(index, part))
        if listed is not None and isinstance(part, Text):
            writer.feed(Delta(index, "", logprobs=listed))
            listed = None
        writer.feed(Closed(index))
    writer.feed(UsageSeen(completion.usage))
    writer.feed(Finished(choice.finish or Finish("stop")))
    return writer.finish()


def _calls(parts: list[Part]) -> bool:
    return any(isinstance(part, ToolCall) for part in parts)


def _logprobs(output: list) -> dict | None:
    found: list = []
    for item in output:
        for part in listing(mapping(item).get("content")):
            found += listing(mapping(part).get("logprobs"))
    return logprobs(found)
