"""``tools`` and ``tool_choice``, and the names that calls go by.

A namespace groups functions of the client's own (Codex keeps its MCP tools so); other dialects
have no such thing, so its functions get flat names, which are taken apart again in calls.
"""

from typing import Any

from gateway.dialects.responses.item_reader import joined_name
from gateway.dialects.responses.schema import DIALECT, listing, mapping, string
from gateway.dialects.vocabulary import Prompt, Tool, ToolChoice
from gateway.errors import BadRequest

_FUNCTION_MEMBERS = {"type", "name", "description", "parameters", "strict", "function"}
_CUSTOM_MEMBERS = {"type", "name", "description", "format"}
_CALLABLE = ("function", "custom")


def read_tools(value: Any, rest: dict[str, Any]) -> list[Tool]:
    """``tools`` as Tool values; members without a word here are named in *rest* (``tools.defer_loading``).
    Raises BadRequest."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadRequest("tools must be a list", param="tools")
    tools: list[Tool] = []
    for n, raw in enumerate(value):
        if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
            raise BadRequest(f"tools[{n}] must be an object with a type", param=f"tools[{n}]")
        if raw["type"] == "namespace" and isinstance(raw.get("tools"), list):
            tools += _namespaced(raw, f"tools[{n}]", rest)
        elif raw["type"] in _CALLABLE:
            tools.append(_callable(raw, f"tools[{n}]", rest))
        else:
            name = string(raw.get("name")) or string(raw.get("server_label")) or raw["type"]
            tools.append(Tool(name, kind="hosted", dialect=DIALECT, raw=raw))
    return tools


def _callable(raw: dict, path: str, rest: dict[str, Any]) -> Tool:
    nested = mapping(raw.get("function"))  # chat's form, which some clients send here
    said = {**nested, **raw} if nested else raw
    name, parameters, strict = said.get("name"), said.get("parameters"), said.get("strict")
    if not isinstance(name, str) or not name:
        raise BadRequest(f"{path}.name must be a string that is not empty", param=f"{path}.name")
    if parameters is not None and not isinstance(parameters, dict):
        raise BadRequest(f"{path}.parameters must be a JSON Schema object", param=f"{path}.parameters")
    known = _FUNCTION_MEMBERS if raw["type"] == "function" else _CUSTOM_MEMBERS
    for member in raw.keys() - known:
        rest[f"tools.{member}"] = True
    return Tool(
        name,
        description=string(said.get("description")) or None,
        parameters=parameters,
        strict=strict if isinstance(strict, bool) else None,
        kind=raw["type"],
        dialect=DIALECT,
        raw=raw if raw.keys() - known or raw["type"] == "custom" else None,
    )


def _namespaced(raw: dict, path: str, rest: dict[str, Any]) -> list[Tool]:
    tools = []
    for n, inner in enumerate(raw["tools"]):
        where = f"{path}.tools[{n}]"
        if not isinstance(inner, dict) or inner.get("type") not in _CALLABLE:
            raise BadRequest(f"{where} must be a function or custom tool", param=where)
        tool = _callable(inner, where, rest)
        tool.raw = {"namespace": {**raw, "tools": []}, "tool": inner}
        tool.name = joined_name(string(raw.get("name")), tool.name)
        tools.append(tool)
    return tools


def namespace_of(tool: Tool) -> dict | None:
    """The namespace that *tool* was taken out of (without its tools)."""
    if tool.dialect != DIALECT or tool.kind == "hosted":
        return None
    return mapping(tool.raw).get("namespace")


def own_name(tool: Tool) -> str:
    """The name inside its namespace."""
    return string(mapping(mapping(tool.raw).get("tool")).get("name")) or tool.name


def read_choice(value: Any, rest: dict[str, Any]) -> ToolChoice | None:
    """``tool_choice`` in any form; what only this dialect can say (hosted tools) goes to *rest*.
    Raises BadRequest."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in ("auto", "none", "required"):
            raise BadRequest("tool_choice must be auto, none, required or an object", param="tool_choice")
        return ToolChoice(value)
    if not isinstance(value, dict):
        raise BadRequest("tool_choice must be a string or an object", param="tool_choice")
    if value.get("type") in _CALLABLE:
        name = string(value.get("name")) or string(mapping(value.get("function")).get("name"))
        if not name:
            raise BadRequest("tool_choice.name must be a string that is not empty", param="tool_choice.name")
        return ToolChoice("named", [joined_name(string(value.get("namespace")), name)])
    if value.get("type") == "allowed_tools":
        return _allowed(value, rest)
    rest["tool_choice"] = value
    return None


def _allowed(value: dict, rest: dict[str, Any]) -> ToolChoice | None:
    names, others = [], []
    for entry in listing(value.get("tools")):
        entry = mapping(entry)
        name = string(entry.get("name")) or string(mapping(entry.get("function")).get("name"))
        if entry.get("type") in _CALLABLE and name:
            names.append(joined_name(string(entry.get("namespace")), name))
        else:
            others.append(entry)
    mode = value.get("mode") if value.get("mode") in ("auto", "none", "required") else "auto"
    if not names:
        rest["tool_choice"] = value
        return None
    if others:
        rest["tool_choice.tools"] = others
    return ToolChoice(mode, names)


class CallNames:
    """How the calls of an answer are called towards the client that sent *prompt*."""

    def __init__(self, prompt: Prompt):
        self._spaces = {tool.name: tool for tool in prompt.tools if namespace_of(tool)}

    def members(self, name: str) -> dict[str, str]:
        """``name``, and ``namespace`` where there is one."""
        tool = self._spaces.get(name)
        if tool is None:
            return {"name": name}
        return {"name": own_name(tool), "namespace": string(mapping(namespace_of(tool)).get("name"))}
