"""``annotations`` of an assistant message <-> Citation values.

Chat knows ``{type: url_citation, url_citation: {url, title, start_index, end_index}}``; offsets
count in the whole ``content``, while a Citation's count in its own Text.
"""

from dataclasses import replace
from typing import Any

from gateway.dialects.chat.schema import DIALECT
from gateway.dialects.chat.shapes import count, inner, said
from gateway.dialects.vocabulary import Citation, Text


def read_citation(annotation: dict[str, Any], base: int = 0) -> Citation:
    """One annotation; *base* is where the cited Text begins in the content."""
    cited = annotation.get("url_citation")
    start, end = count(inner(cited, "start_index")), count(inner(cited, "end_index"))
    return Citation(
        url=said(inner(cited, "url")),
        title=said(inner(cited, "title")),
        quote=said(inner(cited, "content")),
        start=None if start is None else max(start - base, 0),
        end=None if end is None else max(end - base, 0),
        dialect=DIALECT,
        raw=annotation,
    )


def read_citations(annotations: Any, texts: list[Text]) -> None:
    """Hang every annotation on the Text it points into; on the last when it does not say."""
    for annotation in annotations if isinstance(annotations, list) and texts else []:
        if not isinstance(annotation, dict):
            continue
        start, base, target = count(inner(annotation, "url_citation", "start_index")), 0, texts[-1]
        for text in texts:
            if start is not None and start < base + len(text.text):
                target = text
                break
            base += len(text.text)
        else:
            base -= len(target.text)
        target.citations.append(read_citation(annotation, base))


def write_citation(citation: Citation, base: int, length: int) -> dict[str, Any] | None:
    """An annotation; None for what has no URL (chat cites nothing else). One that does not say
    where it stands is about its whole Text: *length* characters from *base*."""
    if citation.dialect == DIALECT and isinstance(citation.raw, dict):
        return citation.raw
    if not citation.url:
        return None
    start = 0 if citation.start is None else citation.start
    end = length if citation.end is None else citation.end
    cited = {
        "url": citation.url,
        "title": citation.title or "",
        "start_index": base + start,
        "end_index": base + end,
    }
    return {"type": "url_citation", "url_citation": cited | ({"content": citation.quote} if citation.quote else {})}


def write_citations(texts: list[Text]) -> list[dict[str, Any]]:
    """The ``annotations`` of texts whose words are joined into one content."""
    written, base = [], 0
    for text in texts:
        for citation in text.citations:
            written.append(write_citation(_shifted(citation, base), base, len(text.text)))
        base += len(text.text)
    return [annotation for annotation in written if annotation]


def _shifted(citation: Citation, base: int) -> Citation:
    # raw offsets are of the content it came from, which is the same content when base is 0 only.
    if base and citation.dialect == DIALECT and citation.url:
        return replace(citation, raw=None)
    return citation
