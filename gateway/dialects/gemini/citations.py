"""Where an answer comes from: ``groundingMetadata`` and ``citationMetadata``, both ways.

Gemini counts offsets in bytes of UTF-8, the neutral Citation counts characters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.dialects.vocabulary import Citation

_SOURCES = ("web", "retrievedContext", "maps", "image")


@dataclass(slots=True)
class Found:
    """A citation with its place: byte offsets into the part ``part`` (a Part's index), or into
    the whole text when None."""

    citation: Citation
    start: int | None = None
    end: int | None = None
    part: int | None = None


def read(candidate: dict) -> Iterator[Found]:
    """Every citation of a candidate. A source that no passage names stands for the whole text."""
    yield from _grounding(candidate.get("groundingMetadata"))
    sources = candidate.get("citationMetadata")
    if isinstance(sources, dict):
        for raw in _dicts(sources.get("citationSources")) or _dicts(sources.get("citations")):
            cited = Citation(url=_text(raw.get("uri")), title=_text(raw.get("title")), dialect="gemini", raw=raw)
            # An offset of 0 is left out of proto JSON.
            yield Found(cited, _offset(raw.get("startIndex", 0)), _offset(raw.get("endIndex")))


def _grounding(metadata: Any) -> Iterator[Found]:
    if not isinstance(metadata, dict):
        return
    chunks = metadata.get("groundingChunks")
    chunks = chunks if isinstance(chunks, list) else []
    named = set()
    for support in _dicts(metadata.get("groundingSupports")):
        segment = support.get("segment") if isinstance(support.get("segment"), dict) else {}
        places = support.get("groundingChunkIndices")
        for place in places if isinstance(places, list) else ():
            if isinstance(place, int) and 0 <= place < len(chunks):
                named.add(place)
                cited = _source(chunks[place], {"groundingChunk": chunks[place], "segment": segment})
                start, end = _offset(segment.get("startIndex", 0)), _offset(segment.get("endIndex"))
                yield Found(cited, start, end, _offset(segment.get("partIndex")))
    for place, chunk in enumerate(chunks):
        if place not in named:
            yield Found(_source(chunk, {"groundingChunk": chunk}))


def _source(chunk: Any, raw: dict) -> Citation:
    sources = [chunk.get(kind) for kind in _SOURCES] if isinstance(chunk, dict) else []
    source = next((one for one in sources if isinstance(one, dict)), {})
    return Citation(url=_text(source.get("uri")), title=_text(source.get("title")), quote=_text(source.get("text")),
                    dialect="gemini", raw=raw)  # fmt: skip


def placed(found: Found, words: str) -> Citation:
    """The citation with its offsets in characters of *words*."""
    cited = found.citation
    if found.start is not None and found.end is not None and found.start <= found.end:
        cited.start, cited.end = _characters(words, found.start), _characters(words, found.end)
    return cited


def write(cited: list[tuple[Citation, str, int | None]]) -> dict[str, Any] | None:
    """``groundingMetadata`` of (citation, the text it is in, that part's index); None when there
    are none."""
    chunks: list[dict[str, Any]] = []
    supports = []
    for citation, words, part in cited:
        chunk = _chunk(citation)
        if chunk not in chunks:
            chunks.append(chunk)
        if citation.start is None or citation.end is None:
            continue
        passage = words[citation.start : citation.end]
        start = _bytes(words[: citation.start])
        segment: dict[str, Any] = {"startIndex": start, "endIndex": start + _bytes(passage), "text": passage}
        if part:
            segment["partIndex"] = part
        supports.append({"segment": segment, "groundingChunkIndices": [chunks.index(chunk)]})
    if not chunks:
        return None
    return {"groundingChunks": chunks} | ({"groundingSupports": supports} if supports else {})


def _chunk(citation: Citation) -> dict[str, Any]:
    said = {"uri": citation.url, "title": citation.title}
    if citation.url is None:  # a document of the prompt
        return {"retrievedContext": _given({"title": citation.title, "text": citation.quote})}
    return {"web": _given(said)}


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not None}


def _characters(words: str, offset: int) -> int:
    if words.isascii():
        return min(offset, len(words))
    return len(words.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "ignore"))


def _bytes(words: str) -> int:
    return len(words) if words.isascii() else len(words.encode("utf-8", "surrogatepass"))


def _dicts(value: Any) -> list[dict]:
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _offset(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
