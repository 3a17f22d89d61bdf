"""The calls that a check makes: a model list, which costs nothing, and the smallest question there is."""

import uuid
from dataclasses import replace

from gateway import __version__, json_text
from gateway.attempt.upstream_request import USUAL_PATHS, build_request
from gateway.bodies import JsonBody
from gateway.config.kinds import Seconds
from gateway.dialects.registry import DIALECTS
from gateway.dialects.vocabulary import Prompt, Target, Text, Turn
from gateway.domain import GENERATE, Call, Candidate, Channel, Endpoint
from gateway.endpoints import MODELS
from gateway.headers import Headers
from gateway.plugin_manager import Plugin, ask

FEWEST_TOKENS = 16  # OpenAI's least for max_output_tokens; others take less

# Where each dialect lists models, and how to get as many as it gives at once (the default is 20 or 50).
_LISTS = {
    "chat": ("/v1/models", ""),
    "responses": ("/v1/models", ""),
    "messages": ("/v1/models", "limit=1000"),
    "gemini": ("/v1beta/models", "pageSize=1000"),
}
_TIMEOUTS = ("connect", "first_event", "idle", "total")


def list_call(dialect: str) -> Call:
    """What asks for the models of an account."""
    path, query = _LISTS[dialect]
    return Call(_new_id(), Endpoint(dialect, MODELS, path), "GET", query, _headers(), None, "", False)


def tiny_call(channel: Channel, dialect: str, model: str, stream: bool, tokens: int) -> Call:
    """What asks *model* to say hello in at most *tokens* tokens, and, of a stream, to tell its usage."""
    prompt = Prompt("", model, [Turn("user", [Text("Say hello.")])], max_tokens=tokens, stream=stream)
    written = DIALECTS[dialect].write_request(prompt, Target(model, channel.provider.traits))
    path, query = USUAL_PATHS[dialect], ""
    if dialect == "gemini":
        path = path.replace("{action}", "streamGenerateContent" if stream else "generateContent")
        query = "alt=sse" if stream else ""
    endpoint = Endpoint(dialect, GENERATE, path, model if dialect == "gemini" else "", stream, True)
    body = JsonBody(json_text.write(written.document))
    return Call(_new_id(), endpoint, "POST", query, _headers(), body, model, stream)


def address_of(call: Call, candidate: Candidate, plugin: Plugin | None) -> str:
    """Where *call* goes, without its query: the provider's plugin may lead it elsewhere than
    base_url. Raises what the plugin raises."""
    request = build_request(call, candidate)
    if plugin is not None and "rewrite_request" in plugin.hooks:
        ask(plugin, "rewrite_request", call=call, channel=candidate.channel, request=request)
    return request.url.partition("?")[0]


def hurried(channel: Channel, seconds: float) -> Channel:
    """The same channel with no timeout longer than *seconds*."""
    timeouts = channel.timeouts
    most = {name: Seconds(min(getattr(timeouts, name), seconds)) for name in _TIMEOUTS}
    return replace(channel, settings=replace(channel.settings, timeout=replace(timeouts, **most)))


def _headers() -> Headers:
    return Headers({"accept": "application/json", "user-agent": f"llm-gateway/{__version__} (live check)"})


def _new_id() -> str:
    return f"check_{uuid.uuid4().hex}"
