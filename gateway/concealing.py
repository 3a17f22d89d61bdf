"""Secrets that are known by their value, found wherever they stand in a text."""

import base64
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote

from gateway import json_text

MASK = "***"
_SHORTEST = 4  # masking what is shorter would only make the rest unreadable
_SHORTEST_PACKED = 12


def forms_of(secrets: Iterable[str], shortest: int = _SHORTEST) -> list[str]:
    """The ways in which *secrets* of at least *shortest* characters may stand in a text: as they are, in a
    URL, in JSON, in base64 (alone or as part of something). Longest first, for one may be part of another."""
    found = {form for secret in secrets if len(secret) >= shortest for form in _forms(secret)}
    return sorted((form for form in found if len(form) >= shortest), key=lambda form: (-len(form), form))


def _forms(secret: str) -> Iterator[str]:
    yield from (secret, quote(secret, safe=""), quote_plus(secret), unquote(secret))
    yield json_text.write(secret).decode()[1:-1]
    data = secret.encode()
    whole = base64.b64encode(data).decode()
    yield from (whole, whole.rstrip("="))
    # Wherever a group of three begins, without the characters that hold bits of what stands beside it.
    packed = (base64.b64encode(data[start:])[:-4].decode() for start in range(3))
    yield from (form for form in packed if len(form) >= _SHORTEST_PACKED)


def without(forms: Iterable[str], text: str) -> str:
    """*text* with the mask in the places of *forms*."""
    for form in forms:
        text = text.replace(form, MASK)
    return text
