"""Neutral values as data, so that a new case is a new file.

A dataclass is an object whose ``$`` names the class; members at their defaults are left out.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gateway import json_text, sse
from gateway.dialects import vocabulary
from gateway.dialects.vocabulary import Asked, Prompt
from gateway.errors import Fault
from gateway.usage import Usage

CASES = Path(__file__).parent / "cases"
_CLASSES = {name: value for name, value in vars(vocabulary).items() if dataclasses.is_dataclass(value)}
_CLASSES |= {"Usage": Usage, "Fault": Fault}


def to_data(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [to_data(member) for member in value]
    if isinstance(value, dict):
        return {key: to_data(member) for key, member in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    data: dict[str, Any] = {"$": type(value).__name__}
    for field in dataclasses.fields(value):
        member = getattr(value, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if member != default:
            data[field.name] = to_data(member)
    return data


def from_data(data: Any) -> Any:
    if isinstance(data, list):
        return [from_data(member) for member in data]
    if not isinstance(data, dict):
        return data
    members = {key: from_data(member) for key, member in data.items() if key != "$"}
    return _CLASSES[data["$"]](**members) if "$" in data else members


def load(path: Path) -> Any:
    return json_text.parse(path.read_bytes())


def files(folder: str, ending: str = "json") -> list[Path]:
    found = sorted((CASES / folder).glob(f"*.{ending}"))
    assert found, folder
    return found


def by_name(path: Path) -> str:
    return path.stem


def asked(model: str = "public-model", prompt: Prompt | None = None) -> Asked:
    numbers = itertools.count()
    return Asked(model, 1_700_000_000, lambda prefix: f"{prefix}new{next(numbers)}", prompt or Prompt("gemini", model))


def read_cut(reader: Any, stream: bytes, size: int) -> list:
    """What *reader* makes of *stream* when it arrives in pieces of *size* bytes."""
    splitter = sse.Splitter()
    events = []
    for start in range(0, len(stream), size):
        for event in sse.events(splitter.feed(stream[start : start + size])):
            events += reader.feed(event)
    return events + reader.close()


WRONG = (None, True, 3, -1, "x", "", [], {}, [3], [[]], {"a": 1}, {"text": 1})


def damaged(document: Any) -> Iterator[Any]:
    """*document* with each of its values in turn replaced by each of WRONG."""
    yield from WRONG
    if isinstance(document, dict | list):
        for key, member in document.items() if isinstance(document, dict) else enumerate(document):
            for other in damaged(member):
                copy = document.copy()
                copy[key] = other
                yield copy


# Any JSON; names and words that the readers look for come often.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    "contents systemInstruction system_instruction tools toolConfig generationConfig store serviceTier role parts text "
    "thought thoughtSignature inlineData fileData functionCall functionResponse executableCode codeExecutionResult id "
    "name args response data mimeType fileUri displayName functionDeclarations parameters parametersJsonSchema "
    "functionCallingConfig mode allowedFunctionNames topK stopSequences thinkingConfig thinkingLevel thinkingBudget "
    "responseMimeType responseSchema type properties enum anyOf nullable candidates content finishReason index error "
    "code message status details promptFeedback blockReason usageMetadata promptTokenCount groundingMetadata "
    "groundingChunks groundingSupports segment startIndex endIndex groundingChunkIndices web citationMetadata "
    "citationSources logprobsResult chosenCandidates token responseId modelVersion createTime "
    "audioTranscription".split()
)
WORDS = st.sampled_from(["user", "model", "STOP", "ANY", "f", "OBJECT", "application/json", "Z2F0ZXdheTE6", "files/a"])
DOCUMENTS = st.recursive(
    VALUES | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=25,
)
