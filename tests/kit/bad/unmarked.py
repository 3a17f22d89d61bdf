"""A hook that nobody calls: hooks"""

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("unmarked", {"chat": ""}, "https://bad.test"))


def rewrite_request(request):
    request.headers["x-never"] = "sent"
