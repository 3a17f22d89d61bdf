"""Headers that depend on the time: pure"""

import time

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("impure_time", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_request(request):
    request.headers["x-day"] = str(int(time.time() // 86400))
