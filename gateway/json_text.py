"""JSON as text in, values out and back, without losing what other parsers lose.

The one door to msgspec. What is closed here:

* Servers cut UTF-16 pairs across chunks, so an escape like ``\\ud83d`` arrives alone. msgspec
  refuses it; the standard library reads it and writes the same escape again.
* U+2028, U+2029 and U+0085 are legal in JSON, but several clients split SSE lines on them:
  what the gateway writes itself has them escaped.
* Numbers with a fraction or an exponent become Decimal, so that ``0.1000000000000000055`` and
  ``1e400`` come out as they went in.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_SEPARATORS = {c.encode(): b"\\u%04x" % ord(c) for c in "\u2028\u2029\u0085"}
_MOST_DIGITS = 4000  # int() refuses more than 4300: CPython's guard against quadratic time


class NotJson(ValueError):
    """The text is not JSON; the message says where and why."""


def parse(text: bytes | str) -> Any:
    """The value that *text* (UTF-8, if bytes) says; of a key that comes twice the last wins.

    Raises NotJson, also for NaN, Infinity, invalid UTF-8 and nesting past the interpreter's depth.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _parse_slowly(text)


def object_of(text: bytes | str) -> dict[str, Any]:
    """The object that *text* says; an empty one for what is none, or no JSON."""
    try:
        value = parse(text)
    except NotJson:
        return {}
    return value if isinstance(value, dict) else {}


def _parse_slowly(text: bytes | str) -> Any:
    try:
        text = text.decode() if isinstance(text, bytes) else text
        return json.loads(text, parse_float=Decimal, parse_int=_integer, parse_constant=_refuse)
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except (ValueError, ArithmeticError) as error:
        raise NotJson(_reason(error)) from None


def _reason(error: Exception) -> str:
    # UnicodeDecodeError's own text repeats the offending bytes; where they stand is enough.
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < _MOST_DIGITS else Decimal(digits)


def _refuse(name: str) -> Any:
    raise NotJson(f"{name} is not a JSON value")


def write(value: Any) -> bytes:
    """*value* as compact UTF-8 JSON on one line, safe inside any SSE parser."""
    try:
        text = _encoder.encode(value)
    except UnicodeEncodeError:  # a lone surrogate: only escapes can carry it
        return _write_slowly(value)
    if text.isascii():
        return text
    for raw, escaped in _SEPARATORS.items():
        if raw in text:
            text = text.replace(raw, escaped)
    return text


def _write_slowly(value: Any) -> bytes:
    # Not json.dumps for the whole: it knows no Decimal, and numbers must come out as they went in.
    if isinstance(value, str):
        return json.dumps(value).encode()
    if isinstance(value, dict):
        members = (_write_slowly(name) + b":" + _write_slowly(inner) for name, inner in value.items())
        return b"{%b}" % b",".join(members)
    if isinstance(value, list | tuple):
        return b"[%b]" % b",".join(_write_slowly(inner) for inner in value)
    return _encoder.encode(value)


class Head(msgspec.Struct):
    """The members of a request body that decide where it goes, as JSON text; the rest is checked
    to be JSON but not built. Few bodies have more than the first two."""

    model: msgspec.Raw = msgspec.Raw(b"")
    stream: msgspec.Raw = msgspec.Raw(b"")
    provider: msgspec.Raw = msgspec.Raw(b"")
    models: msgspec.Raw = msgspec.Raw(b"")
    fallbacks: msgspec.Raw = msgspec.Raw(b"")


_head_decoder = msgspec.json.Decoder(Head)


def read_head(text: bytes) -> dict[str, Any]:
    """``{"model": ..., "stream": ...}`` and the other members of Head that a JSON object has. Raises NotJson."""
    try:
        head = _head_decoder.decode(text)
        text.decode()  # msgspec does not look at the bytes of strings that it skips
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        document = _parse_slowly(text)
        if not isinstance(document, dict):
            raise NotJson("expected an object") from None
        return {name: document[name] for name in Head.__struct_fields__ if name in document}
    members = [("model", head.model), ("stream", head.stream)]
    if head.provider or head.models or head.fallbacks:
        members += [("provider", head.provider), ("models", head.models), ("fallbacks", head.fallbacks)]
    return {name: parse(bytes(raw)) for name, raw in members if raw}


Path = tuple[str | int, ...]  # names of members and places in lists, from the outside in


class Members:
    """Reads what stands at *paths* in documents; all else is checked to be JSON but not built, which
    for a large document is most of the work. The names must be identifiers."""

    def __init__(self, paths: Sequence[Path]):
        self._paths = tuple(paths)
        self._decoder = msgspec.json.Decoder(_holding(self._paths), float_hook=Decimal)

    def read(self, text: bytes) -> list[Any]:
        """A value for each path, None where there is nothing. Raises NotJson."""
        try:
            document = self._decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):  # of another shape, too
            document = parse(text)
        return [_at(document, path) for path in self._paths]


def _holding(paths: Sequence[Path]) -> Any:
    """The type of what holds a value at each of *paths*; other members and places may be anything."""
    if () in paths:
        return Any
    if isinstance(paths[0][0], int):
        return list[_holding([path[1:] for path in paths])] | None  # type: ignore[misc]
    names = dict.fromkeys(path[0] for path in paths)
    inner = [(name, _holding([path[1:] for path in paths if path[0] == name]), None) for name in names]
    return msgspec.defstruct("_Holding", inner) | None


class Fields:
    """Reads flat objects as tuples, checked while they are read: each member by its name as *members* say
    (str, most characters, default), (int, largest amount, default; None: may be null) or (list, 0, default)."""

    def __init__(self, members: Mapping[str, tuple[type, int, Any]]):
        fields = [(name, _field(*what), what[2]) for name, what in members.items()]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("_Fields", fields))

    def read(self, text: bytes) -> tuple[Any, ...] | None:
        """The values in the order of the members; None when it is no such object."""
        try:
            return msgspec.structs.astuple(self._decoder.decode(text))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None


def _field(kind: type, most: int, default: Any) -> Any:
    if kind is list:
        return list
    if kind is str:
        return Annotated[str, msgspec.Meta(max_length=most)]
    number = Annotated[int, msgspec.Meta(ge=-most, le=most)]
    return number if default is not None else number | None


def _at(value: Any, path: Path) -> Any:
    for name in path:
        if isinstance(value, msgspec.Struct):
            value = getattr(value, name)
        elif isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and isinstance(name, int) and name < len(value):
            value = value[name]
        else:
            return None
    return value
