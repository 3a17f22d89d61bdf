"""Traces for OpenTelemetry, sent by OTLP over HTTP (extra ``otel``): a span for each call, and one for each
attempt inside it.

The client's W3C trace context is taken and passed on, with the call's own span as the upstream's parent.
Spans leave in batches from a thread of their own: a collector that is away costs a call nothing, and what
does not fit into the queue is dropped. Nothing of what was said, and no secret, is in a span.
"""

import atexit
import logging
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway import Secret, hookimpl, option

try:
    import requests
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise ImportError("it needs an extra: pip install 'llm-gateway[otel]'") from None

log = logging.getLogger("gateway.otel")
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would say each failure anew; see _Telling

_NAME = "otel"
_LAST_MOMENT = 2.0  # seconds for what is in the queue when the worker ends
_CONTEXT = TraceContextTextMapPropagator()

# Our words -> those of OpenTelemetry's GenAI conventions, where these differ.
_OPERATIONS = {"completions": "text_completion"}
_GENERATE = {"gemini": "generate_content"}
_VENDORS = {
    "google": "gcp.gemini", "vertex": "gcp.vertex_ai", "bedrock": "aws.bedrock", "azure": "azure.ai.openai",
    "mistral": "mistral_ai", "xai": "x_ai",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    endpoint: str = option("where traces go, path and all", "http://127.0.0.1:4318/v1/traces")
    headers: dict[str, Secret] = option("headers for it, such as a key", {})
    service: str = option("the name that this gateway has there", "gateway")
    ratio: float = option("the share of calls to trace, from 0 to 1; a client's own decision comes first", 1.0)
    from_client: bool = option("go on with a client's trace (traceparent); else each call begins one", True)
    queue: int = option("spans that may wait", 8192)
    every: float = option("seconds between two batches", 2.0)
    timeout: float = option("seconds that a batch may take", 10.0)


class Plugin:
    def __init__(self, options):
        self._options = options
        self._provider = self._tracer = None  # only looked at, until it begins
        self._count = threading.Lock()  # around the next two
        self._open = 0
        self._ended = False

    @hookimpl
    def check_config(self):
        options = self._options
        parts = urlsplit(options.endpoint)
        checks = (
            (parts.scheme in ("http", "https") and parts.hostname,
             f"endpoint: expected an http(s) address, found {parts.scheme or 'no'} scheme"),
            (not parts.username and not parts.password,
             "endpoint: a key goes into `headers`, where it is kept secret"),
            (0 <= options.ratio <= 1, f"ratio: expected 0 to 1, found {options.ratio}"),
            (min(options.queue, options.every, options.timeout) > 0, "queue, every and timeout are more than 0"),
        )  # fmt: skip
        return [complaint for good, complaint in checks if not good]

    @hookimpl
    def begin(self):
        options = self._options
        headers = {name: value.reveal() for name, value in options.headers.items()}
        exporter = OTLPSpanExporter(options.endpoint, headers=headers, timeout=options.timeout, session=_session())
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(options.ratio)), Resource.create({"service.name": options.service}),
            shutdown_on_exit=False,
        )  # fmt: skip
        self._provider.add_span_processor(BatchSpanProcessor(
            _Telling(exporter, urlsplit(options.endpoint)), max_queue_size=options.queue,
            schedule_delay_millis=options.every * 1000, max_export_batch_size=min(512, options.queue),
        ))  # fmt: skip
        self._tracer = self._provider.get_tracer("gateway")

    @hookimpl
    def end(self):
        """Calls that began with this configuration may go on for an hour: the last of them turns off the light."""
        with self._count:
            self._ended, last = True, not self._open
        if last and self._provider is not None:
            self._shut_down().join(_LAST_MOMENT)

    def _shut_down(self):
        thread = threading.Thread(target=self._provider.shutdown, name="otel-end", daemon=True)
        thread.start()
        return thread

    @hookimpl
    def before_call(self, call):
        if self._tracer is None:
            return
        parent = _CONTEXT.extract(call.headers, Context()) if self._options.from_client else Context()
        about = {
            "gen_ai.operation.name": _operation(call), "gateway.request_id": call.id, "gateway.dialect": call.dialect,
            "gateway.key": call.principal.name, "http.request.method": call.method, "url.path": call.endpoint.path,
            "gen_ai.request.stream": call.stream,
        }  # fmt: skip
        if call.model:
            about["gen_ai.request.model"] = call.model
        if call.principal.team:
            about["gateway.team"] = call.principal.team
        span = self._tracer.start_span(
            _title(call), parent, trace.SpanKind.SERVER, about, start_time=_now() - _nanoseconds(_age(call))
        )
        with self._count:
            self._open += 1
        call.notes[_NAME] = _Traced(span)
        call.headers.pop("tracestate", None)  # it belongs to the parent; without a sound one it means nothing
        _CONTEXT.inject(call.headers, trace.set_span_in_context(span, parent))

    @hookimpl
    def arrange_channels(self, call, route):
        traced = call.notes.get(_NAME)
        if traced is not None:
            traced.channels = {each.channel.name: each.channel for each in route.candidates}

    @hookimpl
    def attempt_finished(self, call, attempt):
        traced = call.notes.get(_NAME)
        if traced is None or not traced.span.is_recording():
            return
        now = _now()
        about = {
            "gen_ai.operation.name": _operation(call), "gen_ai.request.model": attempt.model,
            "gateway.channel": attempt.channel, "gateway.channel_key": attempt.key,
        } | _where(traced.channels.get(attempt.channel))  # fmt: skip
        if attempt.status:
            about["http.response.status_code"] = attempt.status
        span = self._tracer.start_span(
            _title(call, attempt.model), trace.set_span_in_context(traced.span, Context()), trace.SpanKind.CLIENT,
            about, start_time=now - _nanoseconds(attempt.seconds),
        )  # fmt: skip
        if attempt.outcome == "ok":  # its answer is still to come; it ends with the call
            traced.answering = span
            return
        _failed(span, attempt.outcome)
        span.end(now)

    @hookimpl
    def after_call(self, call, record):
        traced = call.notes.get(_NAME)
        if traced is None:
            return
        about = _outcome(record) | _where(traced.channels.get(record.channel))
        traced.span.set_attributes(about)
        traced.span.set_attribute("http.response.status_code", record.status)
        if record.first_event is not None:
            traced.span.set_attribute("gen_ai.response.time_to_first_chunk", round(record.first_event, 6))
        for span in (traced.answering, traced.span):
            if span is None:
                continue
            if span is traced.answering:
                span.set_attributes(about)
            if record.outcome != "complete":
                _failed(span, record.error or record.outcome, wrong=record.outcome not in ("refused", "client_closed"))
            span.end()
        with self._count:
            self._open -= 1
            last = self._ended and not self._open
        if last:  # nobody waits for it here; a process that ends with this call does
            atexit.register(self._shut_down().join, _LAST_MOMENT)


