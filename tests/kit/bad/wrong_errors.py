"""Failures that are turned into a good status: errors"""

from gateway import BadRequest, Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("wrong_errors", {"chat": ""}, "https://bad.test"))


@hookimpl
def classify_failure(response):
    raise BadRequest("something went wrong")
