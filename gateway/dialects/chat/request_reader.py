"""A client's chat request -> Prompt."""

from collections.abc import Callable
from typing import Any

from gateway.dialects.chat.message_reader import read_messages
from gateway.dialects.chat.schema import DIALECT, FIELDS, IN_TURNS
from gateway.dialects.chat.shapes import Malformed, entries, flag, mapping, named, number, refuse, whole, words
from gateway.dialects.chat.tool_words import read_choice, read_functions, read_tools
from gateway.dialects.vocabulary import OutputFormat, Prompt, ReasoningWish
from gateway.errors import BadRequest

# Members that stand for a conversation kept by the upstream: without it only its tail would be
# answered, so no other dialect may be asked.
_STATEFUL = ("conversation", "thread")

_SIMPLE: dict[str, Callable[[Any, str], Any]] = {
    "temperature": number,
    "top_p": number,
    "top_k": whole,
    "seed": whole,
    "presence_penalty": number,
    "frequency_penalty": number,
    "logit_bias": mapping,
    "logprobs": flag,
    "top_logprobs": whole,
    "n": whole,
    "verbosity": words,
    "user": words,
    "metadata": mapping,
    "store": flag,
    "service_tier": words,
    "cache_key": words,
    "parallel_tool_calls": flag,
}

_KNOWN = {
    "model", "messages", "stream", "stream_options", "max_tokens", "reasoning", "functions", "function_call",
    *(FIELDS.get(name, name) for name in _SIMPLE), *FIELDS.values(),
}  # fmt: skip


def read_request(document: dict, model: str = "", stream: bool = False) -> Prompt:
    """A Prompt from a chat.completions request. Raises BadRequest naming the member."""
    try:
        return _read(document, model, stream)
    except Malformed as error:
        raise BadRequest(str(error), param=error.where) from None


def _read(document: Any, model: str, stream: bool) -> Prompt:
    if not isinstance(document, dict):
        refuse("body", "a JSON object")
    for name in _STATEFUL:
        if document.get(name) is not None:
            raise BadRequest(
                f"{name}: this model's channel keeps no conversations; send all messages instead",
                param=name,
                code="unsupported_parameter",
            )
    prompt = Prompt(DIALECT, named(document.get("model") or model, "model"))
    prompt.turns = read_messages(document)
    for field, read in _SIMPLE.items():
        member = FIELDS.get(field, field)
        setattr(prompt, field, read(document.get(member), member))
    newest, old = (whole(document.get(name), name) for name in ("max_completion_tokens", "max_tokens"))
    prompt.max_tokens = old if newest is None else newest
    prompt.stop = _stop(document.get("stop"))
    prompt.modalities = _strings(document.get("modalities"), "modalities") or None
    prompt.rest = {name: value for name, value in document.items() if name not in _KNOWN and value is not None}
    prompt.rest |= _lost_in_turns(prompt)
    prompt.stream = flag(document.get("stream"), "stream") or stream
    _stream_options(prompt, mapping(document.get("stream_options"), "stream_options") or {})
    _tools(prompt, document)
    prompt.reasoning = _reasoning(prompt, document)
    prompt.output = _output(prompt, mapping(document.get("response_format"), "response_format"))
    return prompt


def _lost_in_turns(prompt: Prompt) -> dict[str, Any]:
    """Members of messages that have no neutral word, named where the other dialects look: the
    values stay in Turn.rest. A cache breakpoint has a word."""
    names = [path.rpartition(".")[2] for turn in prompt.turns for path in turn.rest]
    return {f"{IN_TURNS}{name}": True for name in names if name != "prompt_cache_breakpoint"}


def _stop(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else _strings(value, "stop")


def _strings(value: Any, where: str) -> list[str]:
    return [named(entry, f"{where}[{index}]") for index, entry in enumerate(entries(value, where))]


def _stream_options(prompt: Prompt, options: dict[str, Any]) -> None:
    prompt.include_usage = flag(options.get("include_usage"), "stream_options.include_usage")
    prompt.rest |= {f"stream_options.{name}": options[name] for name in options if name != "include_usage"}


def _tools(prompt: Prompt, document: dict[str, Any]) -> None:
    prompt.tools = read_tools(document.get("tools"))
    choice = document.get("tool_choice")
    if not prompt.tools and document.get("functions") is not None:
        prompt.tools = read_functions(document["functions"])
        # A client of that age understands one call per answer.
        prompt.parallel_tool_calls = False
    if choice is None:
        choice = document.get("function_call")
    prompt.tool_choice = read_choice(choice)
    if choice is not None and prompt.tool_choice is None:  # of a tool that only its vendor knows
        prompt.rest["tool_choice"] = choice


def _reasoning(prompt: Prompt, document: dict[str, Any]) -> ReasoningWish | None:
    """``reasoning_effort`` (OpenAI) or ``reasoning: {effort, max_tokens, enabled, exclude}``."""
    wish = ReasoningWish(effort=words(document.get("reasoning_effort"), "reasoning_effort"))
    asked = mapping(document.get("reasoning"), "reasoning") or {}
    wish.effort = words(asked.get("effort"), "reasoning.effort") or wish.effort
    wish.budget = whole(asked.get("max_tokens"), "reasoning.max_tokens")
    wish.summary = words(asked.get("summary"), "reasoning.summary")
    hidden = flag(asked.get("exclude"), "reasoning.exclude")
    wish.visible = None if hidden is None else not hidden
    enabled = flag(asked.get("enabled"), "reasoning.enabled")
    if enabled is False:
        wish.effort, wish.budget = "none", None
    elif enabled and wish.effort is None and wish.budget is None:
        wish.effort = "medium"  # what OpenRouter takes it for
    known = ("effort", "max_tokens", "summary", "exclude", "enabled")
    prompt.rest |= {f"reasoning.{name}": asked[name] for name in asked if name not in known}
    return None if wish == ReasoningWish() else wish


def _output(prompt: Prompt, form: dict[str, Any] | None) -> OutputFormat | None:
    if form is None:
        return None
    kind = named(form.get("type"), "response_format.type")
    if kind in ("text", "json_object"):
        return OutputFormat(kind)
    if kind != "json_schema":
        prompt.rest["response_format"] = form
        return None
    where = "response_format.json_schema"
    schema = mapping(form.get("json_schema"), where) or {}
    return OutputFormat(
        kind,
        schema=mapping(schema.get("schema"), f"{where}.schema"),
        name=words(schema.get("name"), f"{where}.name"),
        description=words(schema.get("description"), f"{where}.description"),
        strict=flag(schema.get("strict"), f"{where}.strict"),
    )
