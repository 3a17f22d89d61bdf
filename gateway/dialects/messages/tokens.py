"""How many tokens a prompt is, roughly: no model's tokenizer is here, so characters are counted
by class, words also by their beginnings. It all adds up: a text may be counted in any pieces.

The weights are tokens per character, from published token counts of prose, code and CJK text;
they err on the high side, because what is planned with them is a limit.
"""

import re
from typing import Any

from gateway import json_text
from gateway.dialects.vocabulary import Media, Opaque, Part, Prompt, Reasoning, Refusal, Text, ToolCall, ToolResult

_WORD = re.compile(r"[A-Za-z]+")
_PER_WORD, _PER_LETTER = 0.55, 0.13  # short words are a token each, long ones several
_CLASSES = (
    (re.compile(r"[0-9]+"), 0.45),
    (re.compile(r"[!-/:-@\[-`{-~]+"), 0.55),
    (re.compile(r"[ \t]+"), 0.06),  # a space usually belongs to the word behind it
    (re.compile(r"[\r\n]+"), 0.35),
)
# Scripts without spaces: about a token a character. Other scripts: about two characters a token.
_DENSE = re.compile(r"[\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\uffef\U00020000-\U0003ffff]+")
_EMOJI = re.compile(r"[\u2600-\u27bf\U0001f000-\U0001faff]+")
_WEIGHT_DENSE, _WEIGHT_EMOJI, _WEIGHT_OTHER = 1.1, 2.0, 0.5

_PER_TURN = 4
_PER_CALL = 8
_PER_TOOL = 12
_TOOLS_AT_ALL = 300  # the instructions that come with any tools
PER_IMAGE = 1600  # what Anthropic counts for the largest image it does not shrink
_PER_RECORDING = 1600
_PER_FILE = 2000
_FILE_BYTES_PER_TOKEN = 25  # a PDF page is some 50 KB and counts about 2000


class TokenCounter:
    """``add`` texts as they come; ``total`` so far."""

    __slots__ = ("_sum", "_in_word")

    def __init__(self) -> None:
        self._sum = 0.0
        self._in_word = False

    def add(self, text: str) -> None:
        words = _WORD.findall(text)
        counted = sum(map(len, words))
        goes_on = self._in_word and bool(words) and text.startswith(words[0])
        self._sum += (len(words) - goes_on) * _PER_WORD + counted * _PER_LETTER
        if text:
            self._in_word = bool(words) and text.endswith(words[-1])
        for pattern, weight in _CLASSES:
            size = sum(map(len, pattern.findall(text)))
            counted += size
            self._sum += size * weight
        if counted < len(text):
            dense = sum(map(len, _DENSE.findall(text)))
            emoji = sum(map(len, _EMOJI.findall(text)))
            other = len(text) - counted - dense - emoji
            self._sum += dense * _WEIGHT_DENSE + emoji * _WEIGHT_EMOJI + other * _WEIGHT_OTHER

    def add_tokens(self, tokens: int) -> None:
        """Something that is no text and has a count of its own."""
        self._sum += tokens
        self._in_word = False

    @property
    def total(self) -> int:
        return int(self._sum) + (self._sum > int(self._sum))


def estimate_tokens(prompt: Prompt) -> int:
    """About how many input tokens *prompt* is: turns, tools with their schemas, output schema."""
    counter = TokenCounter()
    for turn in prompt.turns:
        counter.add_tokens(_PER_TURN)
        count_parts(turn.parts, counter)
    if prompt.tools:
        counter.add_tokens(_TOOLS_AT_ALL)
    for tool in prompt.tools:
        counter.add_tokens(_PER_TOOL)
        counter.add(tool.name)
        counter.add(tool.description or "")
        _add_json(tool.raw if tool.kind == "hosted" else tool.parameters, counter)
    if prompt.output is not None:
        _add_json(prompt.output.schema, counter)
    return counter.total


def count_parts(parts: list[Part], counter: TokenCounter) -> None:
    """Add what *parts*, of a prompt or of an answer, say."""
    for part in parts:
        _COUNTERS[type(part)](part, counter)


def _add_json(value: Any, counter: TokenCounter) -> None:
    if value is None:
        return
    try:
        counter.add(json_text.write(value).decode())
    except RecursionError:  # nested deeper than can be written: as if it were not there
        return


def _words(part: Text | Refusal | Reasoning, counter: TokenCounter) -> None:
    counter.add(part.text)


def _call(part: ToolCall, counter: TokenCounter) -> None:
    counter.add_tokens(_PER_CALL)
    counter.add(part.name)
    counter.add(part.arguments)


def _result(part: ToolResult, counter: TokenCounter) -> None:
    counter.add_tokens(_PER_CALL)
    count_parts(part.parts, counter)


def _media(part: Media, counter: TokenCounter) -> None:
    words = part.text or part.transcript
    if words:
        counter.add(words)
    elif part.kind == "image":
        counter.add_tokens(PER_IMAGE)
    elif part.kind == "file":
        counter.add_tokens(max(_PER_FILE, len(part.data or "") * 3 // 4 // _FILE_BYTES_PER_TOKEN))
    else:
        counter.add_tokens(_PER_RECORDING)


def _opaque(part: Opaque, counter: TokenCounter) -> None:
    _add_json(part.value, counter)


_COUNTERS = {
    Text: _words,
    Refusal: _words,
    Reasoning: _words,
    ToolCall: _call,
    ToolResult: _result,
    Media: _media,
    Opaque: _opaque,
}
