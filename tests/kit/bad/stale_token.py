"""Credentials that are the refused ones again: refresh"""

from urllib.parse import quote

from gateway import JsonText, Provider, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("stale_token", {"chat": ""}, "https://bad.test"))


@hookimpl
def authorize(channel, key, request, tools, refresh):
    def exchange():
        body = b"grant_type=client_credentials&secret=" + quote(key.reveal()).encode()
        told = JsonText.parse(tools.http.request("POST", f"{channel.base_url}/token", body=body).body)
        return told["access_token"], 3600

    request.headers["authorization"] = f"Bearer {tools.cache.fetch('token', exchange)}"
    return True
