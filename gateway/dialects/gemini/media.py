"""Media parts: ``inlineData`` (base64) and ``fileData`` (an URI)."""

import base64
import re
import urllib.parse
from typing import Any

from gateway.dialects.gemini import proto_json
from gateway.dialects.vocabulary import Media

# Beside the data itself; kept in Media.extra.
EXTRAS = ("videoMetadata", "mediaResolution", "mediaProcessing", "partMetadata", "documentMetadata",
          "spreadsheetMetadata", "audioMetadata", "audioTranscription")  # fmt: skip

# What Gemini reads by itself: its own files, Cloud Storage, YouTube. Anything else it must be
# given as bytes.
_OWN_FILE = re.compile(
    r"(https://[a-z0-9.-]*generativelanguage[a-z0-9.]*\.googleapis\.com/\S*?)?files/[a-z0-9-]+(:\S*)?"
)
_NATIVE = re.compile(r"gs://|https?://([a-z]+\.)?(youtube\.com|youtu\.be)/")
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.DOTALL)

_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown",
    "html": "text/html", "csv": "text/csv", "json": "application/json", "xml": "text/xml", "mp3": "audio/mp3",
    "wav": "audio/wav", "aac": "audio/aac", "ogg": "audio/ogg", "flac": "audio/flac", "aiff": "audio/aiff",
    "mp4": "video/mp4", "mpeg": "video/mpeg", "mpg": "video/mpeg", "mov": "video/quicktime", "webm": "video/webm",
}  # fmt: skip
# How the base64 of well-known formats begins.
_BEGINNINGS = {
    "/9j/": "image/jpeg", "iVBORw0KGgo": "image/png", "R0lGOD": "image/gif", "JVBERi0": "application/pdf",
    "SUQz": "audio/mp3", "T2dnUw": "audio/ogg", "ZkxhQw": "audio/flac",
}  # fmt: skip


def kind_of(media_type: str | None, uri: str = "") -> str:
    """image, audio, video or file."""
    if _NATIVE.match(uri) and not uri.startswith("gs://"):
        return "video"
    kind = (media_type or _by_ending(uri) or "").partition("/")[0].lower()
    return kind if kind in ("image", "audio", "video") else "file"


def _by_ending(uri: str) -> str | None:
    path = uri.partition("?")[0].partition("#")[0]
    return _TYPES.get(path.rpartition(".")[2].lower())


# --- reading -----------------------------------------------------------------------------------


def read_inline(value: Any, where: str) -> Media:
    """``inlineData{mimeType, data, displayName}``."""
    found, left = proto_json.split(value, ("mimeType", "data", "displayName"), where)
    media_type = _media_type(found, where)
    data = proto_json.base64(proto_json.text(found.get("data", ""), f"{where}.data"))
    return Media(kind_of(media_type), data=data, media_type=media_type, name=_display_name(found, where),
                 extra=left, extra_dialect="gemini" if left else "")  # fmt: skip


def read_file(value: Any, where: str) -> Media:
    """``fileData{mimeType, fileUri, displayName}``; a file of Gemini's own is a ``file_id``: no
    other vendor can open that address."""
    found, left = proto_json.split(value, ("mimeType", "fileUri", "displayName"), where)
    media_type = _media_type(found, where)
    uri = proto_json.name(found.get("fileUri"), f"{where}.fileUri")
    media = Media(kind_of(media_type, uri), media_type=media_type, name=_display_name(found, where),
                  extra=left, extra_dialect="gemini")  # fmt: skip
    if _OWN_FILE.fullmatch(uri):
        media.file_id = uri
    else:
        media.url = uri
    return media


def _media_type(found: dict, where: str) -> str | None:
    return proto_json.text(found["mimeType"], f"{where}.mimeType") if "mimeType" in found else None


def _display_name(found: dict, where: str) -> str | None:
    return proto_json.text(found["displayName"], f"{where}.displayName") if "displayName" in found else None


# --- writing -----------------------------------------------------------------------------------


def must_be_fetched(media: Media, traits: frozenset[str]) -> bool:
    """Whether *media* is an address that Gemini is not to be given. With the trait ``file_url``
    the upstream opens public https addresses itself (Gemini API since January 2026, not 2.0)."""
    if not media.url or media.data or media.text is not None or _DATA_URL.match(media.url):
        return False
    if not media.url.lower().startswith(("http://", "https://")):
        return False
    if _NATIVE.match(media.url) or _OWN_FILE.fullmatch(media.url):
        return False
    return not ("file_url" in traits and media.url.startswith("https://") and _type_of(media, media.url))


def write(media: Media) -> dict[str, Any] | None:
    """*media* as ``{"inlineData": ...}`` or ``{"fileData": ...}``; None when there is nothing that
    Gemini could open (another vendor's file id). An address that nobody fetched is given as it
    is: the upstream opens it or says that it cannot."""
    if media.data:
        return {"inlineData": _blob(media.media_type or _by_beginning(media.data) or _named(media), media.data)}
    if media.text is not None:
        return _plain_text(media)
    data_url = _DATA_URL.match(media.url) if media.url else None
    if data_url:
        return {"inlineData": _blob(data_url[1] or media.media_type, _data_of(data_url))}
    uri = media.url or (media.file_id if media.file_id and _OWN_FILE.fullmatch(media.file_id) else None)
    if uri is None:
        return None
    media_type = media.media_type if _OWN_FILE.fullmatch(uri) else _type_of(media, uri)
    return {"fileData": {"mimeType": media_type, "fileUri": uri} if media_type else {"fileUri": uri}}


def _data_of(data_url: re.Match) -> str:
    if data_url[2].endswith(";base64"):
        return proto_json.base64(data_url[3])
    return base64.b64encode(urllib.parse.unquote_to_bytes(data_url[3].encode("utf-8", "surrogatepass"))).decode()


def _plain_text(media: Media) -> dict[str, Any]:
    try:
        data = base64.b64encode((media.text or "").encode()).decode()
    except UnicodeEncodeError:  # a lone surrogate has no bytes; as JSON text it can be said
        return {"text": media.text}
    return {"inlineData": _blob(media.media_type or "text/plain", data)}


def _blob(media_type: str | None, data: str) -> dict[str, Any]:
    return {"mimeType": media_type, "data": data} if media_type else {"data": data}


def _type_of(media: Media, uri: str) -> str | None:
    return media.media_type or _by_ending(uri) or _named(media)


def _named(media: Media) -> str | None:
    return _by_ending(media.name or "")


def _by_beginning(data: str) -> str | None:
    return next((kind for start, kind in _BEGINNINGS.items() if data.startswith(start)), None)
