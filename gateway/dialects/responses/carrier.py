"""Foreign proofs of thinking, carried through a Responses client in ``encrypted_content``.

Anthropic's signatures and redacted thinking and Gemini's thought signatures must come back with
the next request, and the only thing that every Responses client sends back untouched is
``encrypted_content`` of a reasoning item. What is packed says itself what it is: a prefix, then
base64 of a JSON object. The same form holds our own compactions.
"""

import base64
import binascii
import hashlib

from gateway import json_text
from gateway.dialects.responses.schema import DIALECT, mapping, string
from gateway.dialects.vocabulary import Reasoning

PREFIX = "gateway.1."
# A ToolCall's or Text's signature is a thought signature, which only Gemini gives.
SIGNED_BY = "gemini"


def pack(value: dict) -> str:
    return PREFIX + base64.urlsafe_b64encode(json_text.write(value)).decode()


def unpack(text: str) -> dict | None:
    """What ``pack`` was given; None when *text* is somebody else's."""
    if not text.startswith(PREFIX):
        return None
    try:
        return mapping(json_text.parse(base64.urlsafe_b64decode(text[len(PREFIX) :].encode("ascii")))) or None
    except (binascii.Error, UnicodeEncodeError, json_text.NotJson):
        return None


def proof_of(part: Reasoning, text: str) -> str | None:
    """``encrypted_content`` for *part*, whose words are *text*; None when there is nothing to prove."""
    if part.dialect == DIALECT:
        return part.encrypted
    if part.signature is None and part.encrypted is None:
        return None
    packed = {"dialect": part.dialect, "signature": part.signature, "encrypted": part.encrypted}
    if part.summary:
        packed["summary"] = True
    return pack({**packed, "text": _digest(text)})


def proof_of_call(call_id: str, signature: str) -> str:
    return pack({"dialect": SIGNED_BY, "signature": signature, "call": call_id})


def proof_of_text(signature: str, empty: bool) -> str:
    """*empty*: the signed text had no words, so that no message stands before the carrier."""
    return pack({"dialect": SIGNED_BY, "signature": signature, "said": "nothing" if empty else "text"})


def restore(part: Reasoning, packed: dict) -> None:
    """Put the proof back on *part*. A signature is void when the client has changed the words: an
    upstream would refuse the whole conversation for it, so the thinking is then left unproven."""
    part.dialect = string(packed.get("dialect"))
    part.signature, part.encrypted, part.id = None, None, None
    # Every thought is shown as a summary here; a signature is for the thought's own words.
    part.summary = packed.get("summary") is True
    part.pieces = part.pieces if part.summary else []
    if packed.get("text") == _digest(part.text):
        part.signature = string(packed.get("signature")) or None
        part.encrypted = string(packed.get("encrypted")) or None


def _digest(text: str) -> str:
    # UTF-16, as a pair of surrogates that came in two deltas is one character when it comes back.
    return hashlib.sha256(text.encode("utf-16-le", "surrogatepass")).hexdigest()[:16]
