"""Traces as a collector gets them: real OTLP over HTTP, decoded."""

import gzip
import re
import signal
import threading

import pytest
from live_cases import asking, path_of, reply_bytes, stream_events
from live_servers import SECRETS, UPSTREAM_KEY, free_port, until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from web_server import WebServer

pytestmark = pytest.mark.live

YAML = """
plugins:
  - call_log: {{format: text}}
  - otel:
      {{endpoint: "{endpoint}", headers: {{x-collector-key: "${{UPSTREAM_KEY}}"}}, every: 0.1,
       service: test-gateway{more}}}
keys: [{{name: alice, key: "${{CLIENT_KEY}}"}}]
routing: {{retries: 2}}
providers: {{scripted: {{dialects: [chat, messages, gemini], operations: [embeddings]}}}}
channels:
  - &up {{name: up, provider: scripted, models: [up], base_url: "{url}", key: "${{UPSTREAM_KEY}}"}}
  - {{<<: *up, name: first, models: [either], priority: 9}}
  - {{<<: *up, name: second, models: {{either: other}}, base_url: "{spare}"}}
  - {{name: echo, provider: echo, models: [echo]}}
"""
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = f"00-{TRACE}-{PARENT}-01"
both_workers = pytest.mark.parametrize("kind", ["gevent", "gthread"])


class Collector(WebServer):
    """Takes traces. ``spans`` are (span, its attributes); ``status`` is what it answers."""

    def __init__(self):
        self.spans, self.keys, self.raw, self.status, self.services = [], set(), b"", 200, set()
        super().__init__()
        self.url += "/v1/traces"

    def answer(self, request):
        data = request.rfile.read(int(request.headers["content-length"]))
        if request.headers.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        if self.status == 200:
            self.take(request.headers, data)
        return self.status, {}, b""

    def take(self, headers, data):
        self.keys.add(headers["x-collector-key"])
        self.raw += data
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            self.services.add(attributes_of(resource.resource)["service.name"])
            for scope in resource.scope_spans:
                self.spans += [(span, attributes_of(span)) for span in scope.spans]

    def call(self, request_id):
        """(the span of a call, its attributes, its attempts as such pairs in order); waits for them."""

        def found():
            return next((pair for pair in self.spans if pair[1].get("gateway.request_id") == request_id), None)

        span, about = until(found, "the call's span", 8)
        attempts = [pair for pair in self.spans if pair[0].parent_span_id == span.span_id]
        return span, about, sorted(attempts, key=lambda pair: pair[0].start_time_unix_nano)


def attributes_of(holder):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in holder.attributes}


@pytest.fixture(name="collector")
def _collector():
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture(name="traced")
def _traced(start, collector, upstream, spare):
    """traced(kind, endpoint, more) -> a gateway that traces."""

    def traced(kind="gevent", endpoint="", more=""):
        yaml = YAML.format(endpoint=endpoint or collector.url, url=upstream.url, spare=spare.url, more=more)
        return start(yaml, worker_class=kind)

    return traced


def ask(clients, gateway, dialect="chat", model="up", stream=False, **headers):
    return clients(gateway.port).post(path_of(dialect, model, stream), asking(dialect, model, stream=stream), **headers)


