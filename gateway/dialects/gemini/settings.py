"""``generationConfig``: sampling, limits and the form of the answer."""

from typing import Any

from gateway.dialects.gemini import proto_json, schema, thinking
from gateway.dialects.vocabulary import OutputFormat, Prompt

_MOST_STOPS = 5


def _lower(value: Any, where: str) -> list[str]:
    return [word.lower() for word in proto_json.texts(value, where)]


# Member -> Prompt field and how it is read.
_PLAIN = {
    "temperature": ("temperature", proto_json.number),
    "topP": ("top_p", proto_json.number),
    "topK": ("top_k", proto_json.integer),
    "maxOutputTokens": ("max_tokens", proto_json.integer),
    "stopSequences": ("stop", proto_json.texts),
    "candidateCount": ("n", proto_json.integer),
    "seed": ("seed", proto_json.integer),
    "presencePenalty": ("presence_penalty", proto_json.number),
    "frequencyPenalty": ("frequency_penalty", proto_json.number),
    "responseLogprobs": ("logprobs", proto_json.boolean),
    "logprobs": ("top_logprobs", proto_json.integer),
    "responseModalities": ("modalities", _lower),
}
_FORM = ("responseMimeType", "responseSchema", "responseJsonSchema")
_KNOWN = frozenset((*_PLAIN, *_FORM, "thinkingConfig"))

FIELDS = {field: f"generationConfig.{member}" for member, (field, _) in _PLAIN.items()} | {
    "reasoning": "generationConfig.thinkingConfig",
    "output": "generationConfig.responseMimeType",
}


def read(value: Any, prompt: Prompt) -> None:
    """``generationConfig`` into *prompt*; members without a word go to its ``rest``."""
    where = "generationConfig"
    found, left = proto_json.split(value, _KNOWN, where)
    for key, member in left.items():
        prompt.rest[f"{where}.{key}"] = member
    for member, (field, read_value) in _PLAIN.items():
        if member in found:
            setattr(prompt, field, read_value(found[member], f"{where}.{member}"))
    if "thinkingConfig" in found:
        prompt.reasoning = thinking.read(found["thinkingConfig"], f"{where}.thinkingConfig", prompt.rest)
    prompt.output = _read_form(found, where, prompt.rest)


def _read_form(found: dict, where: str, rest: dict[str, Any]) -> OutputFormat | None:
    media_type = proto_json.text(found.get("responseMimeType", ""), f"{where}.responseMimeType")
    form = next((key for key in ("responseJsonSchema", "responseSchema") if key in found), None)
    if media_type not in ("", "application/json", "text/plain"):
        # Enum values as bare text, say: JSON would be another answer.
        rest |= {f"{where}.{key}": found[key] for key in _FORM if key in found}
        return None
    if form is None:
        kinds = {"application/json": "json_object", "text/plain": "text"}
        return OutputFormat(kinds[media_type]) if media_type else None
    if not isinstance(found[form], dict):
        raise proto_json.Malformed(f"{where}.{form}", "an object")
    wanted = found[form] if form == "responseJsonSchema" else schema.from_openapi(found[form])
    return OutputFormat("json_schema", schema=wanted)


def write(prompt: Prompt, model: str, own: bool) -> tuple[dict[str, Any], list[str]]:
    """``generationConfig`` and the Prompt fields that it says only in part."""
    config: dict[str, Any] = {}
    dropped: list[str] = []
    for member, (field, _) in _PLAIN.items():
        value = getattr(prompt, field)
        if value is not None and value != []:
            config[member] = value
    if prompt.modalities:
        config["responseModalities"] = [word.upper() for word in prompt.modalities]
    if len(prompt.stop) > _MOST_STOPS and not own:
        config["stopSequences"] = prompt.stop[:_MOST_STOPS]
        dropped.append("stop")
    if prompt.top_logprobs and prompt.logprobs is None and not own:
        config["responseLogprobs"] = True
    if prompt.reasoning is not None:
        wish = prompt.reasoning
        thoughts, exact = (thinking.write_own(wish), True) if own else thinking.write(wish, model)
        dropped += [] if exact else ["reasoning"]
        if thoughts:
            config["thinkingConfig"] = thoughts
    if prompt.output is not None:
        config |= _write_form(prompt.output, own)
    return config, dropped


def _write_form(output: OutputFormat, own: bool) -> dict[str, Any]:
    if output.kind == "text":
        return {"responseMimeType": "text/plain"} if own else {}
    if output.kind != "json_schema" or output.schema is None:
        return {"responseMimeType": "application/json"}
    wanted = output.schema if own else schema.for_gemini(output.schema)
    if output.description and isinstance(wanted, dict) and "description" not in wanted and "$ref" not in wanted:
        wanted = {"description": output.description, **wanted}
    return {"responseMimeType": "application/json", "responseJsonSchema": wanted}
