"""One Gemini ``Part`` as a neutral part; requests and replies are made of the same parts.

A Part is a union: one member holds the data, a few stand beside it (``thought``,
``thoughtSignature``, ``videoMetadata``, ...).
"""

from collections.abc import Callable
from typing import Any, Protocol

from gateway import json_text
from gateway.dialects.gemini import media, proto_json, signatures
from gateway.dialects.vocabulary import Media, Opaque, Part, Reasoning, Text, ToolCall, ToolResult

_READ_BESIDE = ("thought", "thoughtSignature")


class Pairing(Protocol):
    """Who gives calls and results their ids: Gemini often gives none."""

    def call(self, given: str, name: str) -> str: ...

    def result(self, given: str, name: str) -> str: ...


class PartReader:
    """Reads the parts of one document. ``rest`` takes what has no neutral word, by its path.

    With ``fenced``, code that Gemini ran itself becomes text that any client can show (a reply);
    without it the part is kept whole for a Gemini upstream (a request).
    """

    def __init__(self, pairing: Pairing, rest: dict[str, Any], fenced: bool = False):
        self._pairing = pairing
        self._rest = rest
        self._fenced = fenced

    def read(self, part: Any, where: str) -> Part:
        """Raises Malformed. A part with no member that is known is Opaque."""
        found, left = proto_json.split(part, _MEMBERS, where)
        kind = next((member for member in _READERS if member in found), None)
        if kind is None or (kind in _CODE and not self._fenced):
            return Opaque("gemini", part)
        neutral = _READERS[kind](self, found, f"{where}.{kind}")
        left |= {key: value for key, value in found.items() if key != kind and key not in _READ_BESIDE}
        self._keep(neutral, left, where)
        return neutral

    def _keep(self, part: Part, beside: dict, where: str) -> None:
        if isinstance(part, Media):
            part.extra.update(beside)
            part.extra_dialect = "gemini" if part.extra else part.extra_dialect
            return
        for key, value in beside.items():
            self._rest[f"{where}.{key}"] = value

    def _text(self, found: dict, where: str) -> Part:
        words = proto_json.text(found["text"], where)
        signature = _signature(found, where)
        if found.get("thought") is not True:
            return Text(words, signature=signature)
        proof = signatures.decode(signature) if signature and not self._fenced else None
        if proof is None:
            return Reasoning(words, signature=signature, dialect="gemini")
        proof.text = words
        return proof

    def _call(self, found: dict, where: str) -> Part:
        call, left = proto_json.split(found["functionCall"], ("id", "name", "args"), where)
        name = proto_json.name(call.get("name"), f"{where}.name")
        arguments = call.get("args", {})
        if not isinstance(arguments, dict):
            raise proto_json.Malformed(f"{where}.args", "an object")
        given = proto_json.text(call.get("id", ""), f"{where}.id")
        for key, value in left.items():
            self._rest[f"{where}.{key}"] = value
        return ToolCall(self._pairing.call(given, name), name, json_text.write(arguments).decode(),
                        signature=_signature(found, where))  # fmt: skip

    def _result(self, found: dict, where: str) -> Part:
        known = ("id", "name", "response", "parts")
        answer, left = proto_json.split(found["functionResponse"], known, where)
        name = proto_json.text(answer.get("name", ""), f"{where}.name")
        given = proto_json.text(answer.get("id", ""), f"{where}.id")
        response = answer.get("response", {})
        if not isinstance(response, dict):
            raise proto_json.Malformed(f"{where}.response", "an object")
        for key, value in left.items():
            self._rest[f"{where}.{key}"] = value
        words, is_error = read_response(response)
        result = ToolResult(self._pairing.result(given, name), [Text(words)], name=name or None, is_error=is_error)
        for number, inner in enumerate(proto_json.items(answer.get("parts"), f"{where}.parts")):
            part = self.read(inner, f"{where}.parts[{number}]")
            if not isinstance(part, Media | Opaque):
                raise proto_json.Malformed(f"{where}.parts[{number}]", "inlineData or fileData")
            result.parts.append(part)
        return result

    def _inline(self, found: dict, where: str) -> Part:
        part = media.read_inline(found["inlineData"], where)
        return self._media(part, found, where)

    def _file(self, found: dict, where: str) -> Part:
        return self._media(media.read_file(found["fileData"], where), found, where)

    def _media(self, part: Media, found: dict, where: str) -> Part:
        part.signature = _signature(found, where)
        spoken = found.get("audioTranscription")
        if isinstance(spoken, dict) and isinstance(spoken.get("text"), str):
            part.transcript = spoken["text"]
        return part

    def _code(self, found: dict, where: str) -> Part:
        code, _ = proto_json.split(found["executableCode"], ("code", "language"), where)
        language = proto_json.text(code.get("language", ""), f"{where}.language").lower()
        return Text(_fence(language, proto_json.text(code.get("code", ""), f"{where}.code")))

    def _output(self, found: dict, where: str) -> Part:
        ran, _ = proto_json.split(found["codeExecutionResult"], ("outcome", "output"), where)
        return Text(_fence("output", proto_json.text(ran.get("output", ""), f"{where}.output")))


def _signature(found: dict, where: str) -> str | None:
    if "thoughtSignature" not in found:
        return None
    signature = proto_json.text(found["thoughtSignature"], f"{where.rpartition('.')[0]}.thoughtSignature")
    return None if signature in ("", *signatures.BYPASSES) else signature


def _fence(language: str, words: str) -> str:
    end = "" if words.endswith("\n") else "\n"
    return f"\n```{language}\n{words}{end}```\n"


def read_response(response: dict) -> tuple[str, bool | None]:
    """What a function answered, as text, and whether it says that it failed.

    ``{"result": "words"}`` and ``{"error": "words"}`` are what Google's SDK and this gateway wrap
    text in; anything else is the JSON text of the object. The writer's inverse is
    ``parts_writer.response_of``: what one reads the other writes, so text that looks like an
    object itself stays wrapped here.
    """
    failed = True if response.get("error") else None
    if len(response) == 1:
        words = response.get("error" if failed else "result")
        if isinstance(words, str) and parse_object(words) is None:
            return words, failed
    return json_text.write(response).decode(), failed


def parse_object(words: str) -> dict | None:
    """The JSON object that *words* are, if they are one."""
    if not words.lstrip().startswith("{"):
        return None
    try:
        value = json_text.parse(words.encode())
    except (json_text.NotJson, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict) else None


_Reader = Callable[[PartReader, dict, str], Part]
_READERS: dict[str, _Reader] = {
    "functionCall": PartReader._call,
    "functionResponse": PartReader._result,
    "inlineData": PartReader._inline,
    "fileData": PartReader._file,
    "executableCode": PartReader._code,
    "codeExecutionResult": PartReader._output,
    "text": PartReader._text,
}
_CODE = ("executableCode", "codeExecutionResult")
_MEMBERS = frozenset((*_READERS, *_READ_BESIDE, *media.EXTRAS))
