"""What the otel plugin refuses to be told."""

import subprocess
import sys

import pytest

from gateway.app import create_app
from gateway.errors import ConfigError
from tests.web_server import WebServer

YAML = """
plugins: [{{otel: {{{}}}}}]
channels: [{{name: echo, provider: echo}}]
"""


@pytest.mark.parametrize(
    "options, complaint",
    [
        ("endpoint: collector", "endpoint: expected an http"),
        ("endpoint: 'grpc://collector:4317'", "found grpc scheme"),
        ("endpoint: 'http://user:hidden@collector/v1'", "a key goes into `headers`"),
        ("ratio: 1.5", "expected 0 to 1, found 1.5"),
        ("queue: 0", "more than 0"), ("every: 0", "more than 0"), ("endpont: x", "did you mean 'endpoint'"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(options, complaint, write_config):
    with pytest.raises(ConfigError, match=complaint) as caught:
        create_app(write_config(YAML.format(options)))
    assert "hidden" not in str(caught.value)


def test_headers_are_secrets(app_of, plugin_of):
    client = app_of(YAML.format("headers: {x-key: hidden}")).test_client()
    assert "hidden" not in repr(plugin_of(client, "otel")._options)


def test_nothing_is_traced_or_sent_before_it_begins(client_of, sent):
    client = client_of(YAML.format(""))
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
    assert sent(client, "/v1/chat/completions", body).status_code == 200


class Collector(WebServer):
    """Notes what it is sent."""

    def __init__(self):
        self.sent = []
        super().__init__()

    def answer(self, request):
        self.sent.append(request.rfile.read(int(request.headers["content-length"])))
        return 200, {}, b""


LAST_CALL = """
import sys
from pathlib import Path
from gateway.testing.client import Client

config = Path(sys.argv[1])
client = Client(config)
answer = client.ask("chat", "hello", "echo", stream=True)
config.write_text("channels: [{name: echo, provider: echo}]")
assert client._app.extensions["gateway"].reload()
assert answer.body
print(answer.headers["x-request-id"])
"""


def test_a_process_that_ends_with_the_last_call_of_an_old_configuration_tells_of_it_first(write_config):
    collector = Collector()
    try:
        config = write_config(YAML.format(f"endpoint: '{collector.url}', every: 60"))
        command = [sys.executable, "-c", LAST_CALL, str(config)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        assert [ended.stdout.strip().encode() in data for data in collector.sent] == [True]
    finally:
        collector.stop()
