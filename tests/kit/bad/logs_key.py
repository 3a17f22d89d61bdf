"""A key in the log: canary"""

import logging

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("logs_key", {"chat": ""}, "https://bad.test"))


@hookimpl
def authorize(key, request):
    logging.getLogger("logs_key").debug("signing with %s", key.reveal())
    request.headers["authorization"] = f"Bearer {key.reveal()}"
    return True
