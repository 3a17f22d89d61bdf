"""``gateway explain``"""

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import click

from gateway.arrival import intake
from gateway.bodies import JsonBody
from gateway.commands import config_option, found_config
from gateway.commands.callers import Bound, bounds_of, found_caller
from gateway.config.forms import DIALECTS
from gateway.domain import ANONYMOUS, GENERATE, Call, Candidate, Endpoint, LeftOut, Principal
from gateway.errors import Fault, GatewayError
from gateway.headers import Headers
from gateway.health import resting_name
from gateway.loading import Gateway, load
from gateway.reading_wishes import read_wishes
from gateway.relay import check_models, counts_itself, route_of, wanted
from gateway.routing.suffixes import take_suffixes


@dataclass(slots=True)
class Explanation:
    """What would become of a call; ``itself`` tells that the gateway needs no channel for it."""

    call: Call
    candidates: list[Candidate]
    left_out: list[LeftOut]
    refused: Fault | None = None
    itself: bool = False
    not_drawn: int = 0
    bounds: list[Bound] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The call that is asked about, as the options say it."""

    model: str
    dialect: str
    operation: str
    body: IO[bytes] | None
    headers: tuple[str, ...]


@click.command("explain")
@config_option
@click.option("--key", "name", default="", help="Whose call, by the key's name; none given: one without bounds.")
@click.option("--model", default="", help="The model asked for; none given: the body's.")
@click.option("--dialect", default="chat", show_default=True, type=click.Choice(DIALECTS), help="The client's.")
@click.option("--operation", default=GENERATE, show_default=True, help="generate, embeddings, images, ...")
@click.option("--body", type=click.File("rb"), help="A request's JSON body, for what it wishes of routing; - reads it.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A request's header; may come again.")
@click.option("--seed", default="", metavar="REQUEST_ID", help="The call whose draw to make again.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
def command(config: Path | None, name: str, seed: str, as_json: bool, **asked: Any) -> None:
    """Say who would serve a call, in which order, and why the others not; asks no upstream.

    Plugins arrange the channels as they would; what they refuse before that is not foreseen.
    Exit code 1 if the call would be refused.

    Example: gateway explain --key alice --model gpt-4o
    """
    gateway = load(found_config(config))
    _look(gateway)
    principal, unusable = found_caller(gateway, name) if name else (ANONYMOUS, "")
    seed = seed or f"req_{uuid.uuid4().hex}"
    try:
        explanation = _explained(gateway, _call(principal, seed, _Asked(**asked)))
        if unusable:
            explanation.refused = Fault(401, "authentication", f"the key is {unusable}", "invalid_api_key")
        models = (explanation.call.model, *explanation.call.wishes.models)
        explanation.bounds = bounds_of(gateway, principal, models)
    except GatewayError as error:  # the body or a header cannot be understood
        raise click.UsageError(error.fault.message) from None
    lines = [json.dumps(_document(gateway, explanation), indent=2)] if as_json else _lines(gateway, explanation)
    click.echo("\n".join(lines))
    if explanation.refused is not None:
        click.get_current_context().exit(1)


def _look(gateway: Gateway) -> None:
    """What the running workers know of their channels counts here, too."""
    gateway.services.shared = True
    try:
        gateway.services.health.look()
    except GatewayError as error:
        click.echo(f"warning: {error}", err=True)


def _standing(gateway: Gateway, candidate: Candidate) -> str:
    """Why *candidate* would be passed over now; empty if it would not."""
    health, name = gateway.services.health, candidate.channel.name
    keys = [resting_name(name, key) for key in candidate.channel.keys]
    rest = health.rest(name)
    if rest is None and keys and all(health.left(key) for key in keys):
        name = min(keys, key=health.left)
        rest = health.rest(name)
    if rest is None:
        return ""
    left = health.left(name)
    return f"rests for {left:.0f} s more: {rest.why} ({rest.said})" if left else f"to be probed: {rest.why}"


def _call(principal: Principal, seed: str, asked: _Asked) -> Call:
    lines = (line.partition(":") for line in asked.headers)
    headers = Headers((name.strip(), value.strip()) for name, _, value in lines)
    body = JsonBody(asked.body.read()) if asked.body is not None else None
    head = intake.read_head(body) if body is not None else {}
    model = asked.model or str(head.get("model") or "")
    if not model and asked.operation == GENERATE:
        raise click.UsageError("name a --model, or a --body that names one")
    endpoint = Endpoint(asked.dialect, asked.operation, "")
    return Call(seed, endpoint, "POST", "", headers, body, model, False, principal, wishes=read_wishes(head, headers))


def _explained(gateway: Gateway, call: Call) -> Explanation:
    take_suffixes(call, gateway.router)
    try:
        check_models(call)
    except GatewayError as error:
        return Explanation(call, [], [], error.fault)
    if counts_itself(gateway, call):
        return Explanation(call, [], gateway.router.consider(wanted(call), call.id).left_out, itself=True)
    try:
        route = route_of(gateway, call)
    except GatewayError as error:
        return Explanation(call, [], gateway.router.consider(wanted(call), call.id).left_out, error.fault)
    refused = None if route.candidates else Fault(503, "unavailable", "no channel can serve the call now", "no_channel")
    return Explanation(call, route.candidates, route.left_out, refused, not_drawn=route.not_drawn)


def _lines(gateway: Gateway, explanation: Explanation) -> list[str]:
    call = explanation.call
    lines = [f"{call.model or '(no model)'} for {call.principal.name}, {call.dialect} {call.operation}, seed {call.id}"]
    for place, item in enumerate(explanation.candidates, 1):
        settings, how = item.channel.settings, ", translated" if item.translated else ""
        standing = _standing(gateway, item)
        share = f"priority {settings.priority}, weight {settings.weight}"
        why = "; ".join(each for each in (item.reason, share, standing) if each)
        lines.append(f"{place:>2}  {item.channel.name}  {item.model or '-'}  {item.dialect}{how}  {why}")
    for left_out in explanation.left_out:
        about = f" (for {left_out.model!r})" if left_out.model else ""
        lines.append(f" -  {left_out.channel.name}  {left_out.reason}{about}")
    if explanation.not_drawn:
        lines.append(f"{explanation.not_drawn} more could serve it and were not drawn")
    tries = gateway.settings.routing.retries + 1
    if len(explanation.candidates) > tries:
        lines.append(f"at most {tries} of them are tried (routing.retries)")
    lines += [f"counts against {bound}" for bound in explanation.bounds]
    if explanation.itself:
        lines.append("the gateway counts by itself: an estimate")
    if explanation.refused is not None:
        lines.append(f"refused: {explanation.refused.status} {explanation.refused.code}: {explanation.refused.message}")
    warning = _warning(explanation)
    return [*lines, f"warning: {warning}"] if warning else lines


def _warning(explanation: Explanation) -> str:
    first = explanation.candidates[0].channel if explanation.candidates else None
    return explanation.call.wishes.warning(first)


def _document(gateway: Gateway, explanation: Explanation) -> dict[str, Any]:
    call, refused = explanation.call, explanation.refused
    return {
        "key": call.principal.name,
        "model": call.model,
        "dialect": call.dialect,
        "operation": call.operation,
        "seed": call.id,
        "candidates": [
            {
                "channel": item.channel.name,
                "provider": item.channel.provider.name,
                "model": item.model,
                "dialect": item.dialect,
                "translated": item.translated,
                "priority": item.channel.settings.priority,
                "weight": item.channel.settings.weight,
                "reason": item.reason,
                "standing": _standing(gateway, item) or "awake",
            }
            for item in explanation.candidates
        ],
        "left_out": [
            {"channel": item.channel.name, "reason": item.reason, "model": item.model or call.model}
            for item in explanation.left_out
        ],
        "not_drawn": explanation.not_drawn,
        "by_itself": explanation.itself,
        "limits": [asdict(bound) for bound in explanation.bounds],
        "refused": refused and {"status": refused.status, "code": refused.code, "message": refused.message},
        "warning": _warning(explanation),
    }
