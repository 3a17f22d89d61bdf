"""Call + candidate + key -> what is sent upstream."""

from urllib.parse import quote

from gateway import json_edit
from gateway.bodies import FileBody, JsonBody
from gateway.config.kinds import Secret
from gateway.domain import GENERATE, Call, Candidate, Channel, UpstreamRequest
from gateway.headers import forwarded

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
    headers = forwarded(call.headers, settings.headers.forward)
    if translated is not None:
        for name in [name for name in headers if name.startswith(_CLIENTS_OWN)]:
            del headers[name]
    for name, value in channel.provider.headers.items():
        headers.setdefault(name, value)
    headers["accept-encoding"] = "identity"  # a packed stream could not be read event by event
    headers["x-request-id"] = call.id
    body = translated or call.body
    if body is not None:
        headers["content-type"] = body.content_type
    request = UpstreamRequest(call.method, _url(call, candidate), headers, body)
    if isinstance(body, JsonBody):
        if translated is None and candidate.model != call.model and not call.endpoint.model:
            request.set_member("/model", candidate.model)
    elif isinstance(body, FileBody) and candidate.model != call.model:
        request.body = body.renamed(candidate.model)
    if call.wishes.members and isinstance(body, JsonBody):
        if translated is not None and call.wishes.passes_object(channel):
            request.set_member("/provider", call.wishes.provider)
        for pointer in call.wishes.unset(channel):
            request.unset_member(pointer)
    for pointer, value in settings.body.set.items():
        request.set_member(pointer, value)
    for pointer in settings.body.unset:
        request.unset_member(pointer)
    for name, value in settings.headers.set.items():
        headers[name] = value
    for name in settings.headers.unset:
        headers.pop(name, None)
    return request


def apply_edits(request: UpstreamRequest) -> None:
    """Carry the member edits out on the bytes. Raises BadRequest when a pointer leads nowhere."""
    if request.body_edits and isinstance(request.body, JsonBody):
        data = json_edit.edit(request.body.data, request.body_edits)
        request.body = JsonBody(data, request.body.content_type)
    request.body_edits = []


def authorize(channel: Channel, dialect: str, key: Secret, request: UpstreamRequest) -> None:
    """Add the key the way the channel, its provider's dialect or the provider says."""
    provider = channel.provider
    how = channel.settings.auth or provider.dialect_auth.get(dialect) or provider.auth
    kind, _, name = how.partition(":")
    if kind == "bearer":
        request.headers["authorization"] = f"Bearer {key.reveal()}"
    elif kind == "x-api-key":
        request.headers["x-api-key"] = key.reveal()
    elif kind == "header":
        request.headers[name] = key.reveal()
    elif kind == "query":
        joint = "&" if "?" in request.url else "?"
        request.url += f"{joint}{quote(name)}={quote(key.reveal(), safe='')}"


def _url(call: Call, candidate: Candidate) -> str:
    channel, endpoint, query = candidate.channel, call.endpoint, call.query
    own = channel.provider.dialects.get(candidate.dialect, "")
    usual = USUAL_PATHS[candidate.dialect]
    action = endpoint.path.rpartition(":")[2]
    if candidate.translated:
        path = own or usual
        action = "streamGenerateContent" if call.stream else "generateContent"
        query = "alt=sse" if candidate.dialect == "gemini" and call.stream else ""
    elif own and endpoint.operation == GENERATE:
        path = own
    else:
        path = (own.removesuffix(usual) if own.endswith(usual) else "") + endpoint.path
    if "{" in path:
        path = path.replace("{model}", quote(candidate.model, safe="/")).replace("{action}", action)
    url = _join(channel.base_url, path)
    return f"{url}?{query}" if query else url


def _join(base_url: str, path: str) -> str:
    # SDKs are configured with and without the version in the base URL; so are channels.
    version = path[1:].partition("/")[0]
    if base_url.endswith(f"/{version}"):
        base_url = base_url[: -len(version) - 1]
    return base_url + path


