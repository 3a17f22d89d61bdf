"""Content parts of a message: chat's objects <-> neutral parts."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.dialects.chat.schema import (
    AUDIO_FORMATS,
    AUDIO_TYPES,
    DEFAULT_TYPES,
    DETAILS,
    DIALECT,
    ENDINGS,
    MAGIC,
)
from gateway.dialects.chat.shapes import entries, inner, mapping, named, refuse, said, words
from gateway.dialects.vocabulary import Media, Opaque, Part, Reasoning, Refusal, Text

_TYPES_BY_ENDING = {ending: media_type for media_type, ending in ENDINGS.items()}

# --- reading -----------------------------------------------------------------------------------


def read_content(content: Any, where: str) -> list[Part]:
    """``content`` (a string, an array of parts or null) as parts; an empty string is no part."""
    if content is None or isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        refuse(where, "a string or an array")
    return [_read_part(part, f"{where}[{index}]") for index, part in enumerate(content)]


def _read_part(part: Any, where: str) -> Part:
    if isinstance(part, str):
        return Text(part)
    if not isinstance(part, dict):
        refuse(where, "an object")
    kind = part.get("type")
    reader = _PART_READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        return Opaque(DIALECT, part)
    read = reader(part, where)
    if isinstance(read, Text | Media):
        read.cache = _read_cache(part)
    return read


def _read_cache(part: dict[str, Any]) -> Any:
    """Anthropic's mark as OpenRouter takes it, or OpenAI's own word for the same wish."""
    if part.get("cache_control") is not None:
        return part["cache_control"]
    return {"type": "ephemeral"} if isinstance(part.get("prompt_cache_breakpoint"), dict) else None


def _text(part: dict[str, Any], where: str) -> Text:
    return Text(words(part.get("text"), f"{where}.text") or "")


def _refusal(part: dict[str, Any], where: str) -> Refusal:
    return Refusal(words(part.get("refusal"), f"{where}.refusal") or "")


def _thinking(part: dict[str, Any], where: str) -> Reasoning:
    return Reasoning(thought(part), dialect=DIALECT)


def thought(part: dict[str, Any]) -> str:
    """The words of a ``thinking`` part (Mistral): a string or an array of text parts."""
    value = part.get("thinking")
    pieces = value if isinstance(value, list) else [value]
    return "".join(said(inner(piece, "text")) or said(piece) or "" for piece in pieces)


def _image(part: dict[str, Any], where: str) -> Media:
    return _by_url("image", part.get("image_url"), f"{where}.image_url")


def _video(part: dict[str, Any], where: str) -> Media:
    return _by_url("video", part.get("video_url"), f"{where}.video_url")


def _by_url(kind: str, value: Any, where: str) -> Media:
    if isinstance(value, str):  # many clients leave the object out
        value = {"url": value}
    value = mapping(value, where) or {}
    media = Media(kind, detail=words(value.get("detail"), f"{where}.detail"))
    locate(media, named(value.get("url"), f"{where}.url"))
    return _with_extra(media, value, ("url", "detail"))


def _audio(part: dict[str, Any], where: str) -> Media:
    value = mapping(part.get("input_audio"), f"{where}.input_audio") or {}
    media = Media("audio")
    data = named(value.get("data"), f"{where}.input_audio.data")
    if data.startswith("data:"):
        locate(media, data)
    else:
        media.data = data
    form = words(value.get("format"), f"{where}.input_audio.format")
    if form:
        media.media_type = AUDIO_TYPES.get(form, f"audio/{form}")
    return _with_extra(media, value, ("data", "format"))


def _file(part: dict[str, Any], where: str) -> Media:
    value = mapping(part.get("file"), f"{where}.file") or {}
    data = words(value.get("file_data"), f"{where}.file.file_data")
    media = Media(
        "file",
        file_id=words(value.get("file_id"), f"{where}.file.file_id"),
        name=words(value.get("filename"), f"{where}.file.filename"),
    )
    if data and (data.startswith("data:") or "://" in data[:16]):
        locate(media, data)
    elif data:  # bare base64: only the name can tell what it is
        media.data = data
        media.media_type = _TYPES_BY_ENDING.get((media.name or "").rpartition(".")[2].lower())
    elif not media.file_id:
        refuse(f"{where}.file", "file_data or file_id")
    return _with_extra(media, value, ("file_data", "file_id", "filename"))


def _with_extra(media: Media, value: dict[str, Any], known: tuple[str, ...]) -> Media:
    media.extra = {name: member for name, member in value.items() if name not in known}
    media.extra_dialect = DIALECT if media.extra else ""
    return media


_PART_READERS: dict[str, Callable[[dict[str, Any], str], Part]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "thinking": _thinking,
    "image_url": _image,
    "video_url": _video,
    "input_audio": _audio,
    "file": _file,
}

# The members of a content part that are read, by its type; read_leftovers keeps the others.
_PART_MEMBERS = ("type", "cache_control")


def read_leftovers(content: Any) -> dict[str, Any]:
    """Members of content parts that no neutral part has room for, by their path."""
    kept = {}
    for index, part in enumerate(content if isinstance(content, list) else []):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or kind not in _PART_READERS:
            continue  # an Opaque part keeps everything
        own = "text" if kind.endswith("text") else kind
        kept |= {f"content.{index}.{name}": part[name] for name in part if name not in (*_PART_MEMBERS, own)}
    return kept


def locate(media: Media, url: str) -> None:
    """Put *url* into *media*: a ``data:`` URL as base64 data with its type (RFC 2397)."""
    head, comma, body = url.partition(",")
    if not head.startswith("data:") or not comma:
        media.url = url
        return
    media_type, *parameters = head[5:].split(";")
    try:
        media.data = body if "base64" in parameters else b64encode(unquote_to_bytes(body)).decode()
    except UnicodeEncodeError:  # a lone surrogate: no bytes can be meant
        media.url = url
        return
    media.media_type = media_type or None


def read_images(value: Any, where: str) -> list[Media]:
    """``images`` of an assistant message (OpenRouter's form for what a model drew)."""
    found = [_read_part(part, f"{where}[{index}]") for index, part in enumerate(entries(value, where))]
    return [media for media in found if isinstance(media, Media)]


# --- writing -----------------------------------------------------------------------------------


def write_media(media: Media, own: bool, traits: frozenset[str]) -> dict[str, Any] | None:
    """A content part for *media*; None when chat cannot say it (to_fetch may help with a URL).
    *own* media came from chat and is written back as it was."""
    writer = _MEDIA_WRITERS.get(media.kind)
    part = writer(media, own, traits) if writer else None
    if part and media.extra_dialect == DIALECT and isinstance(part[part["type"]], dict):
        part[part["type"]] |= media.extra
    return part


def _write_image(media: Media, own: bool, traits: frozenset[str]) -> dict[str, Any] | None:
    url = address(media)
    if not url or (not own and not media.data and "no_image_url" in traits):
        return None
    detail = {"detail": media.detail} if media.detail and (own or media.detail in DETAILS) else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def _write_video(media: Media, own: bool, traits: frozenset[str]) -> dict[str, Any] | None:
    url = address(media)
    if not url or "no_video" in traits:
        return None
    return {"type": "video_url", "video_url": {"url": url}}


def _write_audio(media: Media, own: bool, traits: frozenset[str]) -> dict[str, Any] | None:
    if not media.data:
        return None
    media_type = (media.media_type or DEFAULT_TYPES["audio"]).partition(";")[0]
    form = AUDIO_FORMATS.get(media_type, media_type.rpartition("/")[2])
    return {"type": "input_audio", "input_audio": {"data": media.data, "format": form}}


def _write_file(media: Media, own: bool, traits: frozenset[str]) -> dict[str, Any] | None:
    if media.text is not None:  # chat knows no documents in words; the words themselves it does
        return {"type": "text", "text": media.text}
    if media.data or (media.url and (own or "file_url" in traits)):
        name = {"filename": media.name or _file_name(media)} if media.name or not own else {}
        return {"type": "file", "file": {"file_data": address(media), **name}}
    if media.file_id:
        return {"type": "file", "file": {"file_id": media.file_id} | ({"filename": media.name} if media.name else {})}
    return None


_MEDIA_WRITERS = {"image": _write_image, "video": _write_video, "audio": _write_audio, "file": _write_file}


def address(media: Media) -> str | None:
    """The URL of *media*, a ``data:`` URL for bytes."""
    if media.data:
        return f"data:{_media_type(media)};base64,{media.data}"
    return said(media.url)


def _media_type(media: Media) -> str:
    if media.media_type:
        return media.media_type
    data = media.data or ""
    return next((kind for start, kind in MAGIC.items() if data.startswith(start)), None) or DEFAULT_TYPES.get(
        media.kind, DEFAULT_TYPES["file"]
    )


def _file_name(media: Media) -> str:
    # OpenAI refuses file_data without a name.
    ending = ENDINGS.get(_media_type(media) if media.data else "")
    return f"file.{ending}" if ending else "file"
