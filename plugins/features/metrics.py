"""Numbers for Prometheus at /metrics, right across all workers (extra ``metrics``).

Each worker writes its numbers into files that all share, and whichever is asked adds them up. Names
follow OpenTelemetry's GenAI conventions where those have one. A label takes so many different
values and no more: what a client can make up must not fill the memory of two machines.
"""

import contextlib
import hmac
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from gateway import ConfigError, Secret, Unauthorized, hookimpl, option, private_folder

# prometheus_client looks at it while it is imported. All workers have the same parent.
_ROOT = private_folder()
_FOLDER = _ROOT / f"metrics-{os.getppid()}"
_FOLDER.mkdir(mode=0o700, exist_ok=True)
_given = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
if not _given or Path(_given).parent == _ROOT:  # one of ours was another gateway's, which started this one
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_FOLDER)

try:
    import prometheus_client
    from prometheus_client import core, multiprocess
except ImportError:
    raise ConfigError(["plugins.metrics: it needs an extra: pip install 'llm-gateway[metrics]'"]) from None

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_SHORT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)
_TINY = (0.00005, 0.0001, 0.0002, *_SHORT)
_LOOK = 0.1  # seconds between two looks at how late a worker is
_OTHER = "other"
_KINDS = ("input", "output", "cached", "cache_write", "reasoning", "input_audio", "output_audio")

_WHO = ("key", "team", "model", "channel")
_ABOUT = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class Metrics:
    """All there are. Made once in a worker: a reload goes on counting in the same."""

    def __init__(self):
        self.calls = _counter("calls", "Calls that ended", "dialect", "operation", "outcome", "status", *_WHO)
        self.refusals = _counter("refusals", "Calls that were refused", "code", "key")
        self.attempts = _counter("attempts", "Tries on channels", "channel", "outcome")
        self.tokens = _counter("tokens", "Tokens used", "kind", "source", *_WHO)
        self.cost = _counter("cost_micro_usd", "Money spent, in micro-USD, as far as prices are known", *_WHO)
        self.unpriced = _counter("unpriced_calls", "Calls with usage whose price is not known", *_WHO)
        self.sent = _counter("sent_bytes", "Bytes of replies", "channel")
        self.plugin_errors = _counter("plugin_errors", "Failures of plugins", "plugin", "hook")
        self.plugin_seconds = _counter("plugin_seconds", "Seconds spent in plugins", "plugin", "hook")
        self.duration = _times("gen_ai_server_request_duration", "Whole calls", _SECONDS, *_ABOUT, "error_type")
        self.first = _times("gen_ai_server_time_to_first_token", "Until the first byte left", _SECONDS, *_ABOUT)
        self.overhead = _times(
            "gateway_overhead", "Until the first byte left, less what upstreams took", _SHORT, "dialect"
        )
        self.queued = _times("gateway_queued", "Waiting for a channel with room", _SECONDS)
        self.before = _times("gateway_request_queue", "From the proxy in front to this worker", _SHORT)
        self.event = _times("gateway_event_delay", "From reading an event until the client's socket has it", _TINY)
        self.lag = _times("gateway_worker_lag", "How late a worker gets to what is due", _TINY)
        self.open = prometheus_client.Gauge(
            "gateway_open_calls", "Calls under way", multiprocess_mode="livesum", registry=None
        )


def _counter(name, doc, *labels):
    return prometheus_client.Counter(f"gateway_{name}", doc, labels, registry=None)


def _times(name, doc, buckets, *labels):
    return prometheus_client.Histogram(f"{name}_seconds", doc, labels, buckets=buckets, registry=None)


@dataclass(frozen=True, kw_only=True)
class Options:
    token: Secret | None = option("asked for as a bearer token; none given: any client key will do", None)
    path: str = option("where the page is", "/metrics")
    most: int = option("different values of a label before the rest is called other", 500, least=1)


class Bounded:
    """A metric's children by their labels, looked up once; no label takes more than *most* values."""

    def __init__(self, metric, most):
        self._metric = metric
        self._most = most
        self._children = {}
        self._seen = [set() for _ in metric._labelnames]

    def of(self, *values):
        child = self._children.get(values)
        return child if child is not None else self._add(values)

    def _add(self, values):
        kept = []
        for seen, value in zip(self._seen, values, strict=True):
            if value not in seen and len(seen) >= self._most:
                value = _OTHER
            seen.add(value)
            kept.append(value)
        child = self._metric.labels(*kept)
        if tuple(kept) == values:
            self._children[values] = child
        return child


