"""Proofs of thinking, carried through clients that know only ``thoughtSignature``.

A thought signature is opaque bytes that a Gemini client hands back as they came. So the proofs
of other dialects (Anthropic's signature and redacted data, OpenAI's encrypted reasoning) travel
in it, marked with their origin; a Gemini upstream never gets them.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Any

from gateway import json_text
from gateway.dialects.gemini import proto_json
from gateway.dialects.vocabulary import Part, Reasoning

# Nine bytes are twelve base64 digits: the mark can be seen without decoding. Google's SDK decodes
# and encodes again in the other alphabet; these digits are the same in both.
_MARK = b"gateway1:"
_PREFIX = base64.b64encode(_MARK).decode()

# Either of two documented values that Gemini 3 takes for a call that it did not make itself
# (ai.google.dev: Thought signatures, FAQ). This one is in Vertex AI's documents, too.
BYPASS = "skip_thought_signature_validator"
# Clients send them as well; neither is a proof that another dialect would miss.
BYPASSES = (BYPASS, "context_engineering_is_the_way_to_go")


@dataclass(slots=True)
class Packed(Reasoning):
    """A thought of another dialect's, with the size and digest of the words that its proof is for."""

    size: int = 0
    digest: str = ""


def encode(part: Reasoning) -> str | None:
    """The ``thoughtSignature`` for *part*: Gemini's own as it is, any other one packed."""
    if part.dialect == "gemini":
        return part.signature
    if not part.signature and not part.encrypted:
        return None
    proof: dict[str, Any] = {"dialect": part.dialect, "size": len(part.text), "digest": _digest(part.text)}
    for key in ("signature", "encrypted", "id", "summary"):
        if getattr(part, key):
            proof[key] = getattr(part, key)
    return base64.b64encode(_MARK + json_text.write(proof)).decode()


def decode(signature: str) -> Packed | None:
    """The proof of another dialect that *signature* carries; None when it is Gemini's own."""
    if not signature.startswith(_PREFIX):
        return None
    try:
        proof = json_text.parse(base64.b64decode(proto_json.base64(signature))[len(_MARK) :])
    except (json_text.NotJson, binascii.Error, ValueError):
        return None
    if not isinstance(proof, dict) or not isinstance(proof.get("dialect"), str):
        return None
    packed = Packed(dialect=proof["dialect"], summary=proof.get("summary") is True)
    for key in ("signature", "encrypted", "id", "digest"):
        if isinstance(proof.get(key), str):
            setattr(packed, key, proof[key])
    packed.size = proof["size"] if isinstance(proof.get("size"), int) else 0
    return packed


def unpack(parts: list[Part]) -> list[Part]:
    """*parts* with every packed proof put to its thought.

    A streamed answer that was kept as it came has its thought in pieces and the proof at their
    end, so the pieces that it is for are one again. When the words are not those, the proof is
    left out: an upstream would refuse the whole conversation for it.
    """
    whole: list[Part] = []
    for part in parts:
        if isinstance(part, Packed):
            words = _words(whole, part)
            if words is None:
                part = Reasoning(part.text, id=part.id, summary=part.summary, dialect=part.dialect)
            else:
                part = Reasoning(words, part.signature, part.encrypted, part.id, part.summary, dialect=part.dialect)
        whole.append(part)
    return whole


def _words(before: list[Part], part: Packed) -> str | None:
    """The words that *part*'s proof is for, their pieces taken from the end of *before*; None
    when they are not there."""
    pieces, size, place = [part.text], len(part.text), len(before)
    while size < part.size and place and _unproven(before[place - 1]):
        place -= 1
        pieces.append(before[place].text)
        size += len(pieces[-1])
    words = "".join(reversed(pieces))
    if size != part.size or _digest(words) != part.digest:
        return None
    del before[place:]
    return words


def _unproven(part: Part) -> bool:
    return isinstance(part, Reasoning) and part.dialect == "gemini" and not part.signature


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:16]
