"""A Prompt as a ``generateContent`` request."""


from gateway.dialects.gemini import media, proto_json, settings, tools
from gateway.dialects.gemini.contents_writer import ContentsWriter
from gateway.dialects.translation import unsaid
from gateway.dialects.vocabulary import Media, Prompt, Target, ToolResult, Written

FIELDS = settings.FIELDS | {
    "tools": "tools",
    "tool_choice": "toolConfig",
    "store": "store",
    "service_tier": "serviceTier",
}

# What the neutral (OpenAI's, Anthropic's) tiers are here; "auto" is what comes without saying.
_TIERS = {"flex": "flex", "priority": "priority", "default": "standard", "standard_only": "standard",
          "standard": "standard", "auto": None}  # fmt: skip

# A chat client's way to reach what only Google knows: extra_body.google.thinking_config and the
# like, as in Google's own OpenAI-compatible endpoint.
_EXTRA_BODY = {"thinking_config": "generationConfig.thinkingConfig", "image_config": "generationConfig.imageConfig",
               "cached_content": "cachedContent", "safety_settings": "safetySettings"}  # fmt: skip


def write_request(prompt: Prompt, target: Target) -> Written:
    """*prompt* in Gemini's words. The model is in the path, not in the document.

    Traits that are heeded: ``no_call_id`` (older Vertex AI refuses ids on calls), ``no_store``
    (Vertex AI has no ``store``), ``file_url`` (the upstream opens https addresses itself).
    """
    own = prompt.dialect == "gemini"
    writer = ContentsWriter(prompt, target)
    document = writer.write()
    dropped = unsaid(prompt, FIELDS) + writer.dropped
    if prompt.parallel_tool_calls:  # what Gemini does anyway
        dropped.remove("parallel_tool_calls")
    dropped += _write_tools(prompt, document, own)
    config, partly = settings.write(prompt, target.model, own)
    dropped += partly
    if config:
        document["generationConfig"] = config
    dropped += _write_handling(prompt, target, document)
    dropped = _write_rest(prompt, document, dropped) if own else _write_extra_body(prompt, document, dropped)
    return Written(document, list(dict.fromkeys(dropped)))


def _write_tools(prompt: Prompt, document: dict, own: bool) -> list[str]:
    written, dropped = tools.write(prompt.tools, own)
    if written:
        document["tools"] = written
    choice = prompt.tool_choice
    if choice is None:
        return dropped
    if own or any("functionDeclarations" in group for group in written):
        document["toolConfig"] = {"functionCallingConfig": tools.write_choice(choice)}
    elif choice.mode in ("required", "named"):  # without functions the API refuses any choice
        dropped.append("tool_choice")
    return dropped


def _write_handling(prompt: Prompt, target: Target, document: dict) -> list[str]:
    dropped = []
    # Elsewhere ``store: true`` means an answer that can be had again; here it only switches a log on.
    if prompt.store is not None and ("no_store" in target.traits or (prompt.store and prompt.dialect != "gemini")):
        dropped.append("store")
    elif prompt.store is not None:
        document["store"] = prompt.store
    if prompt.service_tier is not None:
        tier = _TIERS.get(prompt.service_tier, "")
        if tier:
            document["serviceTier"] = tier
        elif tier == "":
            dropped.append("service_tier")
    return dropped


def _write_rest(prompt: Prompt, document: dict, dropped: list[str]) -> list[str]:
    said = {path for path, value in prompt.rest.items() if proto_json.put(document, path, value)}
    return [name for name in dropped if name not in said]


def _write_extra_body(prompt: Prompt, document: dict, dropped: list[str]) -> list[str]:
    extra = prompt.rest.get("extra_body")
    google = extra.get("google") if isinstance(extra, dict) else None
    if not isinstance(google, dict):
        return dropped
    unknown = [f"extra_body.{key}" for key in extra if key != "google"]
    for key, value in google.items():
        path = _EXTRA_BODY.get(key)
        if path is None or value is None:
            unknown += [f"extra_body.google.{key}"] if path is None else []
            continue
        if isinstance(value, dict):
            value = {proto_json.camel(name): member for name, member in value.items()}
        proto_json.put(document, path, value)
    return [name for name in dropped if name != "extra_body"] + unknown


def to_fetch(prompt: Prompt, target: Target) -> list[Media]:
    """The media that Gemini must be given as bytes: those at ordinary web addresses."""
    found = []
    for turn in prompt.turns:
        for part in turn.parts:
            inside = part.parts if isinstance(part, ToolResult) else [part]
            found += [one for one in inside if isinstance(one, Media) and media.must_be_fetched(one, target.traits)]
    return found


