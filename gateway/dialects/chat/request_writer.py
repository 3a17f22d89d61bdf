"""Prompt -> a chat.completions request."""

from typing import Any

from gateway.dialects.chat.message_writer import MessageWriter
from gateway.dialects.chat.saying import Saying
from gateway.dialects.chat.schema import DIALECT, EFFORTS, FIELDS, IN_TURNS, PLAIN, SERVICE_TIERS
from gateway.dialects.chat.tool_words import write_choice, write_tools
from gateway.dialects.strictness import output_for_openai
from gateway.dialects.translation import unsaid
from gateway.dialects.vocabulary import Media, OutputFormat, Part, Prompt, ReasoningWish, Target, ToolResult, Written

# Objects of the document whose unknown members are kept in ``rest`` by path.
_NESTED = ("stream_options", "reasoning")


def write_request(prompt: Prompt, target: Target) -> Written:
    """The request for *target*; see schema.TRAITS for what its traits change."""
    saying = Saying(prompt, target.traits)
    fields = FIELDS | ({"top_k": "top_k"} if saying.allows("top_k") else {})
    saying.dropped += [name for name in unsaid(prompt, fields) if not (saying.own and name in prompt.rest)]
    document: dict[str, Any] = {"model": target.model, "messages": MessageWriter(saying).write()}
    _sampling(saying, document)
    _tools(saying, document)
    _reasoning(saying, document)
    output = output_for_openai(prompt, saying.dropped)
    if output is not None:
        document["response_format"] = _output(output)
    _stream(saying, document)
    if saying.own:
        _rest(prompt.rest, document)
    return Written(document, list(dict.fromkeys(saying.dropped)))


def _sampling(saying: Saying, document: dict[str, Any]) -> None:
    prompt = saying.prompt
    for field in PLAIN:
        value = getattr(prompt, field)
        if value not in (None, [], {}):
            document[FIELDS[field]] = value
    if prompt.top_k is not None and saying.allows("top_k"):
        document["top_k"] = prompt.top_k
    if prompt.top_logprobs and prompt.logprobs is None:
        document["logprobs"] = True  # OpenAI refuses top_logprobs without it
    if prompt.max_tokens is not None:
        member = "max_tokens" if "max_tokens" in saying.traits else FIELDS["max_tokens"]
        document[member] = prompt.max_tokens
    if prompt.stop:
        document["stop"] = prompt.stop
    if prompt.service_tier is not None:
        if saying.own or prompt.service_tier in SERVICE_TIERS:
            document["service_tier"] = prompt.service_tier
        else:
            saying.dropped.append("service_tier")
    # Elsewhere ``store`` means a conversation that can be continued; chat keeps only a log, and
    # keeps none unless asked to.
    if saying.own and prompt.store is not None:
        document["store"] = prompt.store
    elif prompt.store:
        saying.dropped.append("store")


def _tools(saying: Saying, document: dict[str, Any]) -> None:
    prompt = saying.prompt
    tools = write_tools(prompt, saying.traits, saying.dropped)
    choice = write_choice(prompt.tool_choice, tools, saying.traits)
    if tools:
        document["tools"] = tools
    if choice is None and prompt.tool_choice is not None:
        saying.dropped.append("tool_choice")
    if not tools and not saying.own:  # OpenAI refuses both members without tools
        if choice not in (None, "auto", "none"):
            saying.dropped.append("tool_choice")
        return
    if choice is not None:
        document["tool_choice"] = choice
    if prompt.parallel_tool_calls is not None:
        document["parallel_tool_calls"] = prompt.parallel_tool_calls


def _reasoning(saying: Saying, document: dict[str, Any]) -> None:
    wish = saying.prompt.reasoning
    if wish is None:
        return
    nested = any(name.startswith("reasoning.") for name in saying.prompt.rest)
    only_effort = wish.budget is None and wish.visible is None and wish.summary is None and not nested
    if "reasoning" in saying.traits or (saying.own and not only_effort):
        document["reasoning"] = _reasoning_object(wish)
        return
    effort = wish.effort or _effort(wish.budget)
    if effort is not None:
        document["reasoning_effort"] = effort


def _reasoning_object(wish: ReasoningWish) -> dict[str, Any]:
    """OpenRouter's ``reasoning``: an effort or a budget, never both."""
    written: dict[str, Any] = {}
    if wish.effort == "none" or (wish.effort is None and wish.budget == 0):
        written["enabled"] = False
    elif wish.budget is not None and wish.budget > 0:
        written["max_tokens"] = wish.budget
    elif wish.effort is not None:
        written["effort"] = wish.effort
    elif wish.visible is None and wish.summary is None:
        written["enabled"] = True
    if wish.summary is not None:
        written["summary"] = wish.summary
    if wish.visible is not None:
        written["exclude"] = not wish.visible
    return written


def _effort(budget: int | None) -> str | None:
    if budget is None or budget < 0:  # -1: the model decides, as it does when nothing is said
        return None
    return next((effort for limit, effort in EFFORTS if budget <= limit), "high")


def _output(output: OutputFormat) -> dict[str, Any]:
    if output.kind != "json_schema":
        return {"type": output.kind}
    told: dict[str, Any] = {"name": output.name or "output"}
    for name in ("description", "schema", "strict"):
        value = getattr(output, name)
        if value is not None:
            told[name] = value
    return {"type": "json_schema", "json_schema": told}


def _stream(saying: Saying, document: dict[str, Any]) -> None:
    prompt = saying.prompt
    if prompt.stream:
        document["stream"] = True
    if saying.own:
        if prompt.include_usage is not None:
            document["stream_options"] = {"include_usage": prompt.include_usage}
    elif prompt.stream and "no_stream_options" not in saying.traits:
        document["stream_options"] = {"include_usage": True}  # the other dialects always tell it


def _rest(rest: dict[str, Any], document: dict[str, Any]) -> None:
    for path, value in rest.items():
        parent, _, name = path.partition(".")
        if path.startswith(IN_TURNS):
            continue  # written with its message
        if name and parent in _NESTED:
            document.setdefault(parent, {})[name] = value
        else:
            document[path] = value


def to_fetch(prompt: Prompt, target: Target) -> list[Media]:
    """Media given by URL that chat can only say as bytes: audio, files, and images for a vendor
    that does not fetch them."""
    if prompt.dialect == DIALECT:
        return []
    needed = {"audio"}
    if "file_url" not in target.traits:
        needed.add("file")
    if "no_image_url" in target.traits:
        needed.add("image")
    return [
        media
        for turn in prompt.turns
        if turn.role != "assistant"  # what an assistant drew cannot be said anyway
        for media in _media(turn.parts)
        if media.kind in needed and not media.data and media.text is None and _is_web(media.url)
    ]


def _media(parts: list[Part]) -> list[Media]:
    found = []
    for part in parts:
        if isinstance(part, Media):
            found.append(part)
        elif isinstance(part, ToolResult):
            found += _media(part.parts)
    return found


def _is_web(url: str | None) -> bool:
    return url is not None and url.lower().startswith(("http://", "https://"))
