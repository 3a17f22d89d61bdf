"""Turns as the items of ``input``, for an upstream that speaks Responses."""

import hashlib
from typing import Any

from gateway.dialects.responses.content_reader import AUDIO_TYPES, FILE_TYPES
from gateway.dialects.responses.schema import DIALECT, mapping, string
from gateway.dialects.responses.tools import namespace_of, own_name
from gateway.dialects.translation import unsaid_extras, unsaid_opaque
from gateway.dialects.vocabulary import (
    Citation,
    Media,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Target,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

_LONGEST_CALL_ID = 64  # OpenAI refuses longer ones
_DETAILS = ("low", "high", "auto", "original")
_ITEM_PREFIXES = ("msg_", "rs_", "fc_", "ctc_")
_FILE_STORES = ("chat", "responses")  # whose file ids an upstream of this dialect can know
_SUFFIXES = {kind: suffix for suffix, kind in FILE_TYPES.items()}
_AUDIO_FORMATS = {kind: form for form, kind in AUDIO_TYPES.items()} | {"audio/mp3": "mp3", "audio/x-wav": "wav"}


def annotation(citation: Citation, length: int) -> dict | None:
    """The citation as an annotation of a text of *length* characters; None when it cannot be
    said: an annotation must have a URL or be one of this dialect's own."""
    if citation.dialect == DIALECT and isinstance(citation.raw, dict):
        return citation.raw
    if not citation.url:
        return None
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or "",
        "start_index": citation.start or 0,
        "end_index": length if citation.end is None else citation.end,
    }


class ItemWriter:
    """Writes one prompt's turns; ``dropped`` gathers ``part.KIND`` of what could not be said."""

    def __init__(self, prompt: Prompt, target: Target):
        self.own = prompt.dialect == DIALECT
        self._knows_files = prompt.dialect in _FILE_STORES
        self.proofs = False  # some thinking went along with its proof
        self.dropped: list[str] = []
        self.items: list[dict] = []
        self._developer = "system" if "no_developer" in target.traits else "developer"
        self._thinking_as_text = "reasoning_content" in target.traits
        self._spaces = {tool.name: tool for tool in prompt.tools if namespace_of(tool)}
        self._kinds: dict[str, str] = {}  # call id -> kind of tool
        self._open: list[tuple[str, str]] = []  # (id, name) of calls without a result yet
        self._nameless = 0

    def write(self, turns: list[Turn]) -> list[dict]:
        for turn in turns:
            self._turn(turn)
        return self.items

    def _turn(self, turn: Turn) -> None:
        """Content is gathered into a message until an item of its own comes between."""
        role = {"tool": "user", "developer": self._developer}.get(turn.role, turn.role)
        if turn.name:
            self.dropped.append("turn.name")
        head = self._message_head(turn, role)
        content: list[dict] = []
        for part in turn.parts:
            self._note_marks(part)
            item = self._item(part)
            if item is not None:
                self._message(head, content)
                content = []
                self.items.append(item)
            else:
                content += self._content(part, role)
        self._message(head, content)

    def _message_head(self, turn: Turn, role: str) -> dict:
        head: dict[str, Any] = {"type": "message", "role": role}
        if self.own and turn.id and turn.id.startswith("msg_"):
            head["id"] = turn.id
        if self.own:
            head |= turn.rest
        return head

    def _message(self, head: dict, content: list[dict]) -> None:
        if content:
            self.items.append({**head, "content": content})
            head.pop("id", None)  # a second message of the same turn must not bear the same id

    def _note_marks(self, part: Part) -> None:
        if getattr(part, "cache", None) is not None and not self.own:
            self.dropped.append("part.cache")
        if not isinstance(part, Reasoning) and getattr(part, "signature", None):
            self.dropped.append("part.signature")

    # --- items of their own ---

    def _item(self, part: Part) -> dict | None:
        """*part* as an item; None when it is a message's content or cannot be said."""
        if isinstance(part, ToolCall):
            return self._call(part)
        if isinstance(part, ToolResult):
            return self._result(part)
        if isinstance(part, Reasoning):
            return self._reasoning(part)
        if isinstance(part, Opaque) and part.dialect == DIALECT and "content_part" not in part.value:
            return part.value
        if isinstance(part, Media) and part.extra_dialect == DIALECT and part.extra:
            return {**part.extra, "result": part.data}
        return None

    def _call(self, call: ToolCall) -> dict:
        call_id = self._fit(call.id)
        if not call_id:
            self._nameless += 1
            call_id = f"call_{self._nameless}"
        self._kinds[call_id] = call.kind
        self._open.append((call_id, call.name))
        item: dict[str, Any] = {"call_id": call_id, "name": call.name}
        tool = self._spaces.get(call.name)
        if tool is not None:
            item |= {"name": own_name(tool), "namespace": string(mapping(namespace_of(tool)).get("name"))}
        if call.item_id and call.item_id.startswith(_ITEM_PREFIXES):
            item["id"] = call.item_id
        if call.kind == "custom":
            return {"type": "custom_tool_call", **item, "input": call.arguments}
        return {"type": "function_call", **item, "arguments": call.arguments or "{}"}

    def _result(self, result: ToolResult) -> dict:
        call_id = self._fit(result.call_id) or self._answered(result.name)
        self._open = [entry for entry in self._open if entry[0] != call_id]
        kind = self._kinds.get(call_id, result.kind)
        content: list[dict] = []
        for part in result.parts:
            self._note_marks(part)
            content += self._content(part, "user")
        if result.is_error:
            _say_error(content)
        only_text = len(content) == 1 and content[0]["type"] == "input_text"
        output = content[0]["text"] if only_text else content or ""
        name = "custom_tool_call_output" if kind == "custom" else "function_call_output"
        return {"type": name, "call_id": call_id, "output": output}

    def _answered(self, name: str | None) -> str:
        """The oldest open call that a result without an id can answer."""
        for call_id, called in self._open:
            if name in (None, called):
                return call_id
        return ""

    @staticmethod
    def _fit(call_id: str) -> str:
        if len(call_id) <= _LONGEST_CALL_ID:
            return call_id
        return "call_" + hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:40]

    def _reasoning(self, part: Reasoning) -> dict | None:
        if part.dialect == DIALECT and (part.encrypted or self.own):
            self.proofs = self.proofs or bool(part.encrypted)
            return _reasoning_item(part, as_summary=part.summary or not self.own)
        if self._thinking_as_text and part.text:
            content = [{"type": "reasoning_text", "text": part.text}]
            return {"type": "reasoning", "summary": [], "content": content}
        self.dropped.append("part.reasoning")
        return None

    # --- content of messages ---

    def _content(self, part: Part, role: str) -> list[dict]:
        if isinstance(part, Text):
            return self._text(part, role)
        if isinstance(part, Refusal):
            if role == "assistant":
                return [{"type": "refusal", "refusal": part.text}]
            return [{"type": "input_text", "text": part.text}]
        if isinstance(part, Opaque):
            return self._opaque(part)
        if isinstance(part, Media):
            if role != "assistant":
                return self._media(part)
            self.dropped.append(f"part.{part.kind}")
        return []

    def _text(self, part: Text, role: str) -> list[dict]:
        if not part.text:  # upstreams refuse empty text, and it says nothing
            return []
        if role == "assistant":
            found = [annotation(citation, len(part.text)) for citation in part.citations]
            annotations = [value for value in found if value is not None]
            if len(annotations) < len(found):
                self.dropped.append("part.citation")
            return [{"type": "output_text", "text": part.text, "annotations": annotations}]
        return [self._cached({"type": "input_text", "text": part.text}, part)]

    def _cached(self, content: dict, part: Text | Media) -> dict:
        if part.cache is not None and self.own:
            content["prompt_cache_breakpoint"] = {"mode": "explicit"}
        return content

    def _opaque(self, part: Opaque) -> list[dict]:
        if part.dialect == DIALECT and "content_part" in part.value:
            return [part.value["content_part"]]
        self.dropped.append(unsaid_opaque(part))
        return []

    def _media(self, part: Media) -> list[dict]:
        write = {"image": _image, "file": _file, "audio": _audio, "video": _video}.get(part.kind)
        sayable = self.own or part.kind not in ("audio", "video")  # OpenAI's Responses takes neither
        known = bool(part.data or part.url or part.text is not None or self._knows_files)
        content = write(part) if write and sayable and known else None
        if content is None:
            self.dropped.append(f"part.{part.kind}")
            return []
        self.dropped += unsaid_extras(part, DIALECT)
        return [self._cached(content, part)]


