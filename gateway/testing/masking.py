"""Keeps secrets out of what is written down: masks those that can be told by their place, and finds
those that are known by their value wherever they stand."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

from gateway import json_edit, json_text
from gateway.concealing import MASK, forms_of
from gateway.json_pointer import pointer_to

_NAMES = re.compile(r"authori[sz]ation|key|token|secret|cookie|signature|credential|session|password|^sig$", re.I)
_COUNTS = re.compile(r"ratelimit|rate-limit|tokens", re.I)  # headers that only tell how many are left
# In a body "token" and "key" mean other things, too.
_MEMBERS = frozenset(
    "access_token refresh_token id_token session_token client_secret client_assertion assertion password api_key "
    "apikey private_key secret authorization".split()
)
_SHORTEST = 8  # what is shorter is found everywhere


class Masker:
    """Masks, and learns the values of what it masked: they must not stand anywhere else."""

    def __init__(self, secrets: Iterable[str] = ()):
        self._known = {secret for secret in secrets if secret}

    def learn(self, value: str) -> None:
        """*value* is a secret; of ``Bearer abc`` it is the second word."""
        word = value.rpartition(" ")[2]
        if len(word) >= _SHORTEST and word != MASK:
            self._known.add(word)

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(name, self._masked(value) if _is_secret(name) else value) for name, value in headers]

    def target(self, target: str) -> str:
        """A path and its query."""
        path, mark, query = target.partition("?")
        return path + mark + self._form(query) if mark else target

    def body(self, data: bytes) -> bytes:
        """A JSON document or a form; all other bytes, and all other members, stay as they are."""
        if data[:1] in (b"{", b"["):
            try:
                found = list(_secret_members(json_text.parse(data)))
            except json_text.NotJson:
                return data
            for _, value in found:
                self.learn(value)
            return json_edit.edit(data, [(pointer, MASK) for pointer, _ in found])
        text = data.decode("utf-8", "replace")
        return self._form(text).encode() if re.fullmatch(r"[\w.~%+-]+=[^\s{}<]*", text) else data

    def found_in(self, text: str) -> bool:
        """Whether a known secret stands there: as it is, in a URL, in JSON or in base64."""
        return any(form in text for form in forms_of(self._known))

    def _form(self, text: str) -> str:
        pairs = parse_qsl(text, keep_blank_values=True)
        if not any(_is_secret(name) for name, _ in pairs):
            return text
        masked = [(name, self._masked(value) if _is_secret(name) else value) for name, value in pairs]
        return urlencode(masked, safe="*")

    def _masked(self, value: str) -> str:
        self.learn(value)
        return MASK


def _is_secret(name: str) -> bool:
    return bool(_NAMES.search(name)) and not _COUNTS.search(name)


def _secret_members(value: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """(JSON Pointer, value) of the members whose names say that they are secrets."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        where = above + pointer_to(name)
        if str(name).lower() in _MEMBERS and isinstance(inner, str):
            yield where, inner
        else:
            yield from _secret_members(inner, where)
