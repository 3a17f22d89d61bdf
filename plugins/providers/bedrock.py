"""Amazon Bedrock: Anthropic's models by InvokeModel, all others by Converse.

A channel's key is a Bedrock API key, or ``ACCESS_KEY_ID:SECRET_ACCESS_KEY``, or
``ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN``, with which requests are signed. Without a key they are
signed with the credentials that AWS gives this machine.

Source: the Amazon Bedrock API reference (InvokeModel, InvokeModelWithResponseStream, Converse,
ConverseStream, CountTokens) and the user guide's "Anthropic Claude Messages API".
"""

import base64
import dataclasses
import functools
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

from gateway import BadRequest, JsonText, Provider, aws, hookimpl, option

# What the user guide lists as accepted; others would be refused with a 400.
_BETAS = """computer-use-2024-10-22 computer-use-2025-01-24 token-efficient-tools-2025-02-19
interleaved-thinking-2025-05-14 output-128k-2025-02-19 dev-full-thinking-2025-05-14 context-1m-2025-08-07
context-management-2025-06-27 effort-2025-11-24 tool-search-tool-2025-10-19 tool-examples-2025-10-29""".split()
_APIS = ("auto", "invoke", "converse")
_REFUSED = ("service_tier", "mcp_servers", "container", "inference_geo", "speed")


@dataclass(frozen=True, kw_only=True)
class ChannelOptions:
    region: str = option("AWS region of the endpoint, and of the signature")
    api: str = option("auto: invoke for Anthropic's models, converse for others", "auto", choices=_APIS)
    betas: list[str] = option("values of anthropic-beta that are passed on", _BETAS)


@hookimpl
def register_providers(register):
    register(Provider(
        "bedrock",
        {"messages": "/model/{model}/invoke"},
        "https://bedrock-runtime.${channel.options.region}.amazonaws.com",
        operations=frozenset({"count_tokens"}),
        paths={"count_tokens": "/model/{model}/count-tokens"},
        traits=frozenset({"no_image_url", "no_file_url"}),
        keyless=True,
        keyless_egress=aws.identity_places(os.environ),
    ))  # fmt: skip


@hookimpl
def rewrite_request(call, channel, request):
    base, _, path = request.url.partition("?")[0].partition("/model/")
    name, _, verb = path.rpartition("/")
    model = unquote(name)
    betas = request.headers.pop("anthropic-beta", "")
    request.headers.pop("anthropic-version", None)
    request.headers["accept"] = "application/json"
    if verb == "count-tokens":
        counted = JsonText.parse(request.body.data)
        counted = {"max_tokens": 1} | {k: v for k, v in counted.items() if k not in ("model", "stream")}
        counted["anthropic_version"] = "bedrock-2023-05-31"
        body = base64.b64encode(JsonText.write(counted)).decode()
        _replace(request, {"input": {"invokeModel": {"body": body}}})
    elif channel.options.api == "invoke" or (channel.options.api == "auto" and "anthropic." in model):
        verb = "invoke-with-response-stream" if call.stream else "invoke"
        _invoke(channel, request, betas)
    else:
        verb = "converse-stream" if call.stream else "converse"
        _converse(call, channel, request, model)
    if call.stream:
        request.headers["accept"] = aws.MEDIA_TYPE
    # An ARN holds slashes and colons, all of which belong to the one segment.
    request.url = f"{base}/model/{quote(model, safe='')}/{verb}"


def _invoke(channel, request, betas):
    data = request.body.data
    request.unset_member("/model")
    request.unset_member("/stream")
    if b'"anthropic_version"' not in data:
        request.set_member("/anthropic_version", "bedrock-2023-05-31")
    for name in _REFUSED:
        if b'"%s"' % name.encode() in data and name in JsonText.parse(data):
            request.unset_member(f"/{name}")
            request.dropped.append(name)
    given = [beta.strip() for beta in betas.split(",") if beta.strip()]
    request.dropped += [f"anthropic-beta.{beta}" for beta in given if beta not in channel.options.betas]
    kept = [beta for beta in given if beta in channel.options.betas]
    if kept:
        request.set_member("/anthropic_beta", kept)


def _converse(call, channel, request, model):
    written, dropped = aws.to_converse(JsonText.parse(request.body.data), "anthropic" in model)
    if dropped and (channel.settings.strict or call.strict):
        names = ", ".join(dropped)
        text = f"channel {channel.name!r} speaks Bedrock's Converse and cannot carry: {names}"
        raise BadRequest(text, code="not_translatable", details={"dropped": dropped})
    request.dropped += dropped
    _replace(request, written)


def _replace(request, document):
    request.body_edits.clear()
    request.body = dataclasses.replace(request.body, data=JsonText.write(document), content_type="application/json")


@hookimpl
def authorize(channel, key, request, tools, refresh):
    if key is None:
        find = functools.partial(aws.find_credentials, os.environ, tools, channel.options.region)
        credentials = tools.cache.fetch("credentials", find, refresh)
    else:
        access_key, colon, rest = key.reveal().partition(":")
        if not colon:
            request.headers["authorization"] = f"Bearer {access_key}"
            return True
        secret_key, _, token = rest.partition(":")
        credentials = aws.Credentials(access_key, secret_key, token)
    signer = aws.Signer(credentials, channel.options.region, "bedrock")
    signed = {"content-type": request.headers["content-type"]}
    now = datetime.now(UTC)
    request.headers["host"] = urlsplit(request.url).netloc
    request.headers.update(signer.sign(request.method, request.url, signed, request.body.data, now))
    return True


@hookimpl
def decode_stream(call, media_type):
    message_id = f"msg_{call.id}"
    if media_type == aws.MEDIA_TYPE:
        return Events(message_id, call.model)
    return Whole(message_id, call.model) if media_type == "application/json" else None


@hookimpl
def classify_failure(response):
    # ModelErrorException: the model failed, and another may not.
    return "retry" if response.status == 424 else None


class Events:
    """AWS's frames in, Anthropic's server-sent events out: InvokeModel's are packed, Converse's translated."""

    def __init__(self, message_id, model):
        self._frames = aws.FrameReader()
        self._converse = aws.ConverseStream(message_id, model)

    def feed(self, data):
        return b"".join([self._read(message) for message in self._frames.feed(data)])

    def _read(self, message):
        if message.headers.get(":event-type") != "chunk":
            return self._converse.feed(message)
        packed = base64.b64decode(JsonText.parse(message.payload)["bytes"])
        name = JsonText.parse(packed)["type"]
        # White space between the members of JSON may be a line end, which would end the data.
        return b"event: %s\ndata: %s\n\n" % (name.encode(), packed.replace(b"\r", b" ").replace(b"\n", b" "))

    def close(self):
        self._frames.close()
        return self._converse.close()


class Whole:
    """A whole reply: Converse's and CountTokens' are translated, InvokeModel's is Anthropic's own."""

    media_type = "application/json"

    def __init__(self, message_id, model):
        self._message_id, self._model = message_id, model
        self._pieces = []

    def feed(self, data):
        self._pieces.append(data)
        return b""

    def close(self):
        data = b"".join(self._pieces)
        try:
            document = JsonText.parse(data)
        except JsonText.NotJson:
            return data
        if not isinstance(document, dict):
            return data
        if "stopReason" in document:
            return JsonText.write(aws.from_converse(document, self._message_id, self._model))
        if set(document) == {"inputTokens"}:
            return JsonText.write({"input_tokens": document["inputTokens"]})
        return data
