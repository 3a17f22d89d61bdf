"""Replies without their words: answers reply_bytes"""

from gateway import Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("answers_nothing", {"chat": ""}, "https://bad.test"))


@hookimpl
def rewrite_response(response):
    response.body = b""
