"""A Prompt as a POST /v1/responses document for an upstream."""

from typing import Any

from gateway.dialects.responses.item_writer import ItemWriter
from gateway.dialects.responses.request_reader import INSTRUCTIONS
from gateway.dialects.responses.schema import (
    DIALECT,
    ENCRYPTED_REASONING,
    FIELDS,
    FOREIGN_TIERS,
    SERVICE_TIERS,
    TEXT_LOGPROBS,
    listing,
    mapping,
)
from gateway.dialects.responses.tool_writer import can_say, choice_member, write_tools
from gateway.dialects.strictness import output_for_openai
from gateway.dialects.translation import unsaid
from gateway.dialects.vocabulary import (
    Media,
    OutputFormat,
    Prompt,
    ReasoningWish,
    Target,
    Text,
    ToolResult,
    Turn,
    Written,
)

# Fields without a member whose value asks for nothing: no loss.
_NOTHING_ASKED = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0, "modalities": ["text"]}
_AS_THEY_STAND = ("parallel_tool_calls", "max_tokens", "temperature", "top_p", "top_logprobs", "metadata", "store")
# Keys of ``rest`` that only name what Turn.rest and Tool.raw hold.
_NAMES_ONLY = ("input", "tools")
_PREVIOUS = "previous_response_id"  # octen's chat clients know it too
_OPEN_RESPONSES = ("presence_penalty", "frequency_penalty")
_LONGEST_NAME = 64  # of user and prompt_cache_key; Claude Code's user ids are longer and would be refused
# Thinking budgets up to so many tokens -> effort; larger ones are ``high``.
_EFFORTS = ((0, "none"), (4095, "low"), (16383, "medium"))
# Trait of a target that cannot load a kind of media by URL.
_NO_URL = {"no_image_url": "image", "no_file_url": "file"}


def write_request(prompt: Prompt, target: Target) -> Written:
    """The document for *target*. ``dropped`` names what it could not say."""
    own = prompt.dialect == DIALECT
    dropped = [name for name in unsaid(prompt, FIELDS) if not _harmless(prompt, name)]
    items = ItemWriter(prompt, target)
    instructions, turns = _instructions(prompt, own)
    document: dict[str, Any] = {"model": target.model}
    if instructions is not None:
        document["instructions"] = instructions
    document["input"] = items.write(turns)
    dropped += items.dropped
    for field in _AS_THEY_STAND:
        if getattr(prompt, field) is not None:
            document[FIELDS[field]] = getattr(prompt, field)
    if prompt.store is None and not own:
        document["store"] = False  # here it would be the default, and nobody asked to be kept
    _write_tools(prompt, document, dropped)
    _write_texts(prompt, document, dropped)
    reasoning = _reasoning(prompt.reasoning)
    if reasoning:
        document["reasoning"] = reasoning
    text = _text(prompt, dropped)
    if text:
        document["text"] = text
    include = _include(prompt, document, items.proofs)
    if include:
        document["include"] = include
    if prompt.stream:
        document["stream"] = True
    if own:
        dropped = _write_rest(prompt, document, dropped)
    elif _PREVIOUS in dropped:
        document[_PREVIOUS] = prompt.rest[_PREVIOUS]
        dropped.remove(_PREVIOUS)
    return Written(document, list(dict.fromkeys(dropped)))


def to_fetch(prompt: Prompt, target: Target) -> list[Media]:
    """The images and files given by URL that *target* must be sent as bytes: none, as the protocol
    takes URLs, unless a trait says that this upstream does not."""
    kinds = {kind for trait, kind in _NO_URL.items() if trait in target.traits}
    found = []
    for turn in prompt.turns:
        for part in turn.parts:
            for media in part.parts if isinstance(part, ToolResult) else [part]:
                if isinstance(media, Media) and media.kind in kinds and media.url and not media.data:
                    found.append(media)
    return found


def _harmless(prompt: Prompt, name: str) -> bool:
    return name in _NOTHING_ASKED and getattr(prompt, name) == _NOTHING_ASKED[name]


def _instructions(prompt: Prompt, own: bool) -> tuple[str | None, list[Turn]]:
    """The first turn as ``instructions`` where it is one plain text of the system, and the others.
    Every further one stays an item where it stands: its place is part of what it says."""
    first = prompt.turns[0] if prompt.turns else None
    if first is None or first.role != "system" or (own and first.id != INSTRUCTIONS) or first.name:
        return None, prompt.turns
    if len(first.parts) != 1 or not isinstance(first.parts[0], Text) or first.parts[0].cache is not None:
        return None, prompt.turns
    return first.parts[0].text or None, prompt.turns[1:]