def _session():
    """It goes where the configuration says: no proxies of the environment, no redirects."""
    session = requests.Session()
    session.trust_env, session.max_redirects = False, 0
    return session


class _Traced:
    """What is known of a call's trace: its span, that of the attempt which answers, its channels by name."""

    __slots__ = ("span", "answering", "channels")

    def __init__(self, span):
        self.span, self.answering, self.channels = span, None, {}


class _Telling(SpanExporter):
    """Sends spans, and says once that it cannot, and once that it can again."""

    def __init__(self, exporter, address):
        self._exporter = exporter
        self._where = f"{address.hostname}:{address.port or {'http': 80, 'https': 443}.get(address.scheme)}"
        self._away = False

    def export(self, spans):
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # of whatever the exporter is made of; its thread has to go on
            log.debug("sending spans failed: %s", type(error).__name__)
            result = SpanExportResult.FAILURE
        away = result is not SpanExportResult.SUCCESS
        if away != self._away:
            self._away = away
            (log.warning if away else log.info)(
                "traces %s: %s", "cannot be delivered, and are dropped" if away else "are delivered again", self._where
            )
        return result

    def shutdown(self):
        self._exporter.shutdown()

    def force_flush(self, timeout_millis=30000):
        return self._exporter.force_flush(timeout_millis)


def _operation(call):
    if call.operation == "generate":
        return _GENERATE.get(call.dialect, "chat")
    return _OPERATIONS.get(call.operation, call.operation)


def _title(call, model=""):
    return f"{_operation(call)} {model or call.model}".strip()


def _where(channel):
    """The channel's vendor and host; nothing of its URL that could be a secret."""
    if channel is None:
        return {}
    vendor = channel.provider.name
    found = {"gen_ai.provider.name": _VENDORS.get(vendor, vendor)}
    parts = urlsplit(channel.base_url)
    if parts.hostname:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found |= {"server.address": parts.hostname, "server.port": port}
    return found


def _outcome(record):
    usage = record.usage
    said = {
        "gateway.outcome": record.outcome, "gateway.channel": record.channel, "gateway.usage.source": usage.source,
        "gateway.attempts": len(record.attempts), "gateway.queued": round(record.queued, 6) or None,
        "gen_ai.response.model": record.model, "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output, "gen_ai.usage.cache_read.input_tokens": usage.cached,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning, "gateway.cost_micro_usd": record.cost,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value not in (None, "")}


def _failed(span, why, wrong=True):
    span.set_attribute("error.type", why)
    if wrong:
        span.set_status(trace.StatusCode.ERROR, why)


def _age(call):
    return time.monotonic() - call.started


def _now():
    return time.time_ns()


def _nanoseconds(seconds):
    return int(seconds * 1e9)
