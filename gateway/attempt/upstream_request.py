"""Call + candidate + key -> what is sent upstream."""

import base64
from urllib.parse import quote

from gateway.bodies import FileBody, JsonBody
from gateway.config.kinds import Secret
from gateway.domain import GENERATE, Call, Candidate, Channel, Endpoint, UpstreamRequest
from gateway.headers import forwarded
from gateway.provider_rules import apply_edits

__all__ = ["USUAL_PATHS", "apply_edits", "authorize", "build_request"]

# Where each dialect's generate operation stands; what a provider puts before it stands before
# the dialect's other operations too.
USUAL_PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/{model}:{action}",
}

# Headers that mean something in the client's own dialect only.
_CLIENTS_OWN = ("anthropic-", "openai-", "x-goog-", "x-stainless-")


def build_request(call: Call, candidate: Candidate, translated: JsonBody | None = None) -> UpstreamRequest:
    """The request as the channel is to get it, still without credentials and hooks. *translated*
    is the body in the channel's dialect, when that is another than the client's."""
    channel = candidate.channel
    settings = channel.settings
    rules, also = channel.rules, settings.headers.forward
    headers = forwarded(call.headers, [*rules.forward, *also] if rules is not None else also)
    if translated is not None:
        for name in [name for name in headers if name.startswith(_CLIENTS_OWN)]:
            del headers[name]
    for name, value in channel.provider.headers.items():
        headers.setdefault(name, value)
    headers["accept-encoding"] = "identity"  # a packed stream could not be read event by event
    headers["x-request-id"] = call.id
    body = translated or call.body
    if body is not None and body.content_type:
        headers["content-type"] = body.content_type
    request = UpstreamRequest(call.method, _url(call, candidate), headers, body)
    if isinstance(body, JsonBody):
        if translated is None and candidate.model != call.model and not call.endpoint.model:
            request.set_member("/model", candidate.model)
    elif isinstance(body, FileBody) and candidate.model != call.model:
        request.body = body.renamed(candidate.model)
    if call.wishes.members and isinstance(body, JsonBody):
        if call.wishes.passes_object(channel, translated is not None):
            request.set_member("/provider", call.wishes.provider)
        for pointer in call.wishes.unset(channel):
            request.unset_member(pointer)
    if rules is not None:
        rules.edit(call, candidate, request)
    for name, value in settings.headers.set.items():
        headers[name] = value
    for name in settings.headers.unset:
        headers.pop(name, None)
    return request


def authorize(channel: Channel, dialect: str, key: Secret, request: UpstreamRequest) -> None:
    """Add the key the way the channel, its provider's dialect or the provider says."""
    provider = channel.provider
    how = channel.settings.auth or provider.dialect_auth.get(dialect) or provider.auth
    kind, _, name = how.partition(":")
    if kind == "bearer":
        request.headers["authorization"] = f"Bearer {key.reveal()}"
    elif kind == "basic":
        pair = key.reveal() if ":" in key.reveal() else key.reveal() + ":"  # a key alone is the user's name
        request.headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    elif kind == "x-api-key":
        request.headers["x-api-key"] = key.reveal()
    elif kind == "header":
        request.headers[name] = key.reveal()
    elif kind == "query":
        joint = "&" if "?" in request.url else "?"
        request.url += f"{joint}{quote(name)}={quote(key.reveal(), safe='')}"


def _url(call: Call, candidate: Candidate) -> str:
    channel, endpoint, query = candidate.channel, call.endpoint, call.query
    if call.upload is not None:
        return call.upload.url
    own = channel.provider.dialects.get(candidate.dialect, "")
    usual = USUAL_PATHS[candidate.dialect]
    action = endpoint.path.rpartition(":")[2]
    if candidate.translated:
        path = own or usual
        action = "streamGenerateContent" if call.stream else "generateContent"
        query = "alt=sse" if candidate.dialect == "gemini" and call.stream else ""
    elif own and endpoint.operation == GENERATE:
        path = own
    elif endpoint.operation in channel.provider.paths:
        path = _moved(channel.provider.paths[endpoint.operation], endpoint)
    else:
        path = (own.removesuffix(usual) if own.endswith(usual) else "") + endpoint.path
    if "{" in path:
        path = path.replace("{model}", quote(candidate.model, safe="/")).replace("{action}", action)
    url = _join(channel.base_url, path)
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def _moved(path: str, endpoint: Endpoint) -> str:
    """A provider's own *path* of an operation, with what the client's has below the usual one."""
    usual = f"/v1/{endpoint.operation}"
    below = endpoint.path.removeprefix(usual) if endpoint.path.startswith(usual + "/") else ""
    before, mark, query = path.partition("?")
    return f"{before}{below}{mark}{query}"


def _join(base_url: str, path: str) -> str:
    # SDKs are configured with and without the version in the base URL; so are channels.
    version = path[1:].removeprefix("upload/").partition("/")[0]
    if base_url.endswith(f"/{version}"):
        base_url = base_url[: -len(version) - 1]
    return base_url + path


