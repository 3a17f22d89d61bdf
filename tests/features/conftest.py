"""Gateways in the test's own process, with plugins that have begun, and an upstream that says what it got."""

import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

CHANNELS = """
channels:
  - {name: chat, provider: openai, key: up-chat, models: [gpt], base_url: https://chat.test, tags: [us]}
  - {name: messages, provider: anthropic, key: up-m, models: [claude], base_url: https://messages.test, tags: [eu]}
  - {name: gemini, provider: google, key: up-gemini, models: [gemini], base_url: https://gemini.test, tags: [eu, beta]}
  - {name: responses, provider: openai, key: up-responses, models: [codex], base_url: https://responses.test}
"""
# dialect -> path of a call
PATHS = {
    "chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages",
    "gemini": "/v1beta/models/gemini:generateContent",
}  # fmt: skip
UPSTREAM = {
    "chat": "https://chat.test/v1/chat/completions", "responses": "https://responses.test/v1/responses",
    "messages": "https://messages.test/v1/messages",
    "gemini": "https://gemini.test/v1beta/models/gemini:generateContent",
}  # fmt: skip
MODELS = {"chat": "gpt", "responses": "codex", "messages": "claude", "gemini": "gemini"}


@pytest.fixture(name="serving")
def _serving(serving_client_of):
    """serving(plugins, more="") -> a client of a gateway whose plugins have begun."""
    return lambda plugins, more="": serving_client_of(f"plugins: {plugins}\n{CHANNELS}\n{more}\n")


class Channels:
    """The upstreams: what they were sent, and what they answer."""

    def __init__(self, network):
        self._network = network

    def say(self, dialect, body, content_type="application/json", **more):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = UPSTREAM[dialect]
        if content_type == "text/event-stream" and dialect == "gemini":
            url = url.replace("generateContent", "streamGenerateContent")
        self._network.upsert("POST", url, body=data, content_type=content_type, **more)

    @property
    def sent(self):
        """The bodies of all calls that came."""
        return [call.request.body for call in self._network.calls]


@pytest.fixture(name="channels")
def _channels(network):
    return Channels(network)


@pytest.fixture(name="ask")
def _ask(sent):
    """ask(client, dialect, said, headers, **more members) -> the answer."""

    def ask(client, dialect="chat", said="hi", headers=None, body=None, **more):
        message = {"role": "user", "content": said}
        document = {
            "chat": {"model": "gpt", "messages": [message]},
            "responses": {"model": "codex", "input": said},
            "messages": {"model": "claude", "max_tokens": 9, "messages": [message]},
            "gemini": {"contents": [{"role": "user", "parts": [{"text": said}]}]},
        }[dialect] | more
        path = PATHS[dialect]
        if dialect == "gemini" and document.pop("stream", False):
            path = path.replace(":generate", ":streamGenerate") + "?alt=sse"
        return sent(client, path, body if body is not None else document, headers, buffered=True)

    return ask
