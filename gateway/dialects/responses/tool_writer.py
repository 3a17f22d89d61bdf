"""``tools`` and ``tool_choice`` as members: for an upstream, and repeated in a reply."""

from typing import Any

from gateway.dialects.responses.schema import DIALECT, mapping, string
from gateway.dialects.responses.tools import namespace_of, own_name
from gateway.dialects.vocabulary import Tool, ToolChoice


def can_say(tool: Tool) -> bool:
    """Hosted tools run at the upstream that has them: another dialect's are not known here."""
    return tool.kind != "hosted" or (tool.dialect == DIALECT and isinstance(tool.raw, dict))


def write_tools(tools: list[Tool], own: bool) -> list[dict]:
    """``tools``, those of a namespace back inside it."""
    written: list[dict] = []
    spaces: dict[str, dict] = {}
    for tool in tools:
        space = namespace_of(tool)
        if space is None:
            written.append(_tool(tool, own))
            continue
        name = string(space.get("name"))
        if name not in spaces:
            spaces[name] = {**space, "tools": []}
            written.append(spaces[name])
        spaces[name]["tools"].append(mapping(tool.raw)["tool"])
    return written


def _tool(tool: Tool, own: bool) -> dict:
    if tool.dialect == DIALECT and isinstance(tool.raw, dict):
        return tool.raw
    said: dict[str, Any] = {"type": tool.kind, "name": tool.name}
    if tool.description is not None:
        said["description"] = tool.description
    if tool.kind == "custom":
        form = _custom_format(tool.raw)
        return {**said, "format": form} if form else said
    if tool.parameters is not None or not own:
        said["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    # Strict is the default here and off elsewhere: it would forbid optional parameters.
    strict = tool.strict if own or tool.strict is not None else False
    return said if strict is None else {**said, "strict": strict}


def _custom_format(raw: Any) -> dict | None:
    """A custom tool's ``format``; chat nests it, and the grammar inside it."""
    raw = mapping(raw)
    form = mapping(raw.get("format") or mapping(raw.get("custom")).get("format"))
    grammar = form.get("grammar")
    return {"type": "grammar", **grammar} if isinstance(grammar, dict) else form or None


def choice_member(choice: ToolChoice, tools: list[Tool]) -> Any:
    """``tool_choice``; None when a named tool is not among *tools*."""
    known = {tool.name: tool for tool in tools}
    entries = [_entry(known[name]) for name in choice.names if name in known]
    if choice.mode == "none" or not choice.names:
        return choice.mode if choice.mode != "named" else None
    if not entries:
        return None
    if choice.mode == "named":
        return entries[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": entries}


def _entry(tool: Tool) -> dict:
    if tool.kind == "hosted":
        return {"type": string(mapping(tool.raw).get("type"))}
    space = namespace_of(tool)
    if space is None:
        return {"type": tool.kind, "name": tool.name}
    return {"type": tool.kind, "name": own_name(tool), "namespace": string(space.get("name"))}
