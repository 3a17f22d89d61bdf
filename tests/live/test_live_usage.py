"""What a call's record says it used, against what the upstream said: all dialects and pairs, cut anywhere."""

import json

import pytest
from live_cases import DIALECTS, asking, each_dialect, path_of, reply_bytes, stream_events
from live_servers import CLIENT_KEY, UPSTREAM_KEY, Gateway, end, until

pytestmark = pytest.mark.live

YAML = """
plugins: [limits, usage_log]   # whoever limits has to count
plugins_dir: {folder}
keys: [{{name: alice, key: "${{CLIENT_KEY}}"}}]
providers:
  scripted:
    dialects: [chat, responses, messages, gemini]
    dialect_auth: {{messages: x-api-key, gemini: "header:x-goog-api-key"}}
    operations: [embeddings, images, stored_responses]
  only_chat: {{dialects: [chat]}}
  only_responses: {{dialects: [responses]}}
  only_messages: {{dialects: [messages], auth: x-api-key}}
  only_gemini: {{dialects: [gemini], auth: "header:x-goog-api-key"}}
  mute: {{dialects: [chat], traits: [no_stream_options]}}
channels:
  - &up {{name: up, provider: scripted, key: "${{UPSTREAM_KEY}}", base_url: "{url}", models: [up]}}
  - {{<<: *up, name: mute, provider: mute, models: [mute]}}
  - {{<<: *up, name: to-chat, provider: only_chat, models: [to-chat]}}
  - {{<<: *up, name: to-responses, provider: only_responses, models: [to-responses]}}
  - {{<<: *up, name: to-messages, provider: only_messages, models: [to-messages]}}
  - {{<<: *up, name: to-gemini, provider: only_gemini, models: [to-gemini]}}
"""
PLUGIN = """
import dataclasses, json, os
from gateway import hookimpl

@hookimpl
def after_call(call, record):
    line = json.dumps({"id": call.id, "outcome": record.outcome, **dataclasses.asdict(record.usage)})
    with open(os.environ["USAGE_LOG"], "a") as file:
        file.write(line + "\\n")
"""
NOTHING = dict.fromkeys(
    "input output cached cache_write cache_write_1h input_audio output_audio reasoning images seconds".split()
)
TOLD = {"input": 5, "output": 7, "source": "upstream"}  # what every reply in cases/replies says


@pytest.fixture(scope="module", name="log")
def _log(folder):
    return folder / "usage.jsonl"


@pytest.fixture(scope="module", name="metered")
def _metered(folder, upstreams, log):
    """A gateway whose records are written down."""
    plugins = folder / "usage_plugins"
    plugins.mkdir()
    (plugins / "usage_log.py").write_text(PLUGIN)
    environment = {"UPSTREAM_KEY": UPSTREAM_KEY, "CLIENT_KEY": CLIENT_KEY, "USAGE_LOG": str(log)}
    yaml = YAML.format(folder=plugins, url=upstreams[0].url)
    gateway = Gateway(folder, yaml, name="metered", environment=environment)
    yield gateway
    end(gateway)


@pytest.fixture(name="ask")
def _ask(clients, metered):
    """ask(dialect, model, stream, **more) -> a client whose reply has begun."""

    def ask(dialect, model="up", stream=True, **more):
        client = clients(metered.port)
        return client.post(path_of(dialect, model, stream), asking(dialect, model, stream=stream) | more).head()

    return ask


@pytest.fixture(name="used")
def _used(log):
    """used(client) -> what the record of its call says, without what is None."""

    def find(request_id):
        lines = log.read_text().splitlines() if log.exists() else []
        return [record for record in map(json.loads, lines) if record["id"] == request_id]

    def used(client):
        (record,) = until(lambda: find(client.headers["x-request-id"]), "the call's record")
        return {name: value for name, value in record.items() if name not in ("id", "outcome") and value is not None}

    return used


@each_dialect
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("other", DIALECTS)
def test_the_record_says_what_the_upstream_said(dialect, other, stream, upstream, ask, used):
    data = reply_bytes(other, stream=stream)
    upstream.answer(lambda exchange: exchange.stream(data) if stream else exchange.reply(data))
    client = ask(dialect, "up" if dialect == other else f"to-{other}", stream)
    _, complete = client.rest()
    assert complete
    found = used(client)
    assert {name: found[name] for name in TOLD} == TOLD
    assert not {name for name, value in found.items() if name not in TOLD and value}


@each_dialect
@pytest.mark.parametrize("size", [1, 7, 100])
def test_however_the_stream_is_cut(dialect, size, upstream, ask, used):
    data = reply_bytes(dialect)

    def answer(exchange):
        exchange.start()
        for start in range(0, len(data), size):
            exchange.chunk(data[start : start + size])
        exchange.last_chunk()

    upstream.answer(answer)
    client = ask(dialect)
    client.rest()
    found = used(client)
    assert {name: found[name] for name in TOLD} == TOLD


