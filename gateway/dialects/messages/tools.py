"""Tools and tool_choice both ways."""

from typing import Any

from gateway.dialects.messages.generations import Abilities
from gateway.dialects.messages.output import fit_schema, is_recursive
from gateway.dialects.messages.schema import DIALECT
from gateway.dialects.messages.shape import boolean, listing, mapping, maybe, string
from gateway.dialects.vocabulary import Prompt, Tool, ToolChoice

_KNOWN = {"type", "name", "description", "input_schema", "strict", "cache_control"}
# Members that only tell Anthropic how to load or stream a tool: elsewhere nothing is missed.
_TECHNICAL = {"type", "eager_input_streaming", "defer_loading"}
_MODES = {"auto": "auto", "any": "required", "none": "none"}
_WORDS = {mode: word for word, mode in _MODES.items()}
_ANY_OBJECT = {"type": "object", "properties": {}}


def read_tools(prompt: Prompt, value: Any) -> None:
    """``tools``: client tools with a schema, and server tools (any other type) kept as they are."""
    for i, raw in enumerate(listing(value, "tools")):
        path = f"tools.{i}"
        kind = maybe(string, mapping(raw, path).get("type"), f"{path}.type")
        if kind in (None, "custom"):
            prompt.tools.append(_read_tool(prompt, raw, path))
        else:
            name = raw.get("name")
            prompt.tools.append(
                Tool(name if isinstance(name, str) else kind, kind="hosted", cache=raw.get("cache_control"),
                     dialect=DIALECT, raw=raw)  # fmt: skip
            )


def _read_tool(prompt: Prompt, raw: dict, path: str) -> Tool:
    extra = {k: v for k, v in raw.items() if k not in _KNOWN - {"type"} and v is not None}
    if extra.get("allowed_callers") == ["direct"]:  # the default, said aloud
        del extra["allowed_callers"]
    for name in extra.keys() - _TECHNICAL:
        prompt.rest[f"tools.{name}"] = True  # the value is in Tool.raw; this names it where it is lost
    return Tool(
        name=string(raw.get("name"), f"{path}.name"),
        description=maybe(string, raw.get("description"), f"{path}.description"),
        parameters=maybe(mapping, raw.get("input_schema"), f"{path}.input_schema"),
        strict=maybe(boolean, raw.get("strict"), f"{path}.strict"),
        cache=raw.get("cache_control"),
        dialect=DIALECT,
        raw=extra or None,
    )


def read_choice(prompt: Prompt, value: Any) -> None:
    """``tool_choice`` and the ``disable_parallel_tool_use`` in it; an unknown type is kept."""
    kind = mapping(value, "tool_choice").get("type")
    if kind == "tool":
        prompt.tool_choice = ToolChoice("named", [string(value.get("name"), "tool_choice.name")])
    elif isinstance(kind, str) and kind in _MODES:
        prompt.tool_choice = ToolChoice(_MODES[kind])
    else:
        prompt.rest["tool_choice"] = value
    single = maybe(boolean, value.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    if single is not None:
        prompt.parallel_tool_calls = not single


def write_tools(prompt: Prompt, able: Abilities, dropped: list[str]) -> list[dict]:
    """``tools``; one that Messages has no word for (another dialect's server tools, free-text
    tools) is dropped as ``tools.NAME``. Tools that the choice rules out are not offered: that is
    the only way to say OpenAI's ``allowed_tools`` here."""
    choice = prompt.tool_choice
    allowed = set(choice.names) if choice and (choice.mode != "named" or len(choice.names) > 1) else set()
    written = []
    for tool in prompt.tools:
        if allowed and tool.name not in allowed:
            continue
        document = _write_tool(tool, able, prompt.dialect == DIALECT, dropped)
        if document is None:
            dropped.append(f"tools.{tool.name}")
        else:
            written.append(document)
    return written


def _write_tool(tool: Tool, able: Abilities, native: bool, dropped: list[str]) -> dict | None:
    if tool.kind == "hosted":
        return tool.raw if tool.dialect == DIALECT and isinstance(tool.raw, dict) else None
    if tool.kind != "function":
        return None
    document: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        document["description"] = tool.description
    # The API wants an object schema that says so, also of a tool without arguments.
    document["input_schema"] = {"type": "object"} | tool.parameters if tool.parameters else dict(_ANY_OBJECT)
    if native and tool.strict is not None:
        document["strict"] = tool.strict
    elif tool.strict:
        _write_strict(document, able, dropped)
    if tool.cache is not None:
        document["cache_control"] = tool.cache
    if tool.dialect == DIALECT and isinstance(tool.raw, dict):
        document |= tool.raw
    return document


def _write_strict(document: dict[str, Any], able: Abilities, dropped: list[str]) -> None:
    """``strict`` goes with closed schemas of what the grammar can enforce. A schema that asks for
    more keeps what it asks for, and loses the guarantee."""
    schema, lost = fit_schema(document["input_schema"])
    if lost or not able.schemas or is_recursive(schema):
        dropped.append("tools.strict")
    else:
        document["input_schema"], document["strict"] = schema, True


def write_choice(prompt: Prompt, tools: list[dict], able: Abilities, dropped: list[str]) -> dict | None:
    """``tool_choice``, made ``auto`` where only parallel calls are ruled out. It is not allowed
    without tools, and some models cannot be forced to call one."""
    native = prompt.dialect == DIALECT
    choice = _choice(prompt.tool_choice, tools)
    forced = prompt.tool_choice is not None and prompt.tool_choice.mode in ("required", "named")
    if forced and (choice is None or (able.forced_tools == "never" and not native)):
        dropped.append("tool_choice")
        choice = {"type": "auto"} if tools else None
    if not tools and not (native and choice):
        return None
    if prompt.parallel_tool_calls is False or (native and prompt.parallel_tool_calls is not None):
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = not prompt.parallel_tool_calls
    return choice


def _choice(choice: ToolChoice | None, tools: list[dict]) -> dict | None:
    if choice is None:
        return None
    if choice.mode != "named":
        word = _WORDS.get(choice.mode)
        return {"type": word} if word and (tools or choice.mode != "required") else None
    offered = {tool.get("name") for tool in tools}
    if len(choice.names) == 1 and choice.names[0] in offered:
        return {"type": "tool", "name": choice.names[0]}
    return {"type": "any"} if len(choice.names) > 1 and offered else None
