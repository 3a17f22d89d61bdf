"""Which JSON Schemas OpenAI's dialects hold a model to (``strict: true``).

Anthropic holds to every schema it takes; OpenAI only to one whose objects are closed and name all
their members as required (platform.openai.com/docs/guides/structured-outputs), and refuses any other.
"""

from dataclasses import replace
from typing import Any

from gateway.dialects.vocabulary import OutputFormat, Prompt

_OPENAIS = ("chat", "responses")  # whose clients say ``strict`` by the same rules
_REFUSED = frozenset("allOf oneOf not if then else dependentRequired dependentSchemas patternProperties".split())
_DEEPEST = 200


def output_for_openai(prompt: Prompt, dropped: list[str]) -> OutputFormat | None:
    """The prompt's output format for a dialect of OpenAI's. Where the schema cannot be held to, it is a hint
    only, and ``output`` is named in *dropped*."""
    output = prompt.output
    if output is None or not output.strict or prompt.dialect in _OPENAIS or _is_whole(output.schema):
        return output
    dropped.append("output")
    return replace(output, strict=None)


def _is_whole(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "object" and "anyOf" not in schema and _holds(schema, 0)


def _holds(schema: Any, depth: int) -> bool:
    if not isinstance(schema, dict):
        return True
    if depth > _DEEPEST or not _REFUSED.isdisjoint(schema):
        return False
    members = schema.get("properties") if isinstance(schema.get("properties"), dict) else {}
    if members or schema.get("type") == "object":
        required = schema.get("required") if isinstance(schema.get("required"), list) else []
        if schema.get("additionalProperties") is not False or not members.keys() <= set(map(str, required)):
            return False
    inner = [*members.values(), schema.get("items")]
    for name in ("$defs", "definitions"):
        inner += schema[name].values() if isinstance(schema.get(name), dict) else ()
    inner += schema["anyOf"] if isinstance(schema.get("anyOf"), list) else ()
    return all(_holds(one, depth + 1) for one in inner)
