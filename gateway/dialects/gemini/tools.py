"""Tools and the choice among them: ``tools`` and ``toolConfig``."""

from typing import Any

from gateway.dialects.gemini import proto_json, schema
from gateway.dialects.vocabulary import Tool, ToolChoice

_DECLARATION = ("name", "description", "parameters", "parametersJsonSchema")
_CALLING = ("mode", "allowedFunctionNames")

# A client whose dialect has no word for Gemini's own tools names one as a function that takes
# nothing and says nothing; a real function has a description or parameters.
_BY_NAME = frozenset(("googleSearch", "codeExecution", "urlContext"))

_MODES = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}


# --- reading -----------------------------------------------------------------------------------


def read(value: Any, rest: dict[str, Any]) -> list[Tool]:
    """``tools``: function declarations, and one hosted Tool per member beside them."""
    tools: list[Tool] = []
    for number, group in enumerate(proto_json.items(value, "tools")):
        where = f"tools[{number}]"
        if not isinstance(group, dict):
            raise proto_json.Malformed(where, "an object")
        for spelled, member in group.items():
            name = proto_json.camel(spelled)
            if name == "functionDeclarations":
                inside = f"{where}.functionDeclarations"
                for place, declaration in enumerate(proto_json.items(member, inside)):
                    tools.append(_read_declaration(declaration, f"{inside}[{place}]", rest))
            elif member is not None:
                tools.append(Tool(name, kind="hosted", dialect="gemini", raw={name: member}))
    return tools


def _read_declaration(value: Any, where: str, rest: dict[str, Any]) -> Tool:
    found, left = proto_json.split(value, _DECLARATION, where)
    tool = Tool(proto_json.name(found.get("name"), f"{where}.name"), dialect="gemini", raw=value)
    if "description" in found:
        tool.description = proto_json.text(found["description"], f"{where}.description")
    for key in ("parameters", "parametersJsonSchema"):
        if key in found:
            if not isinstance(found[key], dict):
                raise proto_json.Malformed(f"{where}.{key}", "an object")
            tool.parameters = schema.from_openapi(found[key]) if key == "parameters" else found[key]
    for key, member in left.items():
        rest[f"{where}.{key}"] = member
    return tool


def read_choice(value: Any, rest: dict[str, Any]) -> ToolChoice | None:
    """``toolConfig``; what is not about choosing goes to *rest*."""
    found, left = proto_json.split(value, ("functionCallingConfig",), "toolConfig")
    for key, member in left.items():
        rest[f"toolConfig.{key}"] = member
    if "functionCallingConfig" not in found:
        return None
    where = "toolConfig.functionCallingConfig"
    calling, left = proto_json.split(found["functionCallingConfig"], _CALLING, where)
    for key, member in left.items():
        rest[f"{where}.{key}"] = member
    names = proto_json.texts(calling.get("allowedFunctionNames"), f"{where}.allowedFunctionNames")
    word = proto_json.text(calling.get("mode", "AUTO" if names else ""), f"{where}.mode").upper()
    if word not in _MODES:
        if word not in ("", "MODE_UNSPECIFIED"):
            raise proto_json.Malformed(f"{where}.mode", "AUTO, ANY, NONE or VALIDATED")
        return None
    if word == "VALIDATED" and not names:
        rest[f"{where}.mode"] = "VALIDATED"
    mode = "named" if word == "ANY" and len(names) == 1 else _MODES[word]
    return ToolChoice(mode, names)


# --- writing -----------------------------------------------------------------------------------


def write(tools: list[Tool], own: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """``tools`` and the names of what could not be said. All functions share one element, as the
    API wants them; those of a Gemini client (*own*) stay where they stood."""
    groups: list[dict[str, Any]] = []
    dropped: list[str] = []
    functions: list[dict[str, Any]] | None = None
    for tool in tools:
        hosted = _hosted(tool)
        if hosted is not None:
            groups.append(hosted)
            functions = None if own else functions
        elif tool.kind != "function":
            dropped.append(f"tools.{tool.name}")
        else:
            if functions is None:
                functions = []
                groups.append({"functionDeclarations": functions})
            functions.append(tool.raw if own and tool.raw else _declaration(tool))
            dropped += ["tools.strict"] if tool.strict else []
        dropped += ["part.cache"] if tool.cache is not None else []
    return groups, dropped


def _hosted(tool: Tool) -> dict[str, Any] | None:
    if tool.kind == "hosted":
        return dict(tool.raw) if tool.dialect == "gemini" and isinstance(tool.raw, dict) else None
    silent = not tool.description and not schema.has_properties(tool.parameters)
    if tool.name in _BY_NAME and tool.dialect != "gemini" and tool.kind == "function" and silent:
        return {tool.name: {}}
    return None


def _declaration(tool: Tool) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": tool.name}
    if tool.description:
        declaration["description"] = tool.description
    if schema.has_properties(tool.parameters):
        declaration["parametersJsonSchema"] = schema.for_gemini(tool.parameters)
    return declaration


def write_choice(choice: ToolChoice) -> dict[str, Any]:
    """``functionCallingConfig``. Only ANY and VALIDATED may name functions: VALIDATED is AUTO
    that keeps to them."""
    names = list(choice.names)
    mode = {"auto": "VALIDATED" if names else "AUTO", "none": "NONE"}.get(choice.mode, "ANY")
    if mode == "NONE" or not names:
        return {"mode": mode}
    return {"mode": mode, "allowedFunctionNames": names}
