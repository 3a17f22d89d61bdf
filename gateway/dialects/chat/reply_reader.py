"""An upstream's chat.completion -> Completion."""

from typing import Any

from gateway.dialects.chat.assistant import MEMBERS, read_assistant
from gateway.dialects.chat.faults import read_fault
from gateway.dialects.chat.schema import DIALECT, FINISHES_READ
from gateway.dialects.chat.shapes import Malformed, count, entries, mapping, refuse, said
from gateway.dialects.chat.tokens import read_usage
from gateway.dialects.vocabulary import Choice, Completion, Finish, Part, ToolCall
from gateway.errors import ChannelAnswered, ChannelFailed
from gateway.usage import Usage

_MEMBERS = ("id", "object", "created", "model", "choices", "usage", "service_tier")
_CHOICE_MEMBERS = ("index", "message", "finish_reason", "logprobs")


def read_reply(document: Any) -> Completion:
    """A Completion. Raises ChannelFailed, with the upstream's words when it answered an error
    under status 200."""
    try:
        return _read(document)
    except Malformed as error:
        raise ChannelFailed(f"the upstream's reply cannot be read: {error}") from None


def _read(document: Any) -> Completion:
    if not isinstance(document, dict):
        refuse("reply", "a JSON object")
    fault = read_fault(document)
    if fault is not None:
        raise ChannelAnswered(fault)
    listed = entries(document.get("choices"), "choices")
    if not listed:
        refuse("choices", "at least one choice")
    choices = [_choice(raw, f"choices[{index}]") for index, raw in enumerate(listed)]
    return Completion(
        id=said(document.get("id")) or "",
        model=said(document.get("model")) or "",
        choices=choices,
        usage=read_usage(document.get("usage")) or Usage(),
        created=count(document.get("created")),
        service_tier=said(document.get("service_tier")),
        dialect=DIALECT,
        rest={name: value for name, value in document.items() if name not in _MEMBERS and value is not None},
    )


def _choice(raw: Any, where: str) -> Choice:
    if not isinstance(raw, dict):
        refuse(where, "an object")
    message = mapping(raw.get("message"), f"{where}.message") or refuse(f"{where}.message", "an object")
    parts = read_assistant(message, f"{where}.message")
    rest = {name: value for name, value in raw.items() if name not in _CHOICE_MEMBERS and value is not None}
    rest |= {f"message.{name}": message[name] for name in message if name not in MEMBERS and message[name] is not None}
    logprobs = raw.get("logprobs")
    return Choice(
        parts,
        read_finish(raw.get("finish_reason"), called=_called(parts)),
        logprobs if isinstance(logprobs, dict) else None,
        rest,
    )


def _called(parts: list[Part]) -> bool:
    return any(isinstance(part, ToolCall) for part in parts)


def read_finish(raw: Any, called: bool) -> Finish | None:
    """A finish_reason, ``raw`` kept; None when the upstream says none.

    An answer with tool calls ended to have them run, also when the upstream says ``stop``
    (OpenAI itself does for a named tool_choice) or a word that nobody knows.
    """
    if not said(raw):
        return None
    reason = FINISHES_READ.get(raw.lower(), "stop")
    return Finish("tool_calls" if called and reason == "stop" else reason, raw)
