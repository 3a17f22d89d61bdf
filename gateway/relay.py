"""The life of a call: admit, route, try, answer, account."""

import time
from dataclasses import replace

from gateway.account import Account
from gateway.attempt.patience import FOREVER, Patience
from gateway.bodies import JsonBody
from gateway.departures import Watch
from gateway.dialects.registry import FACES
from gateway.domain import COUNT_TOKENS, Call, Route
from gateway.errors import BadRequest, ChannelAnswered, Forbidden, GatewayError, NoChannel
from gateway.loading import Gateway
from gateway.plugin_manager import ask
from gateway.replying.replier import Replier, Reply
from gateway.routing.router import Wanted
from gateway.routing.strategies import Choice, conversation
from gateway.routing.suffixes import take_suffixes
from gateway.token_count import ESTIMATED, estimated_count
from gateway.trying.trying import Trial, Trying


def serve(gateway: Gateway, call: Call, watch: Watch) -> Reply:
    """Carry *call* out. Raises GatewayError when there is nothing to show for it; the account is
    closed then, as it is when the reply is whole or its Stream is closed."""
    plugins = gateway.plugins
    services = gateway.services
    take_suffixes(call, gateway.router)
    call.counted = gateway.counts or call.wishes.measures_speed
    account = Account(call, watch, plugins.on("attempt_finished"), plugins.on("after_call"), services.prices)
    account.event_observers = services.event_observers
    try:
        _admit(gateway, call)
        replier = Replier(gateway, call, account)
        for plugin in plugins.on("answer_call"):
            answered = ask(plugin, "answer_call", call=call)
            if answered is not None:
                return replier.answered(answered, plugin)
        if counts_itself(gateway, call):
            return replier.own(estimated_count(call), ESTIMATED)
        return _answer(gateway, call, account, replier, _route(gateway, call))
    except GatewayError as error:
        account.failed(error)
        account.close()
        raise
    except BaseException:  # a killed greenlet's, too: what the call holds is given back
        account.failed(GatewayError("the gateway failed", code="internal_error"))
        account.close()
        raise


def _admit(gateway: Gateway, call: Call) -> None:
    if call.endpoint.model_needed and not call.model:
        raise BadRequest("the request names no model", param="model", code="missing_model")
    check_models(call)
    if not call.principal.may_choose and (call.wishes.channel or call.wishes.tags):
        text = "this key may not choose channels (x-gateway-channel, x-gateway-tags)"
        raise Forbidden(text, code="choice_not_allowed")
    for plugin in gateway.plugins.on("before_call"):
        ask(plugin, "before_call", call=call)


def check_models(call: Call) -> None:
    """Raises Forbidden for a model of the call's that its key may not use."""
    for model in (call.model, *call.wishes.models):
        if model and not call.principal.may_use(model):
            raise Forbidden(f"this key may not use the model {model!r}", param="model", code="model_not_allowed")


def _route(gateway: Gateway, call: Call) -> Route:
    route = route_of(gateway, call)
    if not route.candidates:
        reasons = "; ".join(f"{item.channel.name}: {item.reason}" for item in route.left_out[:5])
        raise NoChannel(f"no channel can serve the call now ({reasons})", code="no_channel")
    return route


def route_of(gateway: Gateway, call: Call) -> Route:
    """Who could serve *call*, in the order of trying; asks no upstream."""
    if call.upload is not None:
        route = call.upload.route()
    else:
        route = gateway.router.route(wanted(call), seed_of(gateway, call), choice_of(gateway))
    if call.wishes.models:
        missing = tuple(model for model in call.wishes.models if not gateway.router.has(model))
        call.wishes = replace(call.wishes, not_served=missing)
    sealed = FACES[call.dialect].SEALED
    if sealed and isinstance(call.body, JsonBody) and sealed in call.body.data:
        # Vendors refuse proofs that are not their own: our seals have to be taken out even where
        # the dialect is the same, so the body is read and written again.
        route.candidates = [replace(candidate, translated=True) for candidate in route.candidates]
    for plugin in gateway.plugins.on("arrange_channels"):
        ask(plugin, "arrange_channels", call=call, route=route)
    return route


def seed_of(gateway: Gateway, call: Call) -> str:
    """What decides the draw among equals: the call's id, or its conversation where that is to stay
    with one channel."""
    return (conversation(call) if gateway.settings.routing.sticky else "") or call.id


def choice_of(gateway: Gateway) -> Choice:
    """What goes before the draw: the configured strategy, and what clients' wishes are judged by."""
    services = gateway.services
    return Choice(gateway.settings.routing.strategy, services.bearings, services.prices, services.health.awake)


def counts_itself(gateway: Gateway, call: Call) -> bool:
    """Whether the gateway has to estimate the tokens, because no channel that has the model counts."""
    if call.operation != COUNT_TOKENS or not gateway.router.has(call.model):
        return False
    return not gateway.router.offers(wanted(call))


def wanted(call: Call) -> Wanted:
    """What routing must know of *call*."""
    wishes = call.wishes
    return Wanted(call.dialect, call.operation, call.model, wishes.channel, wishes, call.principal.tags)


def _answer(gateway: Gateway, call: Call, account: Account, replier: Replier, route: Route) -> Reply:
    routing = gateway.settings.routing
    now = time.monotonic()
    patience = Patience(now + routing.commit_after if call.stream else FOREVER, now + routing.deadline)
    trial = Trying(gateway, call, account, route, patience).run()
    try:
        next(trial)
    except StopIteration as done:
        return replier.begun(done.value)
    except ChannelAnswered as error:
        return replier.upstream_error(error)
    return replier.waiting(trial, _listening(trial, patience, routing.keepalive))


def _listening(trial: Trial, patience: Patience, keepalive: float) -> Trial:
    """The same trial, asking again each *keepalive* seconds."""
    while True:
        patience.until = time.monotonic() + keepalive
        try:
            next(trial)
        except StopIteration as done:
            return done.value
        yield