class Plugin:
    def __init__(self, options):
        self._options = options
        self._services = self._metrics = self._looking = None
        self._of = {}
        self._due = 0.0  # when the next look should be

    @hookimpl
    def register_pages(self, pages):
        pages(self._options.path, self._page, open=self._options.token is not None)

    @hookimpl
    def begin(self, services):
        self._services = services
        self._metrics = services.keep("metrics", Metrics)
        self._of = {
            name: Bounded(metric, self._options.most).of
            for name, metric in vars(self._metrics).items()
            if metric._labelnames
        }
        services.watch_hooks(self._hook_called)
        services.watch_events(self._metrics.event.observe)
        self._due = time.monotonic() + _LOOK
        self._looking = services.every(_LOOK, self._look, "metrics")
        if services.claim_once("metrics folders"):
            _sweep()

    @hookimpl
    def end(self):
        if self._looking is not None:
            self._looking.set()

    def _look(self):
        """What a socket has for a worker waits as long as this does, before it is read."""
        now = time.monotonic()
        self._metrics.lag.observe(max(now - self._due, 0))
        self._due = now + _LOOK

    def _page(self, request):
        token = self._options.token
        if token is not None and not any(
            hmac.compare_digest(given.reveal().encode(), token.reveal().encode()) for given in request.credentials
        ):
            raise Unauthorized("this page wants its own token: 'Authorization: Bearer TOKEN'")
        return 200, {"content-type": prometheus_client.CONTENT_TYPE_LATEST}, self._text()

    def _text(self):
        _bury()
        registry = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        if self._services is not None:
            registry.register(Standing(self._services))
        return prometheus_client.generate_latest(registry)

    def _hook_called(self, plugin, hook, seconds, failed, call):
        self._of["plugin_seconds"](plugin, hook).inc(seconds)
        if failed:
            self._of["plugin_errors"](plugin, hook).inc()

    @hookimpl
    def before_call(self, call):
        if self._metrics is None:  # nobody serves
            return
        self._metrics.open.inc()
        call.notes["metrics"] = True
        sent = call.headers.get("x-request-start", "").removeprefix("t=")
        with contextlib.suppress(ValueError):
            seconds = call.received.timestamp() - float(sent)
            if 0 <= seconds < 3600:
                self._metrics.before.observe(seconds)

    @hookimpl
    def attempt_finished(self, attempt):
        if self._metrics is None:
            return
        self._of["attempts"](attempt.channel, attempt.outcome).inc()

    @hookimpl
    def after_call(self, call, record):
        if self._metrics is None:
            return
        if call.notes.pop("metrics", None):
            self._metrics.open.dec()
        # A model that nobody serves is the client's own word: it becomes no label.
        model = call.model if record.channel else ""
        who = call.principal.name, call.principal.team, model, record.channel
        self._of["calls"](call.dialect, call.operation, record.outcome, str(record.status), *who).inc()
        if record.outcome == "refused":
            self._of["refusals"](record.error, call.principal.name).inc()
        about = call.operation, record.provider, model
        self._of["duration"](*about, record.error).observe(record.total)
        self._of["sent"](record.channel).inc(record.bytes_out)
        if record.first_event is not None:
            self._of["first"](*about).observe(record.first_event)
            upstream = sum(attempt.seconds for attempt in record.attempts)
            self._of["overhead"](call.dialect).observe(max(record.first_event - upstream - record.queued, 0))
        if record.queued:
            self._metrics.queued.observe(record.queued)
        self._used(record, who)

    def _used(self, record, who):
        usage = record.usage
        if usage.total is None:
            return
        for kind in _KINDS:
            tokens = getattr(usage, kind)
            if tokens:
                self._of["tokens"](kind, usage.source, *who).inc(tokens)
        if record.cost is None:
            self._of["unpriced"](*who).inc()
        else:
            self._of["cost"](*who).inc(record.cost)


class Standing:
    """What is not counted but seen: which channels rest, and what waits for the ledger."""

    def __init__(self, services):
        self._services = services

    def collect(self):
        resting = core.GaugeMetricFamily(
            "gateway_channel_resting_seconds", "For how long a channel or key is left alone", labels=("name", "why")
        )
        health = self._services.health
        for name in health.names():
            rest = health.rest(name)
            if rest is not None:
                resting.add_metric((name, rest.why), health.left(name))
        yield resting
        spool = self._services.spooled_bytes()
        if spool is not None:
            yield core.GaugeMetricFamily("gateway_ledger_spool_bytes", "Rows that wait for the database", value=spool)


def _bury():
    """Open calls of workers that died are no longer open."""
    for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)


def _sweep():
    """Folders of gateways that are no more."""
    for folder in _ROOT.glob("metrics-*"):
        pid = folder.name.rpartition("-")[2]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
