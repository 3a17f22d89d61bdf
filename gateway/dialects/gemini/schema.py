"""JSON Schema and Gemini's two ways to say it.

``parameters`` and ``responseSchema`` take a subset of OpenAPI 3.0 with UPPERCASE types;
``parametersJsonSchema`` and ``responseJsonSchema`` take JSON Schema itself, ``$ref`` and
``additionalProperties`` included. The gateway reads both and writes the second, so that nothing
has to be stripped.
"""

from typing import Any

_DEEPEST = 100  # deeper than any real schema, and far from the interpreter's own limit
_OF_ONE = ("items", "additionalProperties", "not")
_OF_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_OF_NAMED = ("properties", "$defs", "defs", "definitions", "patternProperties")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_OLD_POINTER, _NEW_POINTER = "#/definitions/", "#/$defs/"


def from_openapi(schema: Any) -> Any:
    """Gemini's OpenAPI subset as JSON Schema: types in lower case, ``nullable`` as a type,
    ``example`` as ``examples``, counts (int64, which proto JSON writes as text) as numbers."""
    return _each(schema, _from_openapi_node)


def _from_openapi_node(node: dict) -> dict:
    schema = dict(node)
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = kind.lower()
        if kind == "TYPE_UNSPECIFIED":
            del schema["type"]
    for count in _COUNTS:
        value = schema.get(count)
        if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 20:
            schema[count] = int(value)
    if "example" in schema:
        schema["examples"] = [schema.pop("example")]
    if schema.pop("nullable", None) is True:
        schema = _or_null(schema)
    return schema


def _or_null(schema: dict) -> dict:
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        values = schema.get("enum")
        if isinstance(values, list) and None not in values:
            schema["enum"] = [*values, None]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema


def for_gemini(schema: Any) -> Any:
    """The same schema in the keywords that Gemini's JSON Schema reader knows.

    Only rewritings that mean the same: a ``$ref`` with neighbours (refused by the API) becomes an
    ``anyOf`` of one, so does ``allOf`` of one; ``const`` becomes an ``enum`` of one; a root's
    ``definitions`` become ``$defs``.
    """
    if isinstance(schema, dict) and isinstance(schema.get("definitions"), dict) and "$defs" not in schema:
        schema = {("$defs" if key == "definitions" else key): value for key, value in schema.items()}
    return _each(schema, _for_gemini_node)


def _for_gemini_node(node: dict) -> dict:
    schema = dict(node)
    pointer = schema.get("$ref")
    if isinstance(pointer, str) and pointer.startswith(_OLD_POINTER):
        schema["$ref"] = pointer = _NEW_POINTER + pointer[len(_OLD_POINTER) :]
    if "const" in schema and "enum" not in schema and isinstance(schema["const"], str | int):
        schema["enum"] = [schema.pop("const")]
    whole = schema.get("allOf")
    if isinstance(whole, list) and len(whole) == 1 and "anyOf" not in schema:
        schema["anyOf"] = schema.pop("allOf")
    if isinstance(pointer, str) and "anyOf" not in schema and any(not key.startswith("$") for key in schema):
        del schema["$ref"]
        schema["anyOf"] = [{"$ref": pointer}]
    return schema


def _each(schema: Any, change: Any, depth: int = 0) -> Any:
    """*change* on every sub-schema, the innermost first; never inside enum, default or examples."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema
    done = dict(schema)
    for key in _OF_ONE:
        if key in done:
            done[key] = _each(done[key], change, depth + 1)
    for key in _OF_LIST:
        if isinstance(done.get(key), list):
            done[key] = [_each(member, change, depth + 1) for member in done[key]]
    for key in _OF_NAMED:
        if isinstance(done.get(key), dict):
            done[key] = {name: _each(member, change, depth + 1) for name, member in done[key].items()}
    return change(done)


def has_properties(schema: Any) -> bool:
    """Whether a function of these parameters takes any: Gemini wants ``parameters`` left out
    otherwise. A schema that is more than an empty object (``$ref``, ``anyOf``, ...) counts."""
    if not isinstance(schema, dict) or not schema:
        return False
    quiet = {"type", "properties", "required", "additionalProperties", "$schema", "title", "description"}
    if schema.get("additionalProperties", False) is not False:
        return True
    return bool(schema.get("properties")) or any(key not in quiet for key in schema)
