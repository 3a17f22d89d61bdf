"""A reply that is parsed and dumped: reply_bytes"""

import json

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("dumps_reply", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_response(response):
    response.body = json.dumps(json.loads(response.body)).encode()