def test_a_client_that_did_not_ask_gets_its_stream_without_the_usage_chunk(upstream, ask, used):
    events = stream_events("chat")
    upstream.answer(lambda exchange: exchange.stream(b"".join(events)))
    client = ask("chat")
    data, complete = client.rest()
    assert json.loads(upstream.exchanges[0].body)["stream_options"] == {"include_usage": True}
    assert complete
    assert data == b"".join(event for event in events if b'"choices":[]' not in event)
    assert used(client) == TOLD


def test_a_client_that_asked_gets_it_and_its_body_is_untouched(upstream, ask, used):
    data = reply_bytes("chat")
    upstream.answer(lambda exchange: exchange.stream(data))
    client = ask("chat", stream_options={"include_usage": True, "include_obfuscation": False})
    assert client.rest() == (data, True)
    assert json.loads(upstream.exchanges[0].body)["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert used(client) == TOLD


def test_a_vendor_that_does_not_know_the_option_is_not_asked(upstream, ask, used):
    data = b"".join(event for event in stream_events("chat") if b'"choices":[]' not in event)
    upstream.answer(lambda exchange: exchange.stream(data))
    client = ask("chat", "mute")
    assert client.rest() == (data, True)
    assert b"stream_options" not in upstream.exchanges[0].body
    found = used(client)
    assert found["source"] == "estimated"
    assert 0 < found["input"] < 12
    assert 0 < found["output"] < 20


@each_dialect
def test_a_client_that_leaves_is_charged_what_was_seen(dialect, upstream, ask, used):
    events = stream_events(dialect)
    events = [event for event in events if b"usageMetadata" not in event or b"finishReason" not in event]
    part = next(number for number, event in enumerate(events) if "Grüße".encode() in event) + 1
    client = ask_and_take(upstream, ask, dialect, b"".join(events[:part]))
    client.leave()
    found = used(client)
    assert found["source"] == "partial"
    assert 0 < found["input"] < 12
    assert 0 < found["output"] < 10


@each_dialect
def test_a_stream_that_breaks_is_charged_what_was_seen(dialect, upstream, ask, used):
    events = stream_events(dialect)
    part = next(number for number, event in enumerate(events) if "Grüße".encode() in event) + 1

    def answer(exchange):
        exchange.start().chunk(b"".join(events[:part]))
        exchange.reset()

    upstream.answer(answer)
    client = ask(dialect)
    _, complete = client.rest()
    assert not complete
    found = used(client)
    assert found["source"] == "partial"
    assert 0 < found["input"] < 12
    assert 0 < found["output"] < 10


def test_a_reply_too_large_to_be_held_is_read_at_its_end(upstream, clients, metered, used):
    data = b'{"data":[{"embedding":[' + b"0.125," * 300_000 + b'0]}],"usage":{"prompt_tokens":9,"total_tokens":9}}'
    upstream.answer(lambda exchange: exchange.reply(data))
    client = clients(metered.port).post("/v1/embeddings", {"model": "up", "input": "x"}).head()
    assert client.rest() == (data, True)
    assert used(client) == {"input": 9, "source": "upstream"}


def test_a_large_event_passes_in_pieces_and_its_usage_is_found(upstream, clients, metered, used):
    picture = b"A" * 900_000
    behind = b'","usage":{"input_tokens":11,"output_tokens":22,"total_tokens":33}}\n\n'
    preview = b'data: {"type":"image_generation.partial_image","b64_json":"AAAA"}\n\n'
    start = b'data: {"type":"image_generation.completed","b64_json":"'
    body = {"model": "up", "prompt": "x", "stream": True}
    client = clients(metered.port).post("/v1/images/generations", body)
    with upstream.take() as exchange:
        exchange.start().chunk(preview)
        client.head().expect(preview)
        exchange.chunk(start + picture)
        client.expect(start + picture[: 256 * 1024])  # before the event is whole
        exchange.chunk(behind).last_chunk()
        client.rest()
    assert used(client) == {"input": 11, "output": 22, "images": 1, "source": "upstream"}


def test_an_array_stream_of_google_is_read(upstream, clients, metered, used):
    chunks = [event.removeprefix(b"data: ").strip() for event in stream_events("gemini")]
    data = b"[" + b",\r\n".join(chunks) + b"]"
    upstream.answer(lambda exchange: exchange.start(kind="application/json").chunk(data).last_chunk())
    path = path_of("gemini", "up").partition("?")[0]
    client = clients(metered.port).post(path, asking("gemini", "up")).head()
    assert client.rest() == (data, True)
    assert used(client) == TOLD


def test_a_stored_response_is_not_counted_again(upstream, clients, metered, used):
    upstream.answer(lambda exchange: exchange.reply(reply_bytes("responses", stream=False)))
    client = clients(metered.port).ask("GET", "/v1/responses/resp_1").head()
    assert client.status == 200
    client.rest()
    assert used(client) == {"source": "unknown"}


def ask_and_take(upstream, ask, dialect, data):
    """A client that has read *data*, of a stream that goes on."""

    def answer(exchange):
        exchange.start().chunk(data)
        exchange.left_within(10)
        exchange.close()

    upstream.answer(answer)
    client = ask(dialect)
    client.expect(data)
    return client
