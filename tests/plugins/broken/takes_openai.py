"""Registers a vendor's name that is taken."""

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("openai", {"chat": ""}, "https://elsewhere.test"))
