"""Tools and tool_choice: chat's objects <-> neutral ones."""

from typing import Any

from gateway.dialects.chat.schema import DIALECT
from gateway.dialects.chat.shapes import entries, flag, mapping, named, refuse, said, words
from gateway.dialects.vocabulary import Prompt, Tool, ToolChoice

_KINDS = ("function", "custom")

# --- reading -----------------------------------------------------------------------------------


def read_tools(value: Any) -> list[Tool]:
    tools = []
    for index, tool in enumerate(entries(value, "tools")):
        if not isinstance(tool, dict):
            refuse(f"tools[{index}]", "an object")
        tools.append(_read_tool(tool, f"tools[{index}]"))
    return tools


def _read_tool(tool: dict[str, Any], where: str) -> Tool:
    kind = words(tool.get("type"), f"{where}.type") or "function"
    if kind not in _KINDS:
        return Tool(said(tool.get("name")) or kind, kind="hosted", dialect=DIALECT, raw=tool)
    told = mapping(tool.get(kind), f"{where}.{kind}") or {}
    read = _read_function(told, f"{where}.{kind}")
    read.cache = tool.get("cache_control")
    if kind == "custom":
        read.kind, read.parameters, read.strict = kind, None, None
        read.dialect, read.raw = DIALECT, {"format": told["format"]} if told.get("format") else None
    return read


def _read_function(function: dict[str, Any], where: str) -> Tool:
    return Tool(
        named(function.get("name"), f"{where}.name"),
        words(function.get("description"), f"{where}.description"),
        mapping(function.get("parameters"), f"{where}.parameters"),
        flag(function.get("strict"), f"{where}.strict"),
    )


def read_functions(value: Any) -> list[Tool]:
    """``functions``, the form before ``tools``; marked by ``raw`` so that the answer is given in
    the form such a client understands (see is_legacy)."""
    tools = []
    for index, function in enumerate(entries(value, "functions")):
        if not isinstance(function, dict):
            refuse(f"functions[{index}]", "an object")
        tool = _read_function(function, f"functions[{index}]")
        tool.dialect, tool.raw = DIALECT, function
        tools.append(tool)
    return tools


def is_legacy(prompt: Prompt) -> bool:
    """Whether the client asked with ``functions`` and so expects ``function_call``."""
    return any(tool.kind == "function" and tool.dialect == DIALECT and tool.raw is not None for tool in prompt.tools)


def read_choice(value: Any) -> ToolChoice | None:
    """``tool_choice`` in all its forms, or the old ``function_call`` (a word or ``{name}``)."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _CHOICES:
            refuse("tool_choice", "auto, none, required or an object")
        return ToolChoice(_CHOICES[value])
    choice = mapping(value, "tool_choice") or {}
    kind = words(choice.get("type"), "tool_choice.type")
    if kind == "allowed_tools":
        return _read_allowed(mapping(choice.get(kind), f"tool_choice.{kind}") or choice)
    if kind in _CHOICES:
        return ToolChoice(_CHOICES[kind])
    name = _name(choice)
    if name and kind in (None, "tool", *_KINDS):
        return ToolChoice("named", [name])
    if kind in (None, "tool", *_KINDS):
        refuse("tool_choice", "the name of a tool")
    return None


# any is Anthropic's word for required; clients that were ported from there still say it.
_CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


def _read_allowed(allowed: dict[str, Any]) -> ToolChoice:
    mode = _CHOICES.get(words(allowed.get("mode"), "tool_choice.allowed_tools.mode") or "auto")
    tools = entries(allowed.get("tools"), "tool_choice.allowed_tools.tools")
    names = [_name(tool) for tool in tools if isinstance(tool, dict)]
    return ToolChoice(mode or refuse("tool_choice.allowed_tools.mode", "auto or required"), [n for n in names if n])


def _name(choice: dict[str, Any]) -> str | None:
    inside = [choice.get(kind) for kind in _KINDS]
    return next((said(told.get("name")) for told in (*inside, choice) if isinstance(told, dict)), None)


# --- writing -----------------------------------------------------------------------------------


def write_tools(prompt: Prompt, traits: frozenset[str], dropped: list[str]) -> list[dict[str, Any]]:
    """``tools``; those that only another dialect's upstream runs are named in *dropped*."""
    choice = prompt.tool_choice
    narrowed = choice.names if choice and _narrows(choice) and "no_allowed_tools" in traits else None
    written = []
    for tool in prompt.tools:
        if narrowed and tool.name not in narrowed:
            continue  # chat's other way to say which tools may be called
        said_tool = _write_tool(tool, traits)
        if said_tool is None:
            dropped.append(f"tools.{tool.name}")
            continue
        if tool.cache is not None and (prompt.dialect == DIALECT or "cache_control" in traits):
            said_tool = {**said_tool, "cache_control": tool.cache}
        elif tool.cache is not None:
            dropped.append("cache_control")
        written.append(said_tool)
    return written


def _write_tool(tool: Tool, traits: frozenset[str]) -> dict[str, Any] | None:
    if tool.kind == "hosted":
        return tool.raw if tool.dialect == DIALECT and isinstance(tool.raw, dict) else None
    told: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        told["description"] = tool.description
    if tool.kind == "custom":
        if "no_custom_tools" in traits:
            return None
        form = _custom_format(tool.raw)
        return {"type": "custom", "custom": told | ({"format": form} if form else {})}
    if tool.parameters is not None:
        told["parameters"] = tool.parameters
    if tool.strict is not None:
        told["strict"] = tool.strict
    return {"type": "function", "function": told}


def _custom_format(raw: Any) -> dict[str, Any] | None:
    """The grammar of a custom tool; chat nests what others of OpenAI's APIs say flat."""
    form = raw.get("format") if isinstance(raw, dict) else None
    if not isinstance(form, dict):
        return None
    if form.get("type") == "grammar" and "grammar" not in form:
        return {"type": "grammar", "grammar": {name: form[name] for name in form if name != "type"}}
    return form


def write_choice(choice: ToolChoice | None, tools: list[dict[str, Any]], traits: frozenset[str]) -> Any:
    """``tool_choice`` among *tools* as they are written; None when there is none, or when the
    tools it names could not be said."""
    if choice is None or choice.mode in ("auto", "none", "required") and not choice.names:
        return choice and choice.mode
    kinds = {_name(tool): tool["type"] for tool in tools if tool.get("type") in _KINDS}
    chosen = [{"type": kinds[name], kinds[name]: {"name": name}} for name in choice.names if name in kinds]
    if not chosen and choice.mode != "none":
        return None
    if choice.mode == "named" and len(choice.names) == 1:
        return chosen[0]
    mode = "required" if choice.mode == "named" else choice.mode
    if not _narrows(choice) or "no_allowed_tools" in traits:
        return mode
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": chosen}}


def _narrows(choice: ToolChoice) -> bool:
    return bool(choice.names) and choice.mode != "none" and (choice.mode != "named" or len(choice.names) > 1)
