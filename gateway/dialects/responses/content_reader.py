"""Content of messages and of tool results in a request as parts."""

from typing import Any

from gateway.dialects.responses.item_reader import citations
from gateway.dialects.responses.schema import DIALECT, mapping, string
from gateway.dialects.vocabulary import Media, Opaque, Part, Refusal, Text
from gateway.errors import BadRequest

AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}
FILE_TYPES = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
}


def content(value: Any, path: str) -> list[Part]:
    """A string, or a list of content parts. Raises BadRequest."""
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        raise BadRequest(f"{path} must be a string or a list of content parts", param=path)
    return [content_part(part, f"{path}[{n}]") for n, part in enumerate(value)]


def content_part(part: Any, path: str) -> Part:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise BadRequest(f"{path} must be an object with a type", param=path)
    read = PARTS.get(part["type"])
    if read is None:  # not ours to understand: the same dialect writes it back, others name it
        return Opaque(DIALECT, {"type": part["type"], "content_part": part})
    return read(part, path)


def is_content(value: Any) -> bool:
    """Whether *value* is a list of content parts, not just any JSON list."""
    return isinstance(value, list) and all(string(mapping(part).get("type")) in PARTS for part in value)


def data_url(url: str) -> tuple[str | None, str] | None:
    """``data:TYPE;base64,DATA`` as (TYPE, DATA); None for any other URL."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url.partition(",")
    kind, *attributes = head[5:].split(";")
    return (kind or None, data) if comma and "base64" in attributes else None


def _text(part: dict, path: str) -> Text:
    text = part.get("text")
    if not isinstance(text, str):
        raise BadRequest(f"{path}.text must be a string", param=f"{path}.text")
    return Text(text, citations(part), cache=_cache(part))


def _refusal(part: dict, path: str) -> Refusal:
    return Refusal(string(part.get("refusal")))


def _image(part: dict, path: str) -> Media:
    url = part.get("image_url")
    nested = mapping(url)  # chat's form: {"url": ..., "detail": ...}
    url = string(url) or string(nested.get("url"))
    file_id = string(part.get("file_id")) or None
    if not url and not file_id:
        raise BadRequest(f"{path} has neither image_url nor file_id", param=f"{path}.image_url")
    detail = string(part.get("detail")) or string(nested.get("detail")) or None
    media = Media("image", file_id=file_id, detail=detail, cache=_cache(part))
    return _located(media, url)


def _file(part: dict, path: str) -> Media:
    name = string(part.get("filename")) or None
    media = Media("file", file_id=string(part.get("file_id")) or None, name=name, cache=_cache(part))
    media.detail = string(part.get("detail")) or None
    data = string(part.get("file_data"))
    _located(media, data or string(part.get("file_url")))
    if data and media.data is None:  # bare base64
        media.url, media.data = None, data
    if media.data is not None and media.media_type is None:
        media.media_type = FILE_TYPES.get((name or "").rpartition(".")[2].lower())
    if not (media.data or media.url or media.file_id):
        raise BadRequest(f"{path} has neither file_data, file_url nor file_id", param=f"{path}.file_data")
    return media


def _audio(part: dict, path: str) -> Media:
    audio = mapping(part.get("input_audio"))
    form = string(audio.get("format"))
    return Media("audio", data=string(audio.get("data")), media_type=AUDIO_TYPES.get(form, f"audio/{form or 'wav'}"))


def _video(part: dict, path: str) -> Media:
    url = part.get("video_url")
    return _located(Media("video"), string(url) or string(mapping(url).get("url")))


def _located(media: Media, url: str) -> Media:
    inline = data_url(url)
    if inline is None:
        media.url = url or None
    else:
        media.media_type, media.data = inline
    return media


def _cache(part: dict) -> dict | None:
    """A ``prompt_cache_breakpoint`` ends a cacheable prefix, as Anthropic's cache_control does."""
    return {"type": "ephemeral"} if isinstance(part.get("prompt_cache_breakpoint"), dict) else None


PARTS = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "image_url": _image,
    "input_file": _file,
    "input_audio": _audio,
    "input_video": _video,
    "video_url": _video,
}
