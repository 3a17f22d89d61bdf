"""A Prompt as a Messages request. Pure; never raises."""

from typing import Any

from gateway.dialects.messages import media
from gateway.dialects.messages.conversation import Conversation, lacks_thinking, write_own_turns, write_turns
from gateway.dialects.messages.generations import Abilities, abilities
from gateway.dialects.messages.output import write_format
from gateway.dialects.messages.part_writer import PartWriter, shorthand
from gateway.dialects.messages.schema import DIALECT, FIELDS, SAID_BY_SILENCE, TIERS_TO_ASK
from gateway.dialects.messages.thinking import Plan, plan_thinking, write_sampling
from gateway.dialects.messages.tools import write_choice, write_tools
from gateway.dialects.translation import unsaid
from gateway.dialects.vocabulary import Media, Prompt, Target, Written

# Objects of a request whose members are kept in ``rest`` one by one: ``thinking.display``.
_OPEN_OBJECTS = ("thinking", "output_config", "metadata", "tool_choice")
# Keys of ``rest`` that only name what Turn.rest and Tool.raw hold.
_NAMES_ONLY = ("messages.", "tools.")


def write_request(prompt: Prompt, target: Target) -> Written:
    """The document for *target* and what it cannot say (see schema.FIELDS, and for the losses of
    single members the modules that write them)."""
    native = prompt.dialect == DIALECT
    able = abilities(target.model)
    dropped = _unsaid(prompt, native)
    writer = PartWriter(native, target.traits, dropped)
    if native:
        talk = write_own_turns(prompt.turns, writer)
    else:
        talk = write_turns(prompt.turns, writer, able.inner_system, dropped)
    tools = write_tools(prompt, able, dropped)
    choice = write_choice(prompt, tools, able, dropped)
    plan = _plan(prompt, able, target.max_tokens, _cannot_think(talk, choice, able), dropped)
    document = _assemble(prompt, target, talk, plan)
    if tools or (native and prompt.tools):
        document["tools"] = tools
    if choice is not None:
        document["tool_choice"] = choice
    document |= write_sampling(prompt, able, plan.thinks, dropped)
    _write_plan(document, plan, write_format(prompt.output, native, able, dropped))
    _write_small(document, prompt, dropped)
    if native:
        _write_rest(document, prompt.rest)
    return Written(document, list(dict.fromkeys(dropped)))


def to_fetch(prompt: Prompt, target: Target) -> list[Media]:
    """The media whose bytes must be in the prompt before write_request can carry them."""
    return media.to_fetch(prompt, target.traits)


def _unsaid(prompt: Prompt, native: bool) -> list[str]:
    names = [n for n in unsaid(prompt, FIELDS) if getattr(prompt, n, None) not in SAID_BY_SILENCE.get(n, ())]
    return [n for n in names if n not in prompt.rest] if native else names


def _cannot_think(talk: Conversation, choice: dict | None, able: Abilities) -> bool:
    forced = choice is not None and choice["type"] in ("any", "tool")
    if forced and able.forced_tools == "no_thinking":
        return True
    return "adaptive" not in able.thinking and lacks_thinking(talk.messages)


def _plan(prompt: Prompt, able: Abilities, default_max: int, cannot_think: bool, dropped: list[str]) -> Plan:
    """As plan_thinking; but thinking gives way to what the API refuses beside it: a forced tool
    call is a promise, thinking a wish."""
    plan = plan_thinking(prompt, able, default_max, dropped)
    if cannot_think and plan.thinks and prompt.dialect != DIALECT:
        dropped.append("reasoning")
        return Plan(None, None, default_max if prompt.max_tokens is None else prompt.max_tokens)
    return plan


def _assemble(prompt: Prompt, target: Target, talk: Conversation, plan: Plan) -> dict[str, Any]:
    document: dict[str, Any] = {"model": target.model, "max_tokens": plan.max_tokens}
    if talk.system:
        document["system"] = shorthand(talk.system)
    document["messages"] = talk.messages
    if prompt.stream:
        document["stream"] = True
    return document


def _write_plan(document: dict[str, Any], plan: Plan, output: dict | None) -> None:
    if plan.thinking is not None:
        document["thinking"] = plan.thinking
    config = {"effort": plan.effort, "format": output}
    config = {name: value for name, value in config.items() if value is not None}
    if config:
        document["output_config"] = config


def _write_small(document: dict[str, Any], prompt: Prompt, dropped: list[str]) -> None:
    # The API refuses stop sequences of white space only.
    stops = [stop for stop in prompt.stop if stop.strip() or prompt.dialect == DIALECT]
    if len(stops) < len(prompt.stop):
        dropped.append("stop")
    if stops:
        document["stop_sequences"] = stops
    if prompt.user is not None:
        document["metadata"] = {"user_id": prompt.user}
    if prompt.service_tier in TIERS_TO_ASK:
        document["service_tier"] = TIERS_TO_ASK[prompt.service_tier]
    elif prompt.service_tier is not None:
        dropped.append("service_tier")


def _write_rest(document: dict[str, Any], rest: dict[str, Any]) -> None:
    for path, value in rest.items():
        parent, dot, name = path.partition(".")
        if dot and parent in _OPEN_OBJECTS:
            document.setdefault(parent, {})[name] = value
        elif not path.startswith(_NAMES_ONLY):
            document[path] = value
