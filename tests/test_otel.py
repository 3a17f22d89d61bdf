"""What the otel plugin refuses to be told."""

import pytest

from gateway.app import create_app
from gateway.errors import ConfigError

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
