"""Acme: a made-up vendor with everything that real ones do differently."""

import re
from urllib.parse import urlencode

from gateway import JsonText, Provider, Usage, hookimpl


@hookimpl
def register_providers(register):
    register(Provider("acme", {"chat": "/llm/v2/chat"}, "https://llm.acme.test", end=b"[BYE]", checks_ok=True))


@hookimpl
def rewrite_request(request):
    model = dict(request.body_edits).get("/model") or JsonText.parse(request.body.data)["model"]
    request.set_member("/model_id", model)
    request.unset_member("/model")


@hookimpl
def authorize(channel, key, request, tools, refresh):
    def exchange():
        form = urlencode({"grant_type": "client_credentials", "client_secret": key.reveal()}).encode()
        told = JsonText.parse(tools.http.request("POST", f"{channel.base_url}/oauth/token", body=form).body)
        return told["access_token"], told["expires_in"] - 60

    request.headers["x-acme-token"] = tools.cache.fetch("token", exchange, refresh=refresh)
    return True


@hookimpl
def classify_failure(response):
    return 30 if re.match(rb'\{\s*"code"\s*:\s*"quota"', response.body) else None


@hookimpl
def read_usage(document):
    tokens = document.get("meta", {}).get("tokens") if isinstance(document, dict) else None
    return Usage(tokens["in"], tokens["out"], source="upstream") if tokens else None
