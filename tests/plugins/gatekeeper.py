"""Knows one key, and refuses what a policy would refuse."""

from gateway import BadRequest, NotFound, PaymentRequired, Principal, TooManyRequests, Unauthorized, hookimpl

REFUSALS = {
    "broke": PaymentRequired("the budget is spent"),
    "hasty": TooManyRequests("too fast", retry_after=7.2),
    "odd": BadRequest("not like this", param="messages"),
    "gone": NotFound("not here"),
}


@hookimpl
def authenticate(request):
    for secret in request.credentials:
        if secret.reveal() == "friend":
            return Principal("the friend", models=("m", "broke", "hasty", "odd", "gone"))
        if secret.reveal() == "foe":
            raise Unauthorized("not you")


@hookimpl
def before_call(call):
    if call.model in REFUSALS:
        raise REFUSALS[call.model]
