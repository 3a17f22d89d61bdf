"""Output formats: ``output_config.format`` (once ``output_format``) both ways.

Anthropic takes a JSON Schema only, closed at every object, and without the constraints that its
grammar cannot enforce (platform.claude.com/docs/en/build-with-claude/structured-outputs).
"""

from typing import Any

from gateway.dialects.messages.generations import Abilities
from gateway.dialects.messages.shape import mapping
from gateway.dialects.vocabulary import OutputFormat, Prompt

_FORMAT = "output_config.format"

# Constraints that are refused in a schema; minItems only above 1.
_REFUSED = {
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties", "patternProperties",
    "propertyNames", "contains", "not", "if", "then", "else", "dependentRequired", "dependentSchemas",
}  # fmt: skip
_DEFINITIONS = ("$defs", "definitions")
_SCHEMA_MAPS = ("properties", *_DEFINITIONS)
_SCHEMA_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_DEEPEST = 200


def read_format(prompt: Prompt, value: Any, name: str = _FORMAT) -> None:
    """A ``format`` object, which the model is always held to; one of an unknown type is kept as it is."""
    kind = mapping(value, name).get("type")
    if kind == "json_schema":
        prompt.output = OutputFormat("json_schema", mapping(value.get("schema"), f"{name}.schema"), strict=True)
    else:
        prompt.rest[name] = value


def write_format(output: OutputFormat | None, native: bool, able: Abilities, dropped: list[str]) -> dict | None:
    """``output_config.format``. There is no JSON mode without a schema, so ``json_object`` is
    dropped, and so is a recursive one; a schema loses what would be refused, and ``output`` is then
    named as dropped too."""
    if output is None or output.kind == "text":
        return None
    if output.kind != "json_schema" or output.schema is None or not (native or able.schemas):
        dropped.append("output")
        return None
    if native:
        return {"type": "json_schema", "schema": output.schema}
    schema, lost = fit_schema(output.schema)
    if is_recursive(schema):
        dropped.append("output")
        return None
    if output.description and "description" not in schema:
        schema["description"] = output.description
    if lost:
        dropped.append("output")
    return {"type": "json_schema", "schema": schema}


def fit_schema(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """*schema* as the API takes it, and whether a constraint was lost on the way. Closing an open
    object loses nothing: what fits the closed one fits the open one."""
    return _fit(schema, 0)


def is_recursive(schema: dict[str, Any]) -> bool:
    """Whether a ``$ref`` in *schema* leads back to where it stands: the API refuses such schemas."""
    leads = {"#": _pointers({name: value for name, value in schema.items() if name not in _DEFINITIONS})}
    for home in _DEFINITIONS:
        named = schema.get(home) if isinstance(schema.get(home), dict) else {}
        leads |= {f"#/{home}/{name}": _pointers(value) for name, value in named.items()}
    return any(_leads_back(start, leads) for start in leads)


def _leads_back(start: str, leads: dict[str, set[str]]) -> bool:
    seen: set[str] = set()
    ahead = leads[start]
    while ahead:
        seen |= ahead
        ahead = set().union(*(leads.get(pointer, set()) for pointer in ahead)) - seen
    return start in seen


def _pointers(schema: Any, depth: int = 0) -> set[str]:
    """Every ``$ref`` in *schema*."""
    if depth > _DEEPEST or not isinstance(schema, dict | list):
        return set()
    members = list(schema.values()) if isinstance(schema, dict) else schema
    found = set().union(*(_pointers(member, depth + 1) for member in members))
    pointer = schema.get("$ref") if isinstance(schema, dict) else None
    return found | ({pointer} if isinstance(pointer, str) else set())


def _fit(schema: Any, depth: int) -> tuple[Any, bool]:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema, False
    fitted: dict[str, Any] = {}
    lost = False
    for name, value in schema.items():
        if name in _REFUSED or (name == "minItems" and value not in (0, 1)):
            lost = True
            continue
        fitted["anyOf" if name == "oneOf" and "anyOf" not in schema else name], inner = _fit_member(name, value, depth)
        lost = lost or inner
    if fitted.get("type") == "object" or "properties" in fitted:
        if fitted.get("additionalProperties") not in (None, False):
            lost = True
        fitted["additionalProperties"] = False
    return fitted, lost


def _fit_member(name: str, value: Any, depth: int) -> tuple[Any, bool]:
    if name in _SCHEMA_MAPS and isinstance(value, dict):
        pairs = {key: _fit(inner, depth + 1) for key, inner in value.items()}
        return {key: pair[0] for key, pair in pairs.items()}, any(pair[1] for pair in pairs.values())
    if name in _SCHEMA_LISTS and isinstance(value, list):
        fitted = [_fit(inner, depth + 1) for inner in value]
        return [pair[0] for pair in fitted], any(pair[1] for pair in fitted)
    if name == "items":
        return _fit(value, depth + 1)
    return value, False