@both_workers
def test_a_call_and_its_attempts(kind, traced, collector, upstream, spare, clients):
    """The first channel fails, the second answers; the trace is the client's."""
    gateway = traced(kind)
    upstream.answer(lambda exchange: exchange.reply(b"{}", status="503 Away"))
    spare.answer(lambda exchange: exchange.reply(reply_bytes("chat", stream=False)))
    client = ask(clients, gateway, model="either", traceparent=CONTEXT, tracestate="a=b").head()
    assert client.status == 200
    span, about, (failed, served) = collector.call(client.headers["x-request-id"])
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert (span.name, span.kind) == ("chat either", 2)  # SERVER
    assert about.items() >= {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "either", "gen_ai.response.model": "other",
        "gen_ai.provider.name": "scripted", "server.address": "127.0.0.1", "server.port": spare.port,
        "http.response.status_code": 200, "gateway.key": "alice", "gateway.channel": "second", "gateway.attempts": 2,
        "gen_ai.usage.input_tokens": 5, "gateway.outcome": "complete",
    }.items()  # fmt: skip
    assert about["gen_ai.usage.output_tokens"] > 0
    assert "error.type" not in about
    assert failed[1].items() >= {"gateway.channel": "first", "http.response.status_code": 503}.items()
    assert failed[1]["error.type"]
    assert failed[0].status.code == 2  # ERROR
    assert served[1].items() >= {"gateway.channel": "second", "server.port": spare.port}.items()
    assert served[0].status.code == 0
    assert all((pair[0].trace_id, pair[0].kind) == (span.trace_id, 3) for pair in (failed, served))  # CLIENT
    assert span.start_time_unix_nano <= failed[0].start_time_unix_nano <= failed[0].end_time_unix_nano
    assert served[0].end_time_unix_nano <= span.end_time_unix_nano
    for exchange in (*upstream.exchanges, *spare.exchanges):
        assert exchange.headers["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
        assert exchange.headers["tracestate"] == "a=b"
    assert collector.services == {"test-gateway"}
    assert collector.keys == {UPSTREAM_KEY}
    assert not [secret for secret in SECRETS if secret.encode() in collector.raw]
    assert b"Hello" not in collector.raw


@both_workers
def test_a_stream_is_one_span_until_its_end(kind, traced, collector, upstream, clients):
    gateway = traced(kind)
    client = ask(clients, gateway, stream=True)
    first, *others = stream_events("chat")
    with upstream.take() as exchange:
        exchange.start().chunk(first)
        client.head().expect(first)
        threading.Event().wait(0.3)
        exchange.chunk(b"".join(others)).last_chunk()
    assert client.rest()[1]
    span, about, ((attempt, _),) = collector.call(client.headers["x-request-id"])
    for each in (span, attempt):
        assert each.end_time_unix_nano - each.start_time_unix_nano > 0.3e9
    assert 0 < about["gen_ai.response.time_to_first_chunk"] < 0.3
    assert about["gen_ai.request.stream"] is True


def test_a_stream_that_breaks_and_a_client_that_leaves(traced, collector, upstream, clients):
    gateway = traced()
    found = []
    for leaves in (False, True):
        client = ask(clients, gateway, stream=True)
        with upstream.take() as exchange:
            first = stream_events("chat")[0]
            exchange.start().chunk(first)
            client.head().expect(first)
            if leaves:
                client.leave()
                assert exchange.left_within(1)
            else:
                exchange.reset()
        found.append(collector.call(client.headers["x-request-id"]))
    (broken, about, _), (left, about_left, _) = found
    assert (about["gateway.outcome"], broken.status.code) == ("truncated", 2)
    assert (about_left["gateway.outcome"], left.status.code) == ("client_closed", 0)
    assert about["error.type"]


@pytest.mark.parametrize("header", [None, "00-zz", "00-" + "0" * 32 + "-b7ad6b7169203331-01", CONTEXT + "-more"])
def test_without_a_sound_context_a_trace_begins(header, traced, collector, upstream, clients):
    upstream.answer(lambda exchange: exchange.reply(reply_bytes("chat", stream=False)))
    client = ask(clients, traced(), traceparent=header, tracestate="a=b").head()
    span, _, _ = collector.call(client.headers["x-request-id"])
    assert span.parent_span_id == b""
    (exchange,) = upstream.exchanges
    # Flags: sampled, and (level 2 of the W3C's text) made at random.
    assert re.fullmatch(f"00-{span.trace_id.hex()}-{span.span_id.hex()}-0[13]", exchange.headers["traceparent"])
    assert "tracestate" not in exchange.headers


def test_what_is_not_traced_is_passed_on_all_the_same(traced, collector, upstream, clients):
    upstream.answer(lambda exchange: exchange.reply(reply_bytes("chat", stream=False)))
    gateway = traced()
    assert ask(clients, gateway, traceparent=CONTEXT[:-1] + "0").head().status == 200
    marker = ask(clients, gateway).head()
    collector.call(marker.headers["x-request-id"])
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", upstream.exchanges[0].headers["traceparent"])
    assert all(span.trace_id.hex() != TRACE for span, _ in collector.spans)


def test_clients_may_be_kept_from_choosing(traced, collector, upstream, clients):
    upstream.answer(lambda exchange: exchange.reply(reply_bytes("chat", stream=False)))
    gateway = traced(more=", from_client: false")
    client = ask(clients, gateway, traceparent=CONTEXT).head()
    span, _, _ = collector.call(client.headers["x-request-id"])
    assert span.trace_id.hex() != TRACE
    assert TRACE not in upstream.exchanges[0].headers["traceparent"]


def test_refused_calls_and_other_operations(traced, collector, upstream, clients):
    gateway = traced()
    refused = ask(clients, gateway, model="nothing").head()
    assert refused.status == 404
    span, about, attempts = collector.call(refused.headers["x-request-id"])
    assert (about["error.type"], span.status.code, attempts) == ("model_not_found", 0, [])
    upstream.answer(lambda exchange: exchange.reply(b'{"data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}'))
    client = clients(gateway.port).post("/v1/embeddings", {"model": "up", "input": "x"}).head()
    assert collector.call(client.headers["x-request-id"])[0].name == "embeddings up"


@pytest.mark.parametrize("how, kind", [("away", "gevent"), ("silent", "gevent"), ("refusing", "gthread")])
def test_a_collector_that_is_away_costs_nothing(how, kind, traced, collector, full, upstream, clients):
    collector.status = 503
    nobody = f"http://127.0.0.1:{free_port()}"
    endpoint = {"away": nobody + "/v1/traces", "silent": full + "/v1/traces", "refusing": ""}[how]
    gateway = traced(kind, endpoint, ", queue: 20, timeout: 1")
    client = clients(gateway.port)

    def call():
        client.post(path_of("chat", "echo"), asking("chat", "echo", stream=False)).head()
        assert client.status == 200
        assert client.rest()[1]

    for _ in range(60):
        call()
    gateway.logged("traces cannot be delivered")
    assert gateway.log().count("traces cannot be delivered") == 1
    assert "Traceback" not in gateway.log()
    collector.status = 200
    if how == "refusing":
        call()  # all spans before it may be dropped already: what was refused is not sent again
        gateway.logged("traces are delivered again")
    client.leave()
    gateway.signal(signal.SIGTERM)
    assert gateway.exited(10) == 0


@both_workers
def test_what_began_before_a_reload_or_the_end_is_told_after_it(kind, traced, collector, upstream, clients):
    gateway = traced(kind)
    first, *others = stream_events("chat")
    streams = []
    for _ in range(2):
        client = ask(clients, gateway, stream=True)
        exchange = upstream.take()
        exchange.start().chunk(first)
        client.head().expect(first)
        streams.append((client, exchange))
        if len(streams) == 1:
            gateway.config.write_text(gateway.config.read_text().replace("test-gateway", "another"))
            gateway.signal(signal.SIGHUP)
            gateway.logged("configuration reloaded")
    gateway.signal(signal.SIGTERM)
    for client, exchange in streams:
        with exchange:
            exchange.chunk(b"".join(others)).last_chunk()
        assert client.rest()[1]
        client.leave()
    assert gateway.exited(10) == 0
    for client, _ in streams:
        collector.call(client.headers["x-request-id"])
    assert collector.services == {"test-gateway", "another"}
