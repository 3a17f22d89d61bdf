"""System prompts of the operator's, put into the requests of each dialect.

The client's own system text stays, byte for byte; what is added stands before or behind it, in the
same place, for some servers take only one system message, and that first.
"""

from dataclasses import dataclass
from typing import Any

from gateway import json_text
from gateway.policies.json_spans import Splice, escaped, span_of, spliced

_BREAK = "\n\n"
_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Added:
    """*text* before (else behind) what the client says to the system."""

    text: str
    before: bool


def with_system_text(text: str, dialect: str, added: Added) -> str:
    """The generate request *text* (a JSON text in *dialect*) with the system prompt *added* to it. What
    cannot be read as a request of that dialect is left as it is: the channel will say why."""
    document = json_text.parse(text)
    return _IN[dialect](text, document, added) if isinstance(document, dict) else text


def _in_chat(text: str, document: dict, added: Added) -> str:
    messages = document.get("messages")
    if not isinstance(messages, list):
        return text
    # The system's messages that the conversation begins with.
    leading = 0
    while leading < len(messages) and _role(messages[leading]) in _ROLES:
        leading += 1
    place = 0 if added.before else leading - 1
    if not leading or not isinstance(messages[place].get("content"), str | list):
        return _with_entry(text, ("messages",), {"role": "system", "content": added.text}, True)
    path = ("messages", place, "content")
    return _with_words(text, path, messages[place].get("content"), added, {"type": "text"})


def _in_responses(text: str, document: dict, added: Added) -> str:
    return _with_words(text, ("instructions",), document.get("instructions"), added, {"type": "input_text"})


def _in_messages(text: str, document: dict, added: Added) -> str:
    return _with_words(text, ("system",), document.get("system"), added, {"type": "text"})


def _in_gemini(text: str, document: dict, added: Added) -> str:
    name = "system_instruction" if "system_instruction" in document else "systemInstruction"
    content = document.get(name)
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(parts, list):
        return _with_entry(text, (name, "parts"), {"text": added.text}, added.before)
    if isinstance(parts, dict) and isinstance(parts.get("text"), str):  # Google's parser takes one for a list
        return _with_words(text, (name, "parts", "text"), parts["text"], added, {})
    if content is None or content == {}:
        return _with_member(text, name, {"parts": [{"text": added.text}]})
    return _with_words(text, (name,), content, added, {}) if isinstance(content, str) else text


_IN = {"chat": _in_chat, "responses": _in_responses, "messages": _in_messages, "gemini": _in_gemini}


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _with_words(text: str, path: tuple, value: Any, added: Added, part: dict) -> str:
    """*added* to the text that *path* leads to: a string, a list of parts, or nothing yet."""
    if isinstance(value, list):
        return _with_entry(text, path, part | {"text": added.text}, added.before)
    if isinstance(value, str):
        start, end, _ = span_of(text, path)
        words = f"{added.text}{_BREAK}" if added.before else f"{_BREAK}{added.text}"
        if not value:
            words = added.text
        at = start if added.before else end
        return spliced(text, [Splice(at, at, escaped(words))])
    return _with_member(text, path[0], added.text) if len(path) == 1 and value is None else text


def _with_member(text: str, name: str, value: Any) -> str:
    """A document with the member *name*, in place of one that is null or empty."""
    written = json_text.write(value).decode()
    span = span_of(text, (name,))
    if span is not None:
        return spliced(text, [Splice(span[0], span[1], written)])
    open_at = text.index("{") + 1
    comma = "" if text[open_at:].lstrip().startswith("}") else ","
    return spliced(text, [Splice(open_at, open_at, f'"{name}":{written}{comma}')])


def _with_entry(text: str, path: tuple, entry: Any, first: bool) -> str:
    """The list at *path* with one more entry, first or last."""
    written = json_text.write(entry).decode()
    start, end, _ = span_of(text, path)
    inside = text[start + 1 : end - 1]
    if not inside.strip():
        return spliced(text, [Splice(start + 1, start + 1, written)])
    at = start + 1 if first else start + 1 + len(inside.rstrip())
    return spliced(text, [Splice(at, at, f"{written}," if first else f",{written}")])
