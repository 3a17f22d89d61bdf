"""Images and documents as Messages blocks, and which of them must be fetched first.

Images may be JPEG, PNG, GIF or WebP; documents PDF or plain text (of any text type). By URL only
images and PDF (platform.claude.com/docs/en/build-with-claude/vision, pdf-support).
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway.dialects.messages.schema import DIALECT, IMAGE_TYPES
from gateway.dialects.vocabulary import Media, Part, Prompt, ToolResult

# How base64 of a file begins. Clients mislabel images, and the API answers 400 to a wrong label.
_BEGINNINGS = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi0": "application/pdf",
}
_TEXTUAL = {"application/json", "application/xml", "application/x-yaml", "application/javascript", "application/csv"}
_PDF = "application/pdf"
# For files that come with a name only. Not the mimetypes module: it reads the machine's own lists.
_SUFFIXES = {
    "pdf": _PDF, "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "html": "text/html",
    "log": "text/plain", "py": "text/x-python", "json": "application/json", "xml": "application/xml",
    "yaml": "application/x-yaml", "yml": "application/x-yaml", "js": "application/javascript",
}  # fmt: skip


def media_block(media: Media, native: bool, traits: frozenset[str]) -> dict[str, Any] | None:
    """The block of an image or a document; None when Messages cannot carry it. A file id means
    something only to the vendor that gave it, so only a Messages client's is passed on."""
    media = _unpacked(media)
    if media.file_id is not None:
        source: Any = {"type": "file", "file_id": media.file_id} if native and media.kind in _WRITERS else None
    else:
        source = _WRITERS[media.kind](media, traits) if media.kind in _WRITERS else None
    own = media.extra if media.extra_dialect == DIALECT else {}
    source = own.get("source", source)
    if source is None:
        return None
    block: dict[str, Any] = {"type": "image" if media.kind == "image" else "document", "source": source}
    if media.kind == "file" and media.name is not None:
        block["title"] = media.name
    return block | {k: v for k, v in own.items() if k != "source"}


def to_fetch(prompt: Prompt, traits: frozenset[str]) -> list[Media]:
    """The media given by URL that can only be sent as bytes: files that are no PDF, and whatever
    the target does not fetch itself (traits ``no_image_url``, ``no_file_url``)."""
    parts = (part for turn in prompt.turns if turn.role in ("user", "tool") for part in turn.parts)
    return [media for media in _media_in(parts) if _wants_bytes(media, traits)]


def _media_in(parts: Any) -> Iterator[Media]:
    for part in parts:
        inner: list[Part] = part.parts if isinstance(part, ToolResult) else [part]
        yield from (item for item in inner if isinstance(item, Media))


def _wants_bytes(media: Media, traits: frozenset[str]) -> bool:
    if media.kind not in _WRITERS or not _web(media.url) or media.data is not None:
        return False
    return media.file_id is None and media.text is None and not _by_url(media, traits)


def _by_url(media: Media, traits: frozenset[str]) -> bool:
    if media.kind == "image":
        return "no_image_url" not in traits
    return "no_file_url" not in traits and _type_of(media) in (None, _PDF)


def _image(media: Media, traits: frozenset[str]) -> dict[str, Any] | None:
    if media.data is not None:
        kind = _sniffed(media.data) or media.media_type
        return {"type": "base64", "media_type": kind, "data": media.data} if kind in IMAGE_TYPES else None
    return _url_source(media, traits)


def _file(media: Media, traits: frozenset[str]) -> dict[str, Any] | None:
    if media.text is not None:
        return _plain(media.text)
    if media.data is None:
        return _url_source(media, traits)
    kind = _sniffed(media.data) or _type_of(media)
    if kind == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": media.data}
    text = _decoded(media.data) if kind and (kind.startswith("text/") or kind in _TEXTUAL) else None
    return _plain(text) if text is not None and text.strip() else None


_WRITERS = {"image": _image, "file": _file}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "text", "media_type": "text/plain", "data": text}


def _url_source(media: Media, traits: frozenset[str]) -> dict[str, Any] | None:
    return {"type": "url", "url": media.url} if _web(media.url) and _by_url(media, traits) else None


def _web(url: str | None) -> bool:
    return url is not None and url[:8].lower().startswith(("http://", "https://"))


def _type_of(media: Media) -> str | None:
    if media.media_type:
        return media.media_type.split(";")[0].strip().lower()
    return _SUFFIXES.get((media.name or "").rpartition(".")[2].lower())


def _sniffed(data: str) -> str | None:
    return next((kind for start, kind in _BEGINNINGS.items() if data.startswith(start)), None)


def _unpacked(media: Media) -> Media:
    """A ``data:`` URL as the data it holds."""
    if media.data is not None or not media.url or media.url[:5].lower() != "data:":
        return media
    head, comma, data = media.url[5:].partition(",")
    if not comma or not head.lower().endswith(";base64"):
        return media
    return replace(media, url=None, data=data, media_type=media.media_type or head[:-7].split(";")[0] or None)


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
