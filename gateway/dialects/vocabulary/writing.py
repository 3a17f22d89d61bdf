"""What writers are told, and what they say."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.dialects.vocabulary.prompt import Prompt


@dataclass(slots=True)
class Target:
    """Who a request is written for. ``traits`` are what its vendor demands or lacks beside the
    dialect: ``reasoning_content`` (wants thinking replayed in that member: DeepSeek, Kimi),
    ``max_tokens`` (knows only the old name of max_completion_tokens), ``no_developer`` (takes
    system only), ``no_file_url``, ... ; ``max_tokens`` is the default where one is compulsory."""

    model: str
    traits: frozenset[str] = frozenset()
    max_tokens: int = 8192


@dataclass(slots=True)
class Written:
    """A request in the target's words. ``dropped`` names what could not be said: a Prompt field
    (``top_k``), a key of ``rest`` as it stands, or ``part.KIND`` (``part.video``)."""

    document: dict[str, Any]
    dropped: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Asked:
    """What the writer of an answer must know of the question: the ``model`` as the client named
    it, the time in Unix seconds, ``new_id(prefix)`` for ids that the upstream did not give, and
    the ``prompt`` (a Responses object repeats much of it)."""

    model: str
    created: int
    new_id: Callable[[str], str]
    prompt: Prompt
