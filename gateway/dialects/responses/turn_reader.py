"""The items of ``input`` as turns.

What the model made in one go - reasoning, a message, its calls - comes as separate items and makes
one assistant turn, because other dialects must have a call and its neighbours in one message.
"""

from typing import Any

from gateway.dialects.responses import carrier, content_reader, item_reader
from gateway.dialects.responses.schema import CALL_TYPES, DIALECT, RESULT_TYPES, string
from gateway.dialects.vocabulary import Opaque, Part, Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.errors import BadRequest

COMPACTION = "compaction"  # the id of a turn that is a compaction of ours

ROLES = ("user", "system", "developer", "assistant")

# Items that mean something only to a server that keeps the conversation, or that wrote them.
STATEFUL = {
    "item_reference": "refers to an item that only the server which made it has",
    "compaction": "was made by another server, and only that one can read it",
    "compaction_summary": "was made by another server, and only that one can read it",
    "compaction_trigger": "asks for a compaction, which this channel cannot make inside an answer",
}


def read_input(value: Any) -> list[Turn]:
    """``input``: a string, or a list of items. Raises BadRequest."""
    if isinstance(value, str):
        return [Turn("user", [Text(value)])]
    if not isinstance(value, list):
        raise BadRequest("input must be a string or a list of items", param="input")
    gathered = _Turns()
    for n, item in enumerate(value):
        gathered.add(item, f"input[{n}]")
    gathered.sign_calls()
    return gathered.turns


class _Turns:
    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self._spoken = False  # the last turn, an assistant's, holds a message
        self._calls: dict[str, ToolCall] = {}
        self._signatures: dict[str, str] = {}

    def add(self, item: Any, path: str) -> None:
        if not isinstance(item, dict):
            raise BadRequest(f"{path} must be an object", param=path)
        kind = _type_of(item, path)
        if kind in STATEFUL:
            self._compaction(item, kind, path)
        elif kind == "message":
            self._message(item, path)
        elif kind in CALL_TYPES:
            self._call(item, path)
        elif kind in RESULT_TYPES:
            self._result(item, RESULT_TYPES[kind], path)
        elif kind == "reasoning":
            self._reasoning(item)
        elif item_reader.is_image(item):
            self._assistant([item_reader.image(item)])
        else:
            self._opaque(item, kind)

    def sign_calls(self) -> None:
        """A carrier may stand before or after its call."""
        for call_id, signature in self._signatures.items():
            if call_id in self._calls:
                self._calls[call_id].signature = signature

    def _message(self, item: dict, path: str) -> None:
        role = item.get("role")
        if role not in ROLES:
            raise BadRequest(f"{path}.role must be one of {', '.join(ROLES)}", param=f"{path}.role")
        parts = content_reader.content(item.get("content"), f"{path}.content")
        item_id = string(item.get("id")) or None
        if role != "assistant":
            self.turns.append(Turn(role, parts, id=item_id))
            return
        if self._spoken and not any(isinstance(part, ToolCall) for part in self.turns[-1].parts):
            self._begin_assistant()
        self._assistant(parts)
        turn, self._spoken = self.turns[-1], True
        turn.id = turn.id or item_id
        if string(item.get("phase")):
            turn.rest["phase"] = item["phase"]

    def _begin_assistant(self) -> None:
        """A new turn; thinking that came after the last message belongs to what follows it."""
        last = self.turns[-1].parts
        thoughts: list[Part] = []
        while last and isinstance(last[-1], Reasoning):
            thoughts.insert(0, last.pop())
        self.turns.append(Turn("assistant", thoughts))
        self._spoken = False

    def _assistant(self, parts: list[Part]) -> None:
        if not self.turns or self.turns[-1].role != "assistant":
            self.turns.append(Turn("assistant", []))
            self._spoken = False
        self.turns[-1].parts.extend(parts)

    def _call(self, item: dict, path: str) -> None:
        for name in ("call_id", "name"):
            _required(item, name, path)
        call = item_reader.tool_call(item)
        self._calls[call.id] = call
        self._assistant([call])

    def _result(self, item: dict, kind: str, path: str) -> None:
        call_id = _required(item, "call_id", path)
        output = item.get("output")
        if content_reader.is_content(output):
            parts = content_reader.content(output, f"{path}.output")
        else:
            parts = [Text(item_reader.words(output))]
        call = self._calls.get(call_id)
        result = ToolResult(call_id, parts, name=call.name if call else None, kind=kind)
        if self.turns and self.turns[-1].role == "tool":
            self.turns[-1].parts.append(result)
        else:
            self.turns.append(Turn("tool", [result]))

    def _reasoning(self, item: dict) -> None:
        thought = item_reader.reasoning(item)
        packed = carrier.unpack(thought.encrypted or "")
        if packed is None:
            self._assistant([thought])
        elif "call" in packed:
            self._signatures[string(packed["call"])] = string(packed.get("signature"))
        elif "said" in packed:
            self._sign_text(packed)
        else:
            carrier.restore(thought, packed)
            self._assistant([thought])

    def _sign_text(self, packed: dict) -> None:
        signature = string(packed.get("signature"))
        if packed["said"] == "nothing":
            self._assistant([Text("", signature=signature)])
        elif self.turns and self.turns[-1].role == "assistant":
            said = [part for part in self.turns[-1].parts if isinstance(part, Text)]
            if said:
                said[-1].signature = signature

    def _compaction(self, item: dict, kind: str, path: str) -> None:
        packed = carrier.unpack(string(item.get("encrypted_content"))) or {}
        if not isinstance(packed.get("compaction"), str):
            raise BadRequest(f"{path} ({kind}) {STATEFUL[kind]}", param=path, code="unsupported_parameter")
        self.turns.append(Turn("user", [Text(packed["compaction"])], id=COMPACTION))

    def _opaque(self, item: dict, kind: str) -> None:
        if kind.endswith(("_output", "_response")):
            self.turns.append(Turn("user", [Opaque(DIALECT, item)]))
        else:
            self._assistant([Opaque(DIALECT, item)])


def _type_of(item: dict, path: str) -> str:
    """``type``, which a message and a reference may leave out."""
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    if kind is None and "role" in item:
        return "message"
    if kind is None and "id" in item:
        return "item_reference"
    raise BadRequest(f"{path}.type must be a string", param=f"{path}.type")


def _required(item: dict, name: str, path: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{path}.{name} must be a string that is not empty", param=f"{path}.{name}")
    return value
