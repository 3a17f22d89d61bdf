"""Thinking and its proofs in chat's words.

Plain chat has none. ``reasoning_content`` (DeepSeek) or ``reasoning`` (OpenRouter) hold the text;
``reasoning_details`` (OpenRouter) is an array of

* ``{type: reasoning.text, text, signature, format, index}``: Anthropic's thinking, Gemini's;
* ``{type: reasoning.summary, summary, id, format, index}``: a piece of a Responses summary;
* ``{type: reasoning.encrypted, data, id, format, index}``: Anthropic's redacted_thinking,
  Responses' encrypted_content (after the pieces with the same id), a Gemini signature.

``format`` says whose proof it is. Google's own form of OpenAI compatibility puts a thought
signature into ``extra_content.google.thought_signature`` of a tool call or of the message.
"""

from typing import Any

from gateway.dialects.chat.schema import DIALECT, FORMAT_DIALECTS, FORMATS
from gateway.dialects.chat.shapes import inner, said
from gateway.dialects.vocabulary import Opaque, Reasoning, ToolCall

TEXT, SUMMARY, ENCRYPTED = "reasoning.text", "reasoning.summary", "reasoning.encrypted"
BETWEEN = "\n\n"  # stands between thoughts that are cut into several parts


def has_proof(part: Reasoning) -> bool:
    return bool(part.signature or part.encrypted)


def joined(parts: list[Reasoning]) -> str:
    """The text for ``reasoning_content``."""
    return BETWEEN.join(part.text for part in parts if part.text)


# --- writing -----------------------------------------------------------------------------------


def write_details(parts: list[Reasoning], first: int = 0) -> list[dict[str, Any]]:
    """``reasoning_details`` for the parts that bring a proof, numbered from *first*; text alone
    is carried by ``reasoning_content``."""
    written: list[dict[str, Any]] = []
    for part in filter(has_proof, parts):
        written += _entries(part)
    return [{**entry, "index": index} for index, entry in enumerate(written, first)]


def _entries(part: Reasoning) -> list[dict[str, Any]]:
    common: dict[str, Any] = {}
    if part.dialect not in ("", DIALECT):
        common["format"] = FORMATS.get(part.dialect, part.dialect)
    if part.id:
        common["id"] = part.id
    entries = []
    if part.summary:
        # Without an id nothing would tie several pieces together again.
        pieces = part.pieces if part.pieces and part.id else [part.text] if part.text else []
        entries += [{"type": SUMMARY, "summary": piece, **common} for piece in pieces]
    if part.signature or (part.text and not part.summary):
        text = "" if part.summary else part.text
        signature = {"signature": part.signature} if part.signature else {}
        entries.append({"type": TEXT, "text": text, **signature, **common})
    if part.encrypted:
        entries.append({"type": ENCRYPTED, "data": part.encrypted, **common})
    return entries


def write_signature(signature: str) -> dict[str, Any]:
    """A Gemini thought signature for ``extra_content``."""
    return {"google": {"thought_signature": signature}}


def call_detail(signature: str, call_id: str, index: int) -> dict[str, Any]:
    """The same in ``reasoning_details``, which names the call that it belongs to."""
    return {"type": ENCRYPTED, "data": signature, "format": FORMATS["gemini"], "id": call_id, "index": index}


# --- reading -----------------------------------------------------------------------------------


def read_signature(holder: Any) -> str | None:
    """The thought signature in *holder*'s ``extra_content`` (Vertex AI says ``vertex``)."""
    extra = holder.get("extra_content") if isinstance(holder, dict) else None
    for vendor in ("google", "vertex"):
        signature = said(inner(extra, vendor, "thought_signature"))
        if signature:
            return signature
    return None


