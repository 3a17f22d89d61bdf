"""The made-up vendor, in code (kit/acme.py) and in YAML (kit/acme.yaml): what is odd about it works, either way."""

from pathlib import Path

import pytest

from gateway.config.document import Complaints, read_document
from gateway.config.kinds import AnyJson
from gateway.testing import Client, Samples, ScriptedUpstream, document, stream

KIT = Path(__file__).parent / "kit"
SAMPLES = Samples(end=b"[BYE]")
QUOTA = {"code": "quota", "message": "come back tomorrow"}
ODD_USAGE = {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"},
             "finish_reason": "stop"}], "meta": {"tokens": {"in": 5, "out": 2}}}  # fmt: skip


@pytest.fixture(name="upstream")
def _upstream():
    with ScriptedUpstream() as upstream:
        yield upstream


def token(name):
    return document({"access_token": name, "expires_in": 3600})


@pytest.fixture(name="way", params=["code", "yaml"])
def _way(request):
    return request.param


@pytest.fixture(name="client")
def _client(way, upstream, tmp_path):
    """A gateway with a channel of Acme's, and one beside it that answers when Acme does not."""
    channels = [
        {"name": "acme", "provider": "acme", "key": "the-secret", "base_url": upstream.url, "priority": 1,
         "models": [{"smart": "acme-1"}]},
        {"name": "spare", "provider": "echo", "models": ["smart"]},
    ]  # fmt: skip
    given = {"plugins_dir": str(KIT), "plugins": ["acme"]}
    if way == "yaml":
        channels[0]["provider"] = "acme-data"
        told = AnyJson.read(read_document((KIT / "acme.yaml").read_text(), {}, Complaints("acme.yaml")))
        given = {"providers": told["providers"]}
    else:
        upstream.say(token("first"))
    with Client({**given, "channels": channels}, tmp_path) as client:
        yield client


def test_the_model_is_renamed_and_the_header_its_own(client, upstream, way):
    upstream.say(document(ODD_USAGE))
    assert client.ask("messages", "Hello", "smart").text == "hi"
    sent = upstream.sent[-1]
    assert sent.path == "/llm/v2/chat"
    assert sent.headers["x-acme-token"] == {"code": "first", "yaml": "the-secret"}[way]
    assert sent.json["model_id"] == "acme-1"
    assert "model" not in sent.json
    assert "authorization" not in sent.headers


@pytest.mark.parametrize("streamed", [False, True])
def test_a_quota_error_inside_a_200_sends_the_call_to_another_channel(streamed, client, upstream):
    upstream.say(document(QUOTA))
    answer = client.ask("chat", "Hello", "smart", stream=streamed)
    assert (answer.status, answer.headers["x-gateway-channel"]) == (200, "spare")
    assert answer.headers["x-gateway-attempts"] == "2"


def test_the_vendors_own_end_is_the_clients_end(client, upstream):
    upstream.say(stream(SAMPLES.stream("chat")))
    answer = client.ask("chat", "Hello", "smart", stream=True)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert b"BYE" not in answer.body
    assert not answer.broken


def test_the_usage_is_found_at_its_odd_place(client, upstream):
    channel = client.gateway.channels[0]
    plugin = client.gateway.provider_plugins[channel.provider.name]
    (found,) = plugin.hooks["read_usage"](channel=channel, document=ODD_USAGE)
    assert (found.input, found.output, found.source) == (5, 2, "upstream")
    assert plugin.hooks["read_usage"](channel=channel, document={"id": "1"}) == []


@pytest.mark.parametrize("way", ["code"], indirect=True)
def test_a_token_is_fetched_once_and_anew_when_it_is_refused(client, upstream):
    upstream.say(document(ODD_USAGE), document(ODD_USAGE))
    for _ in range(2):
        assert client.ask("chat", "Hello", "smart").status == 200
    exchange, *calls = upstream.sent
    assert (exchange.path, exchange.body) == ("/oauth/token", b"grant_type=client_credentials&client_secret=the-secret")
    assert [call.headers["x-acme-token"] for call in calls] == ["first", "first"]
    upstream.say(document({"error": {"message": "expired"}}, 401), token("second"), document(ODD_USAGE))
    assert client.ask("chat", "Hello", "smart").headers["x-gateway-channel"] == "acme"
    assert [sent.headers.get("x-acme-token") for sent in upstream.sent[3:]] == ["first", None, "second"]
