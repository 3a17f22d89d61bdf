"""A body that is parsed and dumped instead of edited: request_bytes"""

import json

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("dumps_request", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_request(request):
    request.body = type(request.body)(json.dumps(json.loads(request.body.data)).encode())
