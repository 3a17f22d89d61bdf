"""Implements every hook, remembers what each was given, and brings a vendor that lives in the gateway."""

from __future__ import annotations

from dataclasses import dataclass, field

import click

from gateway import Answered, JsonText, Principal, Provider, Usage, hookimpl, option

__version__ = "1.2.3"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the YAML may say of this plugin."""

    greeting: str = option("said by its page", "hello")
    most: int = option("a number", 3, least=1)
    admits: bool = option("whether everybody is let in", True)
    level: str = option("a choice", "low", choices=("low", "high"))


@dataclass
class Told:
    """What the hooks were called with, in order."""

    calls: list = field(default_factory=list)

    def note(self, hook, **arguments):
        self.calls.append((hook, arguments))


class Shout:
    """A stream filter: whole events in, whole events out."""

    def __init__(self, told):
        self._told = told

    def feed(self, events):
        self._told.note("feed", events=events)
        return events.replace(b"hello", b"HELLO")

    def close(self):
        self._told.note("close")
        return b": closed by good\n\n"


class OnTheWayOut:
    """A filter over the reply in the client's dialect."""

    def feed(self, events):
        return events.replace(b"HELLO", b"Hello!")

    def close(self):
        return b": and by its policy\n\n"

    def whole(self, response):
        response.headers["x-policy"] = "seen"
        response.body += b"policy"


def respond(request):
    """The vendor: fails with a status that the model names, streams when asked, else answers whole."""
    document = JsonText.parse(request.body.data)
    signed = request.headers.get("x-signed", "")
    if document["model"].startswith("fail-"):
        status = int(document["model"][5:])
        return Answered(status, {"content-type": "application/json"}, b'{"error":{"message":"told to"}}')
    if document.get("stream"):
        events = (
            b'data: {"choices":[{"delta":{"content":"hello"}}]}\n\n',
            b'data: {"tokens":9}\n\n',
            b"data: [DONE]\n\n",
        )
        return Answered(200, {"content-type": "text/event-stream"}, iter(events))
    body = JsonText.write({"signed": signed, "path": request.url, "edited": document.get("edited"), "tokens": 7})
    return Answered(200, {"content-type": "application/json", "x-vendor": "acme"}, body)


class Plugin:
    def __init__(self, options):
        self.options = options
        self.told = Told()

    @hookimpl
    def register_providers(self, register):
        self.told.note("register_providers", register=register)
        register(Provider("acme", {"chat": ""}, "http://acme.test", respond=respond))

    @hookimpl
    def check_config(self, config):
        self.told.note("check_config", config=config)
        if config.max_body == 666:
            return ["no such number", (7, "not there either")]

    @hookimpl
    def register_commands(self, cli):
        @cli.command("greet")
        def greet():
            """Say the greeting."""
            click.echo(self.options.greeting)

    @hookimpl
    def register_pages(self, pages):
        self.told.note("register_pages", pages=pages)
        pages("/greeting", self.page)

    def page(self, request):
        return 200, {"content-type": "text/plain"}, f"{self.options.greeting} {request.method}".encode()

    @hookimpl
    def begin(self, services):
        self.told.note("begin", services=services)

    @hookimpl
    def end(self):
        self.told.note("end")

    @hookimpl
    def authenticate(self, request):
        self.told.note("authenticate", request=request)
        if self.options.admits:
            return Principal("anybody")

    @hookimpl
    def before_call(self, call):
        self.told.note("before_call", call=call)
        call.notes["good"] = "seen"

    @hookimpl
    def answer_call(self, call):
        self.told.note("answer_call", call=call)
        if call.model == "m-known":
            return Answered(200, {"content-type": "application/json"}, b'{"known":1}')

    @hookimpl
    def filter_reply(self, call):
        self.told.note("filter_reply", call=call)
        return OnTheWayOut() if self.options.level == "high" else None

    @hookimpl
    def arrange_channels(self, call, route):
        self.told.note("arrange_channels", call=call, route=route)
        for candidate in list(route.candidates):
            if "unwanted" in candidate.channel.name:
                route.drop(candidate, "not wanted")

    @hookimpl
    def rewrite_request(self, call, channel, request):
        self.told.note("rewrite_request", call=call, channel=channel, request=request)
        request.set_member("/edited", call.notes["good"])
        request.unset_member("/private")
        request.url += "?rewritten"

    @hookimpl
    def authorize(self, channel, key, request):
        self.told.note("authorize", channel=channel, key=key, request=request)
        request.headers["x-signed"] = f"by {key.reveal()[::-1]}"
        return True

    @hookimpl
    def decode_stream(self, channel, media_type):
        self.told.note("decode_stream", channel=channel, media_type=media_type)

    @hookimpl
    def classify_failure(self, channel, response):
        self.told.note("classify_failure", channel=channel, response=response)
        words = {418: "retry", 500: "fatal", 502: 30, 503: "bad_key", 504: "ok"}
        return words.get(response.status)

    @hookimpl
    def rewrite_response(self, call, channel, response):
        self.told.note("rewrite_response", call=call, channel=channel, response=response)
        response.status = 203
        response.headers["x-rewritten"] = "yes"
        response.body += b"\n"

    @hookimpl
    def rewrite_stream(self, call, channel):
        self.told.note("rewrite_stream", call=call, channel=channel)
        return Shout(self.told)

    @hookimpl
    def read_usage(self, channel, document):
        self.told.note("read_usage", channel=channel, document=document)
        if isinstance(document, dict) and "tokens" in document:
            return Usage(output=document["tokens"], source="upstream")

    @hookimpl
    def attempt_finished(self, call, attempt):
        self.told.note("attempt_finished", call=call, attempt=attempt)

    @hookimpl
    def after_call(self, call, record):
        self.told.note("after_call", call=call, record=record)