def _reasoning_item(part: Reasoning, as_summary: bool) -> dict:
    item: dict[str, Any] = {"type": "reasoning"}
    if part.id:
        item["id"] = part.id
    pieces = part.pieces or ([part.text] if part.text else [])
    item["summary"] = [{"type": "summary_text", "text": piece} for piece in pieces] if as_summary else []
    if pieces and not as_summary:
        item["content"] = [{"type": "reasoning_text", "text": piece} for piece in pieces]
    if part.encrypted:
        item["encrypted_content"] = part.encrypted
    return item


def _say_error(content: list[dict]) -> None:
    """Responses has no mark for a failed call; the model must read it."""
    for part in content:
        if part["type"] == "input_text":
            if not part["text"].lower().startswith("error"):
                part["text"] = "Error: " + part["text"]
            return
    content.insert(0, {"type": "input_text", "text": "Error"})


def _data_url(part: Media, usual: str) -> str:
    return f"data:{part.media_type or usual};base64,{part.data}"


def _image(part: Media) -> dict | None:
    content: dict[str, Any] = {"type": "input_image", "detail": part.detail if part.detail in _DETAILS else "auto"}
    if part.data:
        content["image_url"] = _data_url(part, "image/png")
    elif part.url:
        content["image_url"] = part.url
    elif part.file_id:
        content["file_id"] = part.file_id
    return content if len(content) > 2 else None


def _file(part: Media) -> dict | None:
    if part.data:
        name = part.name or "file." + _SUFFIXES.get(part.media_type or "", "pdf")
        kind = part.media_type or FILE_TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")
        return {"type": "input_file", "filename": name, "file_data": f"data:{kind};base64,{part.data}"}
    if part.text is not None:  # every upstream reads words; few read text files
        return {"type": "input_text", "text": part.text}
    where = {"file_url": part.url} if part.url else {"file_id": part.file_id} if part.file_id else None
    if where is None:
        return None
    named = {"filename": part.name} if part.name and part.url is None else {}
    return {"type": "input_file", **named, **where}


def _audio(part: Media) -> dict | None:
    form = _AUDIO_FORMATS.get(part.media_type or "", (part.media_type or "audio/wav").rpartition("/")[2])
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}} if part.data else None


def _video(part: Media) -> dict | None:
    url = _data_url(part, "video/mp4") if part.data else part.url
    return {"type": "input_video", "video_url": url} if url else None
