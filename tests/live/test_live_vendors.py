"""A stream in AWS's framing, through a real gateway: each frame leaves as an event at once, a broken
one looks broken; a token that ran out is refreshed once, over real sockets."""

import base64
import json

import pytest

from gateway import aws

pytestmark = pytest.mark.live

YAML = """
keys: [{name: gateway, key: "${CLIENT_KEY}"}]
plugins: [{call_log: {format: text}}]
routing: {retries: 0}
channels:
  - name: aws
    provider: bedrock
    key: AKID:secret
    base_url: ${UP}
    options: {region: eu-west-1}
    models: ["anthropic.*"]
  - name: azure
    provider: azure
    key: client-secret
    base_url: ${UP}
    options: {tenant: t, client_id: c, authority: "${UP}"}
    models: [gpt]
"""


@pytest.fixture(name="vendors")
def _vendors(start, upstream):
    return start(YAML, environment={"UP": upstream.url})


def frame(document):
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(document).encode()).decode()}).encode()
    return aws.write_message({":message-type": "event", ":event-type": "chunk"}, payload)


def test_frames_leave_as_events_at_once_and_a_cut_is_told(vendors, upstream, clients):
    client = clients(vendors.port)
    client.post("/v1/messages", {"model": "anthropic.m", "stream": True, "max_tokens": 9, "messages": []})
    with upstream.take() as exchange:
        assert exchange.target == "/model/anthropic.m/invoke-with-response-stream"
        assert exchange.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
        exchange.start(kind=aws.MEDIA_TYPE)
        for kind in ("message_start", "ping"):
            data = frame({"type": kind})
            exchange.chunk(data[:20]).chunk(data[20:])
            if kind == "message_start":
                client.head()
            # Only now does the upstream go on: each event was on its way before the next began.
            client.expect(b'event: %s\ndata: {"type": "%s"}\n\n' % (kind.encode(), kind.encode()))
        exchange.chunk(frame({"type": "x"})[:30])
        exchange.close()
    rest, complete = client.rest()
    assert b"event: error" in rest
    assert not complete


def test_a_whole_stream_is_complete(vendors, upstream, clients):
    client = clients(vendors.port)
    client.post("/v1/messages", {"model": "anthropic.m", "stream": True, "max_tokens": 9, "messages": []})
    with upstream.take() as exchange:
        exchange.start(kind=aws.MEDIA_TYPE).chunk(frame({"type": "message_start"}) + frame({"type": "message_stop"}))
        exchange.last_chunk()
    rest, complete = client.head().rest()
    assert (client.status, complete) == (200, True)
    assert rest.endswith(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')


def test_a_token_that_ran_out_is_refreshed_once(vendors, upstream, clients):
    client = clients(vendors.port)
    client.post("/v1/chat/completions", {"model": "gpt", "messages": []})
    for token, status in (("one", "401 Unauthorized"), ("two", "200 OK")):
        with upstream.take() as exchange:
            assert (exchange.method, exchange.target) == ("POST", "/t/oauth2/v2.0/token")
            assert b"client_secret=client-secret" in exchange.body
            exchange.reply(json.dumps({"access_token": token, "expires_in": 3600}).encode())
        with upstream.take() as exchange:
            assert exchange.headers["authorization"] == f"Bearer {token}"
            exchange.reply(b'{"choices":[]}', status=status)
    assert client.head().status == 200
    assert client.headers["x-gateway-attempts"] == "1"
    client.rest()
    client.post("/v1/chat/completions", {"model": "gpt", "messages": []})
    with upstream.take() as exchange:  # the second token is kept
        assert exchange.headers["authorization"] == "Bearer two"
        exchange.reply(b'{"choices":[]}')
    assert client.head().status == 200
