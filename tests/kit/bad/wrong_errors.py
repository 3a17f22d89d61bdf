"""Failures that are blamed on the client: errors"""

from gateway import Forbidden, Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("wrong_errors", {"chat": ""}, "https://bad.test"))


@hookimpl
def classify_failure(response):
    raise Forbidden("something went wrong")
