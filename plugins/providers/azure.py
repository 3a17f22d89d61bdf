"""Azure OpenAI, and with `azure-anthropic` Claude in Microsoft Foundry.

A channel's key goes into the header `api-key`. With the options `tenant` and `client_id` it is the
client secret of an application instead, for which Entra ID gives a token. Without a key the token is
that of the workload (AKS), the app (App Service, Container Apps) or the virtual machine.

Source: Azure OpenAI REST API reference (dated and v1), "API version lifecycle", and Microsoft
identity platform, "OAuth 2.0 client credentials flow" (with a secret, with a federated credential);
Azure managed identities, "How to use managed identities to acquire an access token" (of a VM, of an app).
"""

import os
import re
import time
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlencode

from gateway import ChannelFailed, JsonText, Provider, hookimpl, option

_UNDATED = ("v1", "preview", "latest")
_OWN_PATH = re.compile(r"(?:/openai|/v1)*(?P<deployment>/deployments/[^/]+)?(?P<rest>/.*)")
_DEPLOYED = "/openai/deployments/{model}"
# Azure's own tools go by the same variable.
_MACHINE = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or "http://169.254.169.254"
_MACHINES_PATH = "/metadata/identity/oauth2/token"


@dataclass(frozen=True, kw_only=True)
class ChannelOptions:
    resource: str = option("name of the resource, for channels without base_url", "")
    api_version: str = option("v1, preview (of v1), or a date such as 2024-10-21", "v1")
    tenant: str = option("Entra ID tenant; the key is a client secret then", "")
    client_id: str = option("the application that the client secret is of; without a key, the identity to be", "")
    authority: str = option("where Entra ID gives tokens", "https://login.microsoftonline.com")
    scope: str = option("what the token is for", "https://cognitiveservices.azure.com/.default")


@hookimpl
def register_providers(register):
    machine = (_MACHINE, os.environ.get("IDENTITY_ENDPOINT", ""))
    own = {"egress": ("${channel.options.authority}",), "keyless": True, "keyless_egress": machine}
    operations = "completions embeddings images audio files batches stored_responses compact".split()
    register(Provider(
        "azure",
        {"chat": f"{_DEPLOYED}/chat/completions", "responses": "/openai/v1/responses"},
        "https://${channel.options.resource}.openai.azure.com",
        auth="header:api-key",
        operations=frozenset(operations),
        paths={name: f"{_DEPLOYED}/{name}" for name in ("completions", "embeddings", "images", "audio")},
        traits=frozenset({"no_custom_tools"}),
        **own,
    ))  # fmt: skip
    register(Provider(
        "azure-anthropic",
        {"messages": "/anthropic/v1/messages"},
        "https://${channel.options.resource}.services.ai.azure.com",
        auth="x-api-key",
        operations=frozenset({"count_tokens"}),
        headers={"anthropic-version": "2023-06-01"},
        **own,
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
    options = channel.options
    if key is None:
        make = partial(_of_machine, options, os.environ, tools)
    elif options.tenant:
        secret = {"client_id": options.client_id, "client_secret": key.reveal()}
        make = partial(_exchanged, options, options.tenant, secret, tools.http)
    else:
        return False
    request.headers["authorization"] = f"Bearer {tools.cache.fetch(f'entra {hash(key)}', make, refresh)}"
    return True


def _of_machine(options, environment, tools):
    client_id = options.client_id or environment.get("AZURE_CLIENT_ID", "")
    if "AZURE_FEDERATED_TOKEN_FILE" in environment:
        form = {
            "client_id": client_id, "client_assertion": tools.read(environment["AZURE_FEDERATED_TOKEN_FILE"]),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }  # fmt: skip
        return _exchanged(options, options.tenant or environment.get("AZURE_TENANT_ID", ""), form, tools.http)
    asked = {"resource": options.scope.removesuffix("/.default")} | ({"client_id": client_id} if client_id else {})
    if "IDENTITY_ENDPOINT" in environment:
        url, version = environment["IDENTITY_ENDPOINT"], "2019-08-01"
        headers = {"x-identity-header": environment.get("IDENTITY_HEADER", "")}
    else:
        url, version, headers = _MACHINE.rstrip("/") + _MACHINES_PATH, "2018-02-01", {"metadata": "true"}
    answer = tools.http.request("GET", f"{url}?{urlencode(asked | {'api-version': version})}", headers)
    return _granted(answer, "the machine's identity service")


def _exchanged(options, tenant, form, http):
    """(token, seconds that it is good for) from Entra ID, for what *form* proves"""
    url = f"{options.authority.rstrip('/')}/{quote(tenant)}/oauth2/v2.0/token"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    form = {"grant_type": "client_credentials", "scope": options.scope} | form
    return _granted(http.request("POST", url, headers, urlencode(form).encode()), "Entra ID")


def _granted(answer, who):
    try:
        said = JsonText.parse(answer.body)
        if answer.status == 200:
            seconds = said.get("expires_in") or int(said.get("expires_on", time.time() + 3600)) - time.time()
            return said["access_token"], float(seconds)
        reason = said["error"] if isinstance(said["error"], str) else ""  # its description may repeat what was sent
    except (JsonText.NotJson, KeyError, AttributeError, ValueError, TypeError):
        reason = "no token in the answer"
    raise ChannelFailed(f"{who} gave no token: {answer.status} {reason}", code="token_refused")
