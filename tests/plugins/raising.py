"""Raises in the one hook that its options name, and does the least that is needed in all others."""

from dataclasses import dataclass

from gateway import Answered, Principal, Provider, hookimpl, option


@dataclass(frozen=True, kw_only=True)
class Options:
    hook: str = option("the hook to raise in")


STREAM = b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n', b"data: [DONE]\n\n"


def respond(request):
    if b'"fail"' in request.body.data:
        return Answered(503, {"content-type": "application/json"}, b"{}")
    if b'"stream"' in request.body.data:
        return Answered(200, {"content-type": "text/event-stream"}, iter(STREAM))
    return Answered(200, {"content-type": "application/json"}, b'{"good":1}')


class Plugin:
    def __init__(self, options):
        self._hook = options.hook

    def _raise_in(self, hook):
        if hook == self._hook:
            raise RuntimeError("the inside story")

    @hookimpl
    def register_providers(self, register):
        self._raise_in("register_providers")
        register(Provider("shaky", {"chat": ""}, respond=respond))

    @hookimpl
    def check_config(self, config):
        self._raise_in("check_config")

    @hookimpl
    def register_commands(self, cli):
        self._raise_in("register_commands")

    @hookimpl
    def register_pages(self, pages):
        self._raise_in("register_pages")
        pages("/shaky", lambda request: self._raise_in("page"))

    @hookimpl
    def begin(self, services):
        self._raise_in("begin")

    @hookimpl
    def end(self):
        self._raise_in("end")

    @hookimpl
    def authenticate(self, request):
        self._raise_in("authenticate")
        return Principal("anybody")

    @hookimpl
    def before_call(self, call):
        self._raise_in("before_call")

    @hookimpl
    def answer_call(self, call):
        self._raise_in("answer_call")

    @hookimpl
    def filter_reply(self, call):
        self._raise_in("filter_reply")
        return self

    def whole(self, response):
        self._raise_in("whole")

    @hookimpl
    def arrange_channels(self, call, route):
        self._raise_in("arrange_channels")

    @hookimpl
    def rewrite_request(self, request):
        self._raise_in("rewrite_request")

    @hookimpl
    def authorize(self, request):
        self._raise_in("authorize")

    @hookimpl
    def decode_stream(self, channel):
        self._raise_in("decode_stream")

    @hookimpl
    def classify_failure(self, response):
        self._raise_in("classify_failure")

    @hookimpl
    def rewrite_response(self, response):
        self._raise_in("rewrite_response")

    @hookimpl
    def rewrite_stream(self, call):
        self._raise_in("rewrite_stream")
        return self

    def feed(self, events):
        if b"DONE" in events:
            self._raise_in("feed")
        return events

    def close(self):
        self._raise_in("close")
        return b""

    @hookimpl
    def read_usage(self, document):
        self._raise_in("read_usage")

    @hookimpl
    def attempt_finished(self, attempt):
        self._raise_in("attempt_finished")

    @hookimpl
    def after_call(self, record):
        self._raise_in("after_call")
