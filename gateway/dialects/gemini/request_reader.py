"""A ``generateContent`` request as a Prompt (ai.google.dev: GenerateContentRequest)."""

from typing import Any

from gateway.dialects.gemini import proto_json, settings, signatures, tools
from gateway.dialects.gemini.parts_reader import PartReader
from gateway.dialects.vocabulary import Part, Prompt, Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.errors import BadRequest

# OpenAI's word is the neutral one.
_TIERS = {"flex": "flex", "priority": "priority", "standard": "default"}
_MEMBERS = frozenset(("contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier",
                      "store", "model"))  # fmt: skip
# "function" is what older SDKs call the user who brings results.
_ROLES = {"": "user", "user": "user", "function": "user", "model": "assistant"}


def read_request(document: Any, model: str = "", stream: bool = False) -> Prompt:
    """*document* in neutral words; *model* and *stream* come from the path. Raises BadRequest."""
    try:
        return _read(document, model, stream)
    except proto_json.Malformed as error:
        raise BadRequest(str(error), param=error.where) from None
    except RecursionError:
        raise BadRequest("the document is nested too deeply") from None


def _read(document: Any, model: str, stream: bool) -> Prompt:
    found, left = proto_json.split(document, _MEMBERS, "")
    prompt = Prompt("gemini", model or proto_json.text(found.get("model", ""), "model"), stream=stream)
    # A stream of this dialect always ends with its usage.
    prompt.include_usage = True if stream else None
    prompt.rest.update(left)
    if "systemInstruction" in found:
        prompt.turns.append(_system(found["systemInstruction"], prompt.rest))
    prompt.turns += _contents(found.get("contents"), prompt.rest)
    if "tools" in found:
        prompt.tools = tools.read(found["tools"], prompt.rest)
    if "toolConfig" in found:
        prompt.tool_choice = tools.read_choice(found["toolConfig"], prompt.rest)
    if "generationConfig" in found:
        settings.read(found["generationConfig"], prompt)
    if "store" in found:
        prompt.store = proto_json.boolean(found["store"], "store")
    if "serviceTier" in found:
        tier = proto_json.text(found["serviceTier"], "serviceTier")
        prompt.service_tier = _TIERS.get(tier.lower())
        if prompt.service_tier is None:
            prompt.rest["serviceTier"] = tier
    return prompt


def _system(value: Any, rest: dict[str, Any]) -> Turn:
    where = "systemInstruction"
    if isinstance(value, str):
        return Turn("system", [Text(value)])
    content, left = proto_json.split({"parts": value} if isinstance(value, list) else value, ("parts", "role"), where)
    for key, member in left.items():
        rest[f"{where}.{key}"] = member
    reader = PartReader(_Pairing(set()), rest)
    return Turn("system", signatures.unpack(_parts(content, reader, where)))


def _contents(value: Any, rest: dict[str, Any]) -> list[Turn]:
    contents = proto_json.items(value, "contents")
    if not contents:
        raise proto_json.Malformed("contents", "a list that is not empty")
    reader = PartReader(_Pairing(_given_ids(contents)), rest)
    turns: list[Turn] = []
    for number, content in enumerate(contents):
        where = f"contents[{number}]"
        if isinstance(content, str):
            turns.append(Turn("user", [Text(content)]))
            continue
        found, left = proto_json.split(content, ("parts", "role"), where)
        for key, member in left.items():
            rest[f"{where}.{key}"] = member
        role = _ROLES.get(proto_json.text(found.get("role", ""), f"{where}.role"))
        if role is None:
            raise proto_json.Malformed(f"{where}.role", "user or model")
        for turn in _turns(role, _parts(found, reader, where), where):
            _add(turns, turn)
    for turn in turns:
        turn.parts = signatures.unpack(turn.parts)
    return turns


def _add(turns: list[Turn], turn: Turn) -> None:
    """Neighbouring contents of the model are one answer: Google's SDK keeps every chunk of a
    stream as a content of its own, and words go on from one to the next."""
    last = turns[-1] if turns else None
    if last is None or not last.role == turn.role == "assistant":
        turns.append(turn)
        return
    parts = turn.parts
    if parts and last.parts and _goes_on(last.parts[-1], parts[0]):
        last.parts[-1].text += parts[0].text
        last.parts[-1].signature = parts[0].signature
        parts = parts[1:]
    last.parts += parts


def _goes_on(before: Part, part: Part) -> bool:
    return type(before) is type(part) and type(part) in (Text, Reasoning) and before.signature is None


def _parts(content: dict, reader: PartReader, where: str) -> list[Part]:
    parts: list[Part] = []
    for number, part in enumerate(proto_json.items(content.get("parts"), f"{where}.parts")):
        inside = f"{where}.parts[{number}]"
        parts.append(Text(part) if isinstance(part, str) else reader.read(part, inside))
    return parts


def _turns(role: str, parts: list[Part], where: str) -> list[Turn]:
    """One content as turns: what tools gave back stands in turns of its own."""
    turns: list[Turn] = []
    for part in parts:
        if isinstance(part, ToolCall) and role != "assistant":
            raise proto_json.Malformed(where, "of role model to hold a functionCall")
        speaker = "tool" if isinstance(part, ToolResult) else role
        if not turns or turns[-1].role != speaker:
            turns.append(Turn(speaker, []))
        turns[-1].parts.append(part)
    return turns or [Turn(role, [])]


def _given_ids(contents: list) -> set[str]:
    """The ids that calls came with; before anything was checked."""
    lists = [content.get("parts") for content in contents if isinstance(content, dict)]
    parts = [part for parts in lists if isinstance(parts, list) for part in parts if isinstance(part, dict)]
    calls = [part.get("functionCall") or part.get("function_call") for part in parts]
    return {call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str)}


class _Pairing:
    """Ids for calls that came without one: ``call_N``, N counting every call of the conversation,
    so that they stay the same as it grows. A result finds its call by id, else by name, else by
    order."""

    def __init__(self, given: set[str]):
        self._given = given
        self._count = 0
        self._open: list[tuple[str, str]] = []  # id and name of calls without a result

    def call(self, given: str, name: str) -> str:
        call_id = given or f"call_{self._count}"
        while not given and call_id in self._given:
            call_id = f"{call_id}_"
        self._count += 1
        self._open.append((call_id, name))
        return call_id

    def result(self, given: str, name: str) -> str:
        tests = (lambda call: bool(given) and call[0] == given, lambda call: call[1] == name, lambda call: not name)
        for fits in tests:
            for place, call in enumerate(self._open):
                if fits(call):
                    del self._open[place]
                    return call[0]
        return given or self._orphan()

    def _orphan(self) -> str:
        # Two results of one call, or a conversation cut at its head.
        self._count += 1
        return f"call_{self._count - 1}"
