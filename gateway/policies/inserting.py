"""System prompts of the operator's, put into the requests of each dialect.

The client's own system text stays, byte for byte; what is added stands before or behind it, in the
same place, for some servers take only one system message, and that first.
"""

from dataclasses import dataclass
from typing import Any

from gateway import json_text
from gateway.json_edit import span_of

_BREAK = "\n\n"
_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Added:
    """*text* before (else behind) what the client says to the system."""

    text: str
    before: bool


def with_system_text(text: bytes, dialect: str, added: Added) -> bytes:
    """The generate request *text* (JSON in *dialect*) with the system prompt *added* to it. What cannot be
    read as a request of that dialect is left as it is: the channel will say why."""
    document = json_text.parse(text)
    return _IN[dialect](text, document, added) if isinstance(document, dict) else text


def _in_chat(text: bytes, document: dict, added: Added) -> bytes:
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


def _in_responses(text: bytes, document: dict, added: Added) -> bytes:
    return _with_words(text, ("instructions",), document.get("instructions"), added, {"type": "input_text"})


def _in_messages(text: bytes, document: dict, added: Added) -> bytes:
    return _with_words(text, ("system",), document.get("system"), added, {"type": "text"})


def _in_gemini(text: bytes, document: dict, added: Added) -> bytes:
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


def _with_words(text: bytes, path: tuple, value: Any, added: Added, part: dict) -> bytes:
    """*added* to the text that *path* leads to: a string, a list of parts, or nothing yet."""
    if isinstance(value, list):
        return _with_entry(text, path, part | {"text": added.text}, added.before)
    if isinstance(value, str):
        words = added.text
        if value:
            words = f"{words}{_BREAK}" if added.before else f"{_BREAK}{words}"
        start, end = span_of(text, path)
        at = start + 1 if added.before else end - 1  # inside its quotes
        return text[:at] + json_text.write(words)[1:-1] + text[at:]
    return _with_member(text, path[0], added.text) if len(path) == 1 and value is None else text


def _with_member(text: bytes, name: str, value: Any) -> bytes:
    """A document with the member *name*, in place of one that is null or empty."""
    written = json_text.write(value)
    span = span_of(text, (name,))
    if span is not None:
        return text[: span[0]] + written + text[span[1] :]
    at = text.index(b"{") + 1
    comma = b"" if text[at:].lstrip().startswith(b"}") else b","
    return b'%b"%b":%b%b%b' % (text[:at], name.encode(), written, comma, text[at:])


def _with_entry(text: bytes, path: tuple, entry: Any, first: bool) -> bytes:
    """The list at *path* with one more entry, first or last."""
    written = json_text.write(entry)
    start, end = span_of(text, path)
    inside = text[start + 1 : end - 1].rstrip()
    at = start + 1 if first else start + 1 + len(inside)
    if inside.strip():
        written = written + b"," if first else b"," + written
    return text[:at] + written + text[at:]