def _write_texts(prompt: Prompt, document: dict, dropped: list[str]) -> None:
    """The members with limits of their own."""
    for field in ("user", "cache_key"):
        value = getattr(prompt, field)
        if value is None:
            continue
        if len(value) <= _LONGEST_NAME or prompt.dialect == DIALECT:
            document[FIELDS[field]] = value
        else:
            dropped.append(field)
    tier = prompt.service_tier
    if tier is None:
        return
    if tier in SERVICE_TIERS or prompt.dialect == DIALECT:
        document["service_tier"] = tier
    elif tier in FOREIGN_TIERS:
        document["service_tier"] = FOREIGN_TIERS[tier]
    else:
        dropped.append("service_tier")


def _reasoning(wish: ReasoningWish | None) -> dict[str, Any]:
    if wish is None:
        return {}
    reasoning = {}
    effort = wish.effort or _effort(wish.budget)
    if effort:
        reasoning["effort"] = effort
    summary = wish.summary if wish.summary != "none" else None
    # Whoever sets a budget sees the thinking, unless told otherwise; here it must be asked for.
    thinks = wish.adaptive or wish.budget not in (None, 0)
    if summary is None and wish.summary is None and (wish.visible or (wish.visible is None and thinks)):
        summary = "auto"
    if summary:
        reasoning["summary"] = summary
    return reasoning


def _effort(budget: int | None) -> str | None:
    if budget is None or budget < 0:  # -1: the model decides, which is the default
        return None
    for most, effort in _EFFORTS:
        if budget <= most:
            return effort
    return "high"


def _text(prompt: Prompt, dropped: list[str]) -> dict[str, Any]:
    text: dict[str, Any] = {}
    output = output_for_openai(prompt, dropped)
    if output is not None:
        text["format"] = format_member(output)
    if prompt.verbosity is not None:
        text["verbosity"] = prompt.verbosity
    return text


def format_member(output: OutputFormat) -> dict[str, Any]:
    """``text.format``; a schema must have a name here."""
    if output.kind != "json_schema":
        return {"type": output.kind}
    form = {"type": "json_schema", "name": output.name or "response", "schema": output.schema or {}}
    if output.description is not None:
        form["description"] = output.description
    if output.strict is not None:
        form["strict"] = output.strict
    return form


def _include(prompt: Prompt, document: dict, proofs: bool) -> list[str]:
    """Encrypted thinking is asked for when the conversation has some, or when thinking is wished
    for and the upstream keeps none. Not whenever ``store`` is false: models that do not think
    refuse the call then ("Encrypted content is not supported with this model")."""
    effort = mapping(document.get("reasoning")).get("effort")
    thinks = "reasoning" in document and effort != "none"
    include = [ENCRYPTED_REASONING] if proofs or (thinks and document.get("store") is False) else []
    if prompt.logprobs:
        include.append(TEXT_LOGPROBS)
    return include


def _write_tools(prompt: Prompt, document: dict, dropped: list[str]) -> None:
    sayable = [tool for tool in prompt.tools if can_say(tool)]
    tools = write_tools(sayable, prompt.dialect == DIALECT)
    dropped += [f"tools.{tool.name}" for tool in prompt.tools if tool not in sayable]
    if any(tool.cache is not None for tool in sayable):
        dropped.append("part.cache")
    if tools:
        document["tools"] = tools
    if prompt.tool_choice is None:
        return
    choice = choice_member(prompt.tool_choice, sayable)
    if choice is None or (not tools and choice not in ("auto", "none")):
        dropped.append("tool_choice")
    else:
        document["tool_choice"] = choice


def _write_rest(prompt: Prompt, document: dict, dropped: list[str]) -> list[str]:
    """The members of this dialect alone, back where they were."""
    for path, value in prompt.rest.items():
        outer, _, inner = path.partition(".")
        if path == "include":
            document["include"] = document.get("include", []) + listing(value)
        elif path == "tool_choice.tools":
            choice = mapping(document.get("tool_choice"))
            choice["tools"] = listing(choice.get("tools")) + listing(value)
        elif inner and outer not in _NAMES_ONLY:
            document.setdefault(outer, {})[inner] = value
        elif not inner:
            document[outer] = value
    for name in _OPEN_RESPONSES:
        if getattr(prompt, name) is not None:
            document[name] = getattr(prompt, name)
    return [name for name in dropped if name not in prompt.rest and name not in _OPEN_RESPONSES]