def read_thinking(message: dict[str, Any], calls: list[ToolCall]) -> list[Reasoning | Opaque]:
    """All thinking of an assistant message. A Gemini signature that names one of *calls* is put
    on that call instead."""
    text = said(message.get("reasoning_content")) or said(message.get("reasoning")) or ""
    details = message.get("reasoning_details")
    parts = DetailReader().read(details) if isinstance(details, list) else []
    parts = [part for part in parts if not _claimed(part, calls)]
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    if text and not any(part.text for part in thoughts):
        if len(thoughts) == 1 and thoughts[0].signature:
            thoughts[0].text = text
        else:
            parts.insert(0, Reasoning(text, dialect=DIALECT))
    return parts


def _claimed(part: Reasoning | Opaque, calls: list[ToolCall]) -> bool:
    if not isinstance(part, Reasoning) or not part.id or not part.signature or part.text:
        return False
    call = next((call for call in calls if call.id == part.id), None)
    if call is None:
        return False
    call.signature = call.signature or part.signature
    return True


class DetailReader:
    """Reads a ``reasoning_details`` array, whole or as a client collected it from a stream
    (fragments with the same ``index``)."""

    def __init__(self) -> None:
        self._parts: list[Reasoning | Opaque] = []
        self._index: Any = None  # of the entry that the last part came from

    def read(self, entries: list[Any]) -> list[Reasoning | Opaque]:
        for entry in entries:
            if isinstance(entry, dict):
                _READERS.get(said(entry.get("type")), DetailReader._unknown)(self, entry)
                self._index = entry.get("index")
        return self._parts

    def _last(self) -> Reasoning | None:
        last = self._parts[-1] if self._parts else None
        return last if isinstance(last, Reasoning) else None

    def _same_fragment(self, entry: dict[str, Any]) -> bool:
        return isinstance(entry.get("index"), int) and entry["index"] == self._index

    def _text(self, entry: dict[str, Any]) -> None:
        last, text = self._last(), said(entry.get("text")) or ""
        signature = said(entry.get("signature"))
        if last and self._same_fragment(entry) and not last.summary and not has_proof(last):
            last.text += text
            last.signature = signature
        else:
            self._parts.append(Reasoning(text, signature, id=said(entry.get("id")), dialect=proof_dialect(entry)))

    def _summary(self, entry: dict[str, Any]) -> None:
        last, piece, item = self._last(), said(entry.get("summary")) or "", said(entry.get("id"))
        if last and last.summary and not last.encrypted:
            if self._same_fragment(entry):
                last.text += piece
                if last.pieces:
                    last.pieces[-1] += piece
                return
            if item and item == last.id:
                last.pieces = [*(last.pieces or [last.text]), piece]
                last.text += BETWEEN + piece
                return
        self._parts.append(Reasoning(piece, id=item, summary=True, dialect=proof_dialect(entry)))

    def _encrypted(self, entry: dict[str, Any]) -> None:
        last, data, item = self._last(), said(entry.get("data")), said(entry.get("id"))
        dialect = proof_dialect(entry)
        if dialect == "gemini":  # all that Gemini encrypts is a thought signature
            self._parts.append(Reasoning(signature=data, id=item, dialect=dialect))
        elif last and not last.encrypted and last.dialect == dialect and _one_item(last, item):
            last.encrypted, last.id = data, item or last.id
        else:
            self._parts.append(Reasoning(encrypted=data, id=item, dialect=dialect))

    def _unknown(self, entry: dict[str, Any]) -> None:
        self._parts.append(Opaque(DIALECT, entry))


_READERS = {TEXT: DetailReader._text, SUMMARY: DetailReader._summary, ENCRYPTED: DetailReader._encrypted}


def proof_dialect(entry: dict[str, Any]) -> str:
    form = said(entry.get("format")) or DIALECT
    return FORMAT_DIALECTS.get(form, form)


def _one_item(last: Reasoning, item: str | None) -> bool:
    if item and last.id:
        return item == last.id
    # OpenRouter names the item in the encrypted entry only. Anthropic's redacted thinking never
    # belongs to the thinking before it, and has no summary.
    return last.summary
