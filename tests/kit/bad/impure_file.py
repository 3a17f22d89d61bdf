"""A file that is read for each call: pure"""

from pathlib import Path

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("impure_file", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_request(request):
    request.headers["x-lines"] = str(len(Path(__file__).read_bytes()))
