"""Answers a question that was asked before with the answer it got, byte for byte, streams in their events.

Only where the request leaves nothing to chance (``any: true``: always), only complete answers, and each
key for itself unless ``shared: true``. ``x-gateway-cache`` says what happened.
"""

import logging
from dataclasses import dataclass

from gateway import FACES, Answered, ConfigError, JsonText, Secret, hookimpl, option, policies

log = logging.getLogger("gateway.cache")

_NAME = "cache"
_HEADER = "x-gateway-cache"
_LONGEST_SIGN = 64  # of an ending that lies in two pieces


@dataclass(frozen=True, kw_only=True)
class Options:
    store: Secret = option("memory:// (each worker for itself), sqlite:///path or redis://...", Secret("memory://"))
    ttl: policies.Seconds = option("seconds for which an answer is kept", policies.Seconds(3600))
    size: policies.Size = option("bytes of answers that are kept (redis: its own maxmemory)", policies.Size(64 * 10**6))
    largest: policies.Size = option("bytes of one answer", policies.Size(10**6))
    any: bool = option("keep answers to requests that leave something to chance too", False)
    shared: bool = option("let keys have each other's answers", False)
    volatile: list[str] = option(
        "members of the body that do not count when requests are compared",
        ["user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"],
    )
    mode: str = policies.mode_option("observe keeps answers and says what it would do")


class Plugin:
    def __init__(self, options):
        self._options = options
        self._cache = None

    @hookimpl
    def check_config(self):
        url = self._options.store.reveal()
        known = url == "memory://" or url.startswith(("sqlite:///", "redis://", "rediss://"))
        return [] if known else ["store: expected memory://, sqlite:///path or redis://host:port/0"]

    @hookimpl
    def begin(self, services):
        options = self._options
        try:
            self._cache = policies.open_cache(options.store.reveal(), services.folder, options.size, options.ttl)
        except ConfigError as error:
            log.error("nothing is kept: %s", error)

    @hookimpl
    def end(self):
        if self._cache is not None:
            self._cache.close()  # a call still under way opens it again

    @hookimpl
    def filter_reply(self, call):
        """The question is looked at here: whatever other plugins change in it was changed by now."""
        if self._cache is None or call.method != "POST":
            return None
        wishes = _wishes(call.headers.get("cache-control", ""))
        options = self._options
        digest = ""
        if "no-store" not in wishes:
            digest = policies.request_digest(call, options.volatile, options.any, options.shared)
        if not digest:
            call.reply_headers.append((_HEADER, "bypass"))
            return None
        call.notes[_NAME] = digest, wishes
        return _Keeping(self._cache, digest, call, options.largest)

    @hookimpl
    def answer_call(self, call):
        if _NAME not in call.notes:
            return None
        digest, wishes = call.notes[_NAME]
        found = None if "no-cache" in wishes else self._cache.get(digest)
        if found is None or found[1] > wishes.get("max-age", found[1]):
            call.reply_headers.append((_HEADER, "miss"))
            return None
        kept, age = found
        if self._options.mode == "observe":
            call.reply_headers.append((_HEADER, "would-hit"))
            return None
        call.reply_headers += [(_HEADER, "hit"), ("age", str(int(age)))]
        headers = {"content-type": kept.content_type}
        if not kept.streamed:
            return Answered(200, headers, b"".join(kept.pieces))
        return Answered(200, headers | {"cache-control": "no-cache", "x-accel-buffering": "no"}, iter(kept.pieces))


def _wishes(text):
    """What of Cache-Control (RFC 9111, 5.2.1) is heeded: no-cache, no-store, max-age."""
    wishes = {}
    for directive in text.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in ("no-cache", "no-store"):
            wishes[name] = True
        elif name == "max-age" and value.strip('"').isdecimal():
            wishes[name] = int(value.strip('"'))
    return wishes


class _Keeping:
    """Keeps a reply that passes, if all of it came and it was a good one."""

    def __init__(self, cache, digest, call, largest):
        self._cache = cache
        self._digest = digest
        self._call = call
        self._face = FACES[call.dialect]
        self._left = largest
        self._pieces = []
        self._over = self._failed = False
        self._last = b""

    def feed(self, events):
        self._left -= len(events)
        if self._left < 0:
            self._pieces = []
        elif events:
            self._pieces.append(events)
        if not self._over:
            self._over = self._face.END.seen(self._last + events)
            self._last = events[-_LONGEST_SIGN:]
        self._failed = self._failed or (b"error" in events and bool(self._face.ERROR.search(events)))
        return events

    def close(self):
        if self._over and not self._failed and self._left >= 0:
            self._cache.put(self._digest, "text/event-stream; charset=utf-8", True, tuple(self._pieces))
        return b""

    def whole(self, response):
        headers, body = response.headers, response.body
        kind = headers.get("content-type", "")
        plain = response.status == 200 and "json" in kind and "content-encoding" not in headers
        if plain and len(body) <= self._left and not self._call.stream and _is_complete(self._call, body):
            self._cache.put(self._digest, kind, False, (body,))


def _is_complete(call, body):
    """Whether a whole reply says that the model came to an end."""
    document = JsonText.object_of(body)
    if not document or document.get("error"):
        return False
    if call.operation not in ("generate", "completions"):
        return True
    if call.dialect == "messages":
        return bool(document.get("stop_reason"))
    if call.dialect == "responses":
        return document.get("status") in ("completed", "incomplete")
    name, end = ("candidates", "finishReason") if call.dialect == "gemini" else ("choices", "finish_reason")
    found = document.get(name)
    return bool(found) and isinstance(found, list) and all(isinstance(one, dict) and one.get(end) for one in found)
