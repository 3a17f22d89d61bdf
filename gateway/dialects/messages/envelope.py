"""Proofs of other dialects, carried through a Messages client.

A Messages client sends the thinking blocks of earlier answers back as it got them. Their
``signature`` is opaque to it, so a proof that means something only to another dialect (OpenAI's
encrypted reasoning, Gemini's thought signatures) travels in it, sealed, and is unsealed when the
conversation comes back. Anthropic's own signatures are base64 and hold no dot.
"""

import base64
import binascii
from typing import Any

from gateway import json_text
from gateway.dialects.vocabulary import Reasoning

_MARK = "gateway1."
_FIELDS = ("dialect", "signature", "encrypted", "id")


def seal(reasoning: Reasoning) -> str:
    """The proof of *reasoning*, for the ``signature`` of the block that shows its text."""
    fields = {name: getattr(reasoning, name) for name in _FIELDS}
    return _seal({"of": "reasoning", "summary": reasoning.summary, **fields})


def seal_call(signature: str) -> str:
    """The signature of a tool call, for an empty thinking block right before the call."""
    return _seal({"of": "call", "signature": signature})


def seal_text(signature: str) -> str:
    """The signature of a text, for an empty thinking block right behind it."""
    return _seal({"of": "text", "signature": signature})


def _seal(fields: dict[str, Any]) -> str:
    return _MARK + base64.urlsafe_b64encode(json_text.write(fields)).decode()


def unseal(signature: str) -> dict[str, Any] | None:
    """What was sealed: ``of`` (reasoning, call or text) and its fields; None for any other signature."""
    if not signature.startswith(_MARK):
        return None
    try:
        fields = json_text.parse(base64.b64decode(signature[len(_MARK) :], altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    if not isinstance(fields, dict) or fields.get("of") not in ("reasoning", "call", "text"):
        return None
    # The client may have made it up: only texts are let in.
    return fields if all(isinstance(fields.get(name), str | None) for name in _FIELDS) else None


def open_reasoning(text: str, fields: dict[str, Any]) -> Reasoning:
    """The reasoning as the dialect that sealed it knows it."""
    summary = fields.get("summary") is True
    proof = {name: fields.get(name) for name in ("signature", "encrypted", "id")}
    pieces = [text] if summary and text else []
    return Reasoning(text, summary=summary, pieces=pieces, dialect=fields.get("dialect") or "", **proof)
