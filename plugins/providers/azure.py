"""Azure OpenAI, and with `azure-anthropic` Claude in Microsoft Foundry.

A channel's key goes into the header `api-key`. With the options `tenant` and `client_id` it is the
client secret of an application instead, for which Entra ID gives a token.

Source: Azure OpenAI REST API reference (dated and v1), "API version lifecycle", and Microsoft
identity platform, "OAuth 2.0 client credentials flow".
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from gateway import ChannelFailed, JsonText, Provider, hookimpl, option

_UNDATED = ("v1", "preview", "latest")
_OWN_PATH = re.compile(r"(?:/openai|/v1)*(?P<deployment>/deployments/[^/]+)?(?P<rest>/.*)")
_DEPLOYED = "/openai/deployments/{model}"


@dataclass(frozen=True, kw_only=True)
class ChannelOptions:
    resource: str = option("name of the resource, for channels without base_url", "")
    api_version: str = option("v1, preview (of v1), or a date such as 2024-10-21", "v1")
    tenant: str = option("Entra ID tenant; the key is a client secret then", "")
    client_id: str = option("the application that the client secret is of", "")
    authority: str = option("where Entra ID gives tokens", "https://login.microsoftonline.com")
    scope: str = option("what the token is for", "https://cognitiveservices.azure.com/.default")


@hookimpl
def register_providers(register):
    operations = "completions embeddings images audio files batches stored_responses compact".split()
    register(Provider(
        "azure",
        {"chat": f"{_DEPLOYED}/chat/completions", "responses": "/openai/v1/responses"},
        "https://${channel.options.resource}.openai.azure.com",
        auth="header:api-key",
        operations=frozenset(operations),
        paths={name: f"{_DEPLOYED}/{name}" for name in ("completions", "embeddings", "images", "audio")},
        egress=("${channel.options.authority}",),
        traits=frozenset({"no_custom_tools"}),
    ))  # fmt: skip
    register(Provider(
        "azure-anthropic",
        {"messages": "/anthropic/v1/messages"},
        "https://${channel.options.resource}.services.ai.azure.com",
        auth="x-api-key",
        operations=frozenset({"count_tokens"}),
        headers={"anthropic-version": "2023-06-01"},
        egress=("${channel.options.authority}",),
    ))  # fmt: skip


@hookimpl
def rewrite_request(channel, request):
    if channel.provider.name != "azure":
        return
    version = channel.options.api_version
    # Channels are configured with the address as the portal shows it, which may go further.
    front = re.sub(r"(?:/openai)?(?:/v1)?$", "", channel.base_url)
    path, _, query = request.url[len(front) :].partition("?")
    found = _OWN_PATH.fullmatch(path)
    if version in _UNDATED:
        url = f"{front}/openai/v1{found['rest']}"
    else:
        url = f"{front}/openai{found['deployment'] or ''}{found['rest']}"
    asked = [part for part in query.split("&") if part and not part.startswith("api-version=")]
    if version != "v1":
        asked.append(f"api-version={quote(version)}")
    request.url = f"{url}?{'&'.join(asked)}" if asked else url


@hookimpl
def authorize(channel, key, request, tools, refresh):
    if not channel.options.tenant:
        return False
    token = tools.cache.fetch(f"entra {hash(key)}", lambda: _token(channel.options, key, tools), refresh)
    request.headers["authorization"] = f"Bearer {token}"
    return True


def _token(options, key, tools):
    """(token, seconds that it is good for)"""
    form = {
        "grant_type": "client_credentials", "client_id": options.client_id, "client_secret": key.reveal(),
        "scope": options.scope,
    }  # fmt: skip
    url = f"{options.authority.rstrip('/')}/{quote(options.tenant)}/oauth2/v2.0/token"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = tools.http.request("POST", url, headers, urlencode(form).encode())
    try:
        said = JsonText.parse(answer.body)
        if answer.status == 200:
            return said["access_token"], max(int(said.get("expires_in", 3600)) - 300, 60)
        reason = said.get("error", "")
    except (JsonText.NotJson, KeyError, AttributeError, ValueError):
        reason = "no token in the answer"
    raise ChannelFailed(f"Entra ID gave no token: {answer.status} {reason}", code="token_refused")
