"""Registers a vendor's name that is taken."""

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("mine", {"chat": ""}, "https://elsewhere.test"))
