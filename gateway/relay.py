"""The life of a call: admit, route, try, answer, account."""

import time
import zlib
from collections import deque
from dataclasses import replace

from gateway.account import Account
from gateway.attempt import Try
from gateway.bodies import JsonBody
from gateway.departures import Watch
from gateway.dialects.registry import FACES
from gateway.domain import COUNT_TOKENS, Attempt, Call, Candidate, Route, UpstreamReply
from gateway.errors import BadRequest, ChannelAnswered, ChannelFailed, Forbidden, GatewayError, NoChannel
from gateway.headers import Headers
from gateway.loading import Gateway
from gateway.patience import FOREVER, Patience
from gateway.plugin_manager import ask
from gateway.replying import BAD_KEY, Replier, Reply, Trial
from gateway.routing import Wanted
from gateway.token_count import ESTIMATED, estimated_count

# What a failure tells about trying elsewhere. 504 and 524 are not here: the work may still be
# running upstream, and a second try would be billed too.
_RETRIED = frozenset({408, 409, 429, *range(500, 600)} - {501, 504, 505, 524})


def serve(gateway: Gateway, call: Call, watch: Watch) -> Reply:
    """Carry *call* out. Raises GatewayError when there is nothing to show for it; the account is
    closed then, as it is when the reply is whole or its Stream is closed."""
    plugins = gateway.plugins
    account = Account(call, watch, plugins.on("attempt_finished"), plugins.on("after_call"))
    try:
        _admit(gateway, call)
        if counts_itself(gateway, call):
            return Replier(gateway, call, account).own(estimated_count(call), ESTIMATED)
        return _answer(gateway, call, account, _route(gateway, call))
    except GatewayError as error:
        account.failed(error)
        account.close()
        raise
    except BaseException:
        account.failed(GatewayError("the gateway failed", code="internal_error"))
        account.close()
        raise


def _admit(gateway: Gateway, call: Call) -> None:
    if call.endpoint.model_needed and not call.model:
        raise BadRequest("the request names no model", param="model", code="missing_model")
    check_models(call)
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
    route = gateway.router.route(wanted(call), call.id)
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


def counts_itself(gateway: Gateway, call: Call) -> bool:
    """Whether the gateway has to estimate the tokens, because no channel that has the model counts."""
    if call.operation != COUNT_TOKENS or not gateway.router.has(call.model):
        return False
    return not gateway.router.offers(wanted(call))


def wanted(call: Call) -> Wanted:
    """What routing must know of *call*."""
    wishes = call.wishes
    return Wanted(call.dialect, call.operation, call.model, wishes.channel, wishes, call.principal.tags)


def _answer(gateway: Gateway, call: Call, account: Account, route: Route) -> Reply:
    routing = gateway.settings.routing
    now = time.monotonic()
    patience = Patience(now + routing.commit_after if call.stream else FOREVER, now + routing.deadline)
    trial = _trial(gateway, call, account, route, patience)
    replier = Replier(gateway, call, account)
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


def _trial(gateway: Gateway, call: Call, account: Account, route: Route, patience: Patience) -> Trial:
    """Try the route's channels until one answers. Yields whenever the caller's patience is over.

    Raises the last channel's failure when none is left.
    """
    waiting = deque((candidate, number) for candidate in route.candidates for number in (0,))
    last: GatewayError | None = None
    for _ in range(gateway.settings.routing.retries + 1):
        if not waiting or (last is not None and patience.past_deadline()):
            break
        candidate, number = waiting.popleft()
        try:
            return (yield from _one_try(gateway, call, account, candidate, number, patience))
        except BadRequest as error:  # this channel cannot be told what the client said; another may
            last = last or error
        except ChannelFailed as error:
            last = error
            verdict = _verdict(gateway, candidate, error)
            if verdict == "fatal":
                break
            if verdict == "bad_key" and number + 1 < len(candidate.channel.keys):
                waiting.appendleft((candidate, number + 1))
    assert last is not None
    raise last


def _one_try(
    gateway: Gateway, call: Call, account: Account, candidate: Candidate, number: int, patience: Patience
) -> Trial:
    channel = candidate.channel
    # The first key differs from call to call, so that all of an account's keys share the work.
    position = (number + zlib.crc32(call.id.encode())) % len(channel.keys) if channel.keys else 0
    key = channel.keys[position] if channel.keys else None
    attempt = Try(call, candidate, key, gateway.provider_plugins.get(channel.provider.name))
    account.channel = channel.name
    began, outcome = time.monotonic(), "abandoned"
    try:
        ready = yield from attempt.run(gateway.transport, patience, account.watch)
        outcome = "ok"
        return ready
    except GatewayError as error:
        outcome = error.fault.code or error.code or "failed"
        raise
    finally:
        seconds = time.monotonic() - began
        account.attempt(Attempt(channel.name, position, candidate.model, attempt.status, outcome, seconds))


def _verdict(gateway: Gateway, candidate: Candidate, error: ChannelFailed) -> str:
    """``retry``, ``bad_key`` (another key of the channel may do) or ``fatal``."""
    if not isinstance(error, ChannelAnswered):
        return "retry"
    plugin = gateway.provider_plugins.get(candidate.channel.provider.name)
    if plugin is not None and "classify_failure" in plugin.hooks:
        response = UpstreamReply(error.status, Headers(error.headers), error.body)
        word = ask(plugin, "classify_failure", channel=candidate.channel, response=response)
        if word in ("retry", "bad_key", "fatal"):
            return word
        if word == "ok":  # nothing another channel could do better
            return "fatal"
        if isinstance(word, int | float) and not isinstance(word, bool):
            return "retry"
    if error.status in BAD_KEY or error.status == 429:  # limits, too, are often a key's own
        return "bad_key"
    return "retry" if error.status in _RETRIED else "fatal"
