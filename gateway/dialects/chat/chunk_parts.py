"""Chunks of a chat stream, and how each kind of open part says itself in them.

Lists inside deltas number their entries with ``index``: OpenAI's own stream helpers put the
fragments together by it, join the strings of entries with the same one, and fail without it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway import json_text
from gateway.dialects.chat.citations import write_citation
from gateway.dialects.chat.content import write_media
from gateway.dialects.chat.reply_writer import expiry, hides_thinking
from gateway.dialects.chat.thinking import BETWEEN, has_proof, write_details, write_signature
from gateway.dialects.chat.tool_words import is_legacy
from gateway.dialects.vocabulary import Asked, Delta, Mark, Media, Reasoning, Refusal, Text, ToolCall
from gateway.sse import write_event


class Chunks:
    """Writes chunks that all have the same head (id, created, model)."""

    def __init__(self, head: dict[str, Any], tells_usage: bool):
        self._head = head
        # OpenAI: with include_usage every other chunk has usage null.
        self._usage = {"usage": None} if tells_usage else {}

    def write(self, choice: int, delta: dict[str, Any], finish: dict[str, Any] | None = None,
              logprobs: Any = None) -> bytes:  # fmt: skip
        written = {"index": choice, "delta": delta, "logprobs": logprobs, **(finish or {"finish_reason": None})}
        return write_event(json_text.write({**self._head, "choices": [written], **self._usage}))

    def usage(self, usage: dict[str, Any]) -> bytes:
        return write_event(json_text.write({**self._head, "choices": [], "usage": usage}))

    def frame(self, choice: int, wrap: Callable[[str], dict[str, Any]]) -> tuple[bytes, bytes]:
        """What stands before and behind the words in a chunk whose delta is ``wrap(words)``."""
        mark = "\x00"  # comes out as \u0000, which nothing else in a chunk's frame can be
        before, _, after = self.write(choice, wrap(mark)).rpartition(json_text.write(mark))
        return before, after


class Answer:
    """What one choice has said so far."""

    def __init__(self, choice: int, chunks: Chunks, asked: Asked):
        self.choice = choice
        self.chunks = chunks
        self.asked = asked
        self.legacy = is_legacy(asked.prompt)
        self.finished = False
        self.calls = 0
        self.length = 0  # characters of content
        self.audio_id = ""
        self.thought = False
        self.signature: str | None = None  # of the words
        self.numbers: dict[str, int] = {}  # list member -> entries written

    def write(self, delta: dict[str, Any], logprobs: Any = None) -> bytes:
        return self.chunks.write(self.choice, delta, None, logprobs)

    def finish(self, finish: dict[str, str]) -> bytes:
        self.finished = True
        delta = {"extra_content": write_signature(self.signature)} if self.signature else {}
        return self.chunks.write(self.choice, delta, finish)

    def entries(self, member: str, values: list[dict[str, Any]]) -> bytes:
        """A chunk with the next *values* of a list member."""
        first = self.numbers.get(member, 0)
        self.numbers[member] = first + len(values)
        return self.write({member: [{**value, "index": index} for index, value in enumerate(values, first)]})


class Open:
    """An open part that is written as words of one member; the other kinds build on it."""

    def __init__(self, answer: Answer, wrap: Callable[[str], dict[str, Any]], begun: str = ""):
        self._answer = answer
        self._wrap = wrap
        self._begun = begun  # words that came with the opening
        self._before, self._after = answer.chunks.frame(answer.choice, wrap)

    def begin(self) -> bytes:
        return self.more(Delta(0, self._begun)) if self._begun else b""

    def more(self, delta: Delta) -> bytes:
        if not delta.text and not delta.logprobs:
            return b""
        if delta.logprobs:
            return self._answer.write(self._wrap(delta.text), delta.logprobs)
        return self._before + json_text.write(delta.text) + self._after

    def mark(self, mark: Mark) -> bytes:
        return b""

    def end(self) -> bytes:
        return b""


class OpenText(Open):
    def __init__(self, answer: Answer, part: Text):
        super().__init__(answer, lambda words: {"content": words}, part.text)
        self._part = part
        self._base = answer.length

    def begin(self) -> bytes:
        written = super().begin()
        for citation in self._part.citations:
            written += self.mark(Mark(0, citation=citation))
        self._sign(self._part.signature)
        return written

    def more(self, delta: Delta) -> bytes:
        self._answer.length += len(delta.text)
        return super().more(delta)

    def mark(self, mark: Mark) -> bytes:
        self._sign(mark.signature)
        if mark.citation is None:
            return b""
        citation = replace(mark.citation, raw=None) if self._base and mark.citation.url else mark.citation
        annotation = write_citation(citation, self._base, self._answer.length - self._base)
        return self._answer.entries("annotations", [annotation]) if annotation is not None else b""

    def _sign(self, signature: str | None) -> None:
        # It goes out with the finish: there is room for one in an answer, the last.
        self._answer.signature = signature or self._answer.signature


class OpenReasoning(Open):
    """The words leave as they come; a proof with the whole thought once more when it ends, for
    only then it is known that there is one."""

    def __init__(self, answer: Answer, part: Reasoning):
        super().__init__(answer, lambda words: {"reasoning_content": words}, part.text)
        self._part = replace(part, text="")
        self._said: list[str] = []
        self._parted = not answer.thought

    def more(self, delta: Delta) -> bytes:
        if not delta.text:
            return b""
        self._said.append(delta.text)
        if self._parted:
            return self._before + json_text.write(delta.text) + self._after
        self._parted = True
        return super().more(Delta(0, BETWEEN + delta.text))

    def mark(self, mark: Mark) -> bytes:
        part = self._part
        part.signature = mark.signature or part.signature
        part.encrypted = mark.encrypted or part.encrypted
        part.dialect = mark.dialect or part.dialect
        return b""

    def end(self) -> bytes:
        self._part.text = "".join(self._said)
        self._answer.thought = self._answer.thought or bool(self._said)
        return self._answer.entries("reasoning_details", write_details([self._part])) if has_proof(self._part) else b""


class OpenCall(Open):
    """A tool call, numbered among the calls: the index of its part counts texts and thoughts too."""

    def __init__(self, answer: Answer, part: ToolCall):
        self._number, self._part, self._empty = answer.calls, part, True
        self._custom = part.kind == "custom"
        answer.calls += 1
        super().__init__(answer, self._fragment, part.arguments)

    def _fragment(self, words: str) -> dict[str, Any]:
        told = {"custom": {"input": words}} if self._custom else {"function": {"arguments": words}}
        return {"tool_calls": [{"index": self._number, **told}]}

    def begin(self) -> bytes:
        part = self._part
        first: dict[str, Any] = {"index": self._number, "id": part.id or self._answer.asked.new_id("call_")}
        if self._custom:
            first |= {"type": "custom", "custom": {"name": part.name, "input": ""}}
        else:
            first |= {"type": "function", "function": {"name": part.name, "arguments": ""}}
        if part.signature:
            first["extra_content"] = write_signature(part.signature)
        return self._answer.write({"tool_calls": [first]}) + super().begin()

    def more(self, delta: Delta) -> bytes:
        self._empty = self._empty and not delta.text
        return super().more(delta)

    def mark(self, mark: Mark) -> bytes:
        if not mark.signature:
            return b""
        fragment = self._fragment("")
        fragment["tool_calls"][0]["extra_content"] = write_signature(mark.signature)
        return self._answer.write(fragment)

    def end(self) -> bytes:
        # Clients parse the arguments unseen, and an empty string is no JSON.
        return super().more(Delta(0, "{}")) if self._empty and not self._custom else b""


class OpenFunction(OpenCall):
    """The one call that a client from before ``tools`` understands."""

    def _fragment(self, words: str) -> dict[str, Any]:
        return {"function_call": {"arguments": words}}

    def begin(self) -> bytes:
        return self._answer.write({"function_call": {"name": self._part.name, "arguments": ""}}) + Open.begin(self)

    def mark(self, mark: Mark) -> bytes:
        return b""


class OpenMedia(Open):
    """An image or a piece of audio, said in one go."""

    def __init__(self, answer: Answer, part: Media):
        self._answer, self._part = answer, part

    def more(self, delta: Delta) -> bytes:
        return b""

    def begin(self) -> bytes:
        answer, media = self._answer, self._part
        if media.kind == "image":
            image = write_media(media, True, frozenset())
            return answer.entries("images", [image]) if image else b""
        audio: dict[str, Any] = {}
        if not answer.audio_id:  # once: clients join what comes twice
            answer.audio_id = media.file_id or answer.asked.new_id("audio_")
            audio = {"id": answer.audio_id, "expires_at": expiry(media, answer.asked)}
        for member, value in (("data", media.data), ("transcript", media.transcript)):
            if value:
                audio[member] = value
        return answer.write({"audio": audio})


def _text(answer: Answer, part: Text) -> Open:
    return OpenText(answer, part)


def _refusal(answer: Answer, part: Refusal) -> Open:
    return Open(answer, lambda words: {"refusal": words}, part.text)


def _reasoning(answer: Answer, part: Reasoning) -> Open | None:
    return None if hides_thinking(answer.asked.prompt) else OpenReasoning(answer, part)


def _call(answer: Answer, part: ToolCall) -> Open | None:
    if not answer.legacy:
        return OpenCall(answer, part)
    return OpenFunction(answer, part) if answer.calls == 0 else None


def _media(answer: Answer, part: Media) -> Open | None:
    return OpenMedia(answer, part) if part.kind in ("image", "audio") else None


# What has no entry (another dialect's Opaque parts) cannot be said in a chat answer.
WRITERS: dict[type, Callable[[Answer, Any], Open | None]] = {
    Text: _text,
    Refusal: _refusal,
    Reasoning: _reasoning,
    ToolCall: _call,
    Media: _media,
}
