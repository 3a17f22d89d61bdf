"""A request that is another each time: pure"""

import random

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("impure_chance", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_request(request):
    request.headers["x-nonce"] = str(random.random())
