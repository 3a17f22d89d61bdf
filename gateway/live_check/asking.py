"""The calls of a check, over the road that calls take: attempt, transport, the provider's hooks, the stream."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gateway import departures, json_text, sse
from gateway.account import Account
from gateway.attempt.attempt import Ready, Try
from gateway.attempt.patience import FOREVER, Patience
from gateway.attempt.verdicts import verdict_on
from gateway.config.kinds import Secret
from gateway.dialects.registry import DIALECTS
from gateway.dialects.vocabulary import Failed, Finished, UsageSeen
from gateway.domain import Call, Candidate, Channel
from gateway.errors import ChannelAnswered, ChannelFailed, Fault, GatewayError, StreamCut
from gateway.live_check.findings import FAILED, OK, SKIPPED, UNKNOWN, WARNING, Findings
from gateway.live_check.judging import Tried, judge
from gateway.live_check.listing import Listing, model_to_try, read_listing
from gateway.live_check.tiny_calls import address_of, hurried, list_call, tiny_call
from gateway.loading import Gateway
from gateway.plugin_manager import Plugins
from gateway.replying.replier import Replier
from gateway.replying.stream import Abort
from gateway.usage import UPSTREAM, Usage

_LONGEST_LIST = 16 * 1024 * 1024
_LIST_SECONDS = 10.0  # a list is worth no more: the question itself needs the time
_ENDS = {
    "chat": "finish_reason or [DONE]", "responses": "response.completed", "messages": "message_stop",
    "gemini": "finishReason",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator wants of the checks. ``timeout`` is in seconds, for each."""

    model: str = ""
    timeout: float = 30.0
    whole: bool = False
    tokens: int = 16


class Asking:
    """Asks one channel with one key, and notes what comes of it."""

    def __init__(self, gateway: Gateway, findings: Findings, wish: Wish, ends_at: float):
        self._gateway = replace(gateway, plugins=Plugins())  # policies are for calls, and observers count them
        self._findings = findings
        self._wish = wish
        self._ends_at = ends_at
        self._channel: Channel = findings.channel
        self._dialect = findings.dialect
        self._key: Secret | None = None if findings.key is None else self._channel.keys[findings.key]
        self._plugin = gateway.provider_plugins.get(self._channel.provider.name)
        self._listing = Listing(None)
        # Of the last call: what the upstream said, what was asked, and how long it might take.
        self._status, self._asked_for, self._seconds = 0, "", 0.0

    def run(self) -> None:
        """Note all steps from ``auth`` on."""
        findings = self._findings
        findings.begin("model")
        self._listing = self._listed()
        findings.model = model_to_try(self._channel, self._wish.model, self._listing)
        if not findings.model:
            self._note_no_model()
            return
        self._note_listed()
        if self._wish.whole:
            findings.begin("whole")
            self._ask_whole()
        if not {"auth", "model"} & {name for name, step in findings.steps.items() if step.state == FAILED}:
            findings.begin("stream")
            self._ask_stream()

    # --- the model list

    def _listed(self) -> Listing:
        try:
            with self._asked(list_call(self._dialect), min(self._left() / 2, _LIST_SECONDS)) as (ready, replier, _):
                if ready.events:
                    return Listing(None, why="what came instead is a stream")
                body, data = replier.begun(ready).body, b""
                for piece in [body] if isinstance(body, bytes) else body:
                    data += piece
                    if len(data) > _LONGEST_LIST:
                        return Listing(None, why="the list is too long")
            return read_listing(data)
        except (GatewayError, Abort) as error:
            status = f"status {self._status}" if self._status >= 300 else str(error)
            return Listing(None, why=f"asking for it gave: {status}")

    def _note_no_model(self) -> None:
        names = self._listing.names
        why = self._listing.why if names is None else f"none of the {len(names)} listed models matches one"
        self._findings.note("model", FAILED, f"the channel has only patterns, and no list to choose from ({why}): "
                            "name one with --model")  # fmt: skip

    def _note_listed(self) -> None:
        listing, model = self._listing, self._findings.model
        if listing.names is None:
            self._findings.note("model", UNKNOWN, f"no list of models ({listing.why})", listed=None)
        elif model in listing.names:
            self._findings.note("model", OK, f"listed, one of {len(listing.names)}", listed=True)
        elif not listing.whole:
            self._findings.note("model", UNKNOWN, "not in the first part of a long list", listed=None)
        else:
            self._findings.note("model", WARNING, f"{model!r} is not listed; {listing.near(model)}", listed=False)

    # --- the questions

    def _ask_whole(self) -> None:
        findings = self._findings
        try:
            with self._asked(self._question(False), self._left()) as (ready, replier, _):
                if ready.events:
                    raise ChannelFailed("a stream came though none was asked for")
                body = replier.begun(ready).body
                data = body if isinstance(body, bytes) else b"".join(body)
                completion = DIALECTS[self._dialect].read_reply(json_text.parse(data))
            self._note_signed()
            usage = completion.usage
            state, text = (OK, "") if usage.total else (WARNING, "the reply tells no usage")
            findings.note("whole", state, text, **_told(usage))
        except json_text.NotJson as error:
            findings.note("whole", FAILED, f"the reply is no JSON: {error}")
        except (GatewayError, Abort) as error:
            self._note_failure(error, "whole")

    def _ask_stream(self) -> None:
        began = time.monotonic()
        try:
            with self._asked(self._question(True), self._left()) as (ready, replier, account):
                self._note_signed()
                if not ready.events:
                    raise ChannelFailed("a whole answer came though a stream was asked for")
                first = time.monotonic() - began
                self._findings.note("first_event", OK, f"{first * 1000:.0f} ms", seconds=first)
                self._listen(ready, replier, account)
        except (GatewayError, Abort) as error:
            self._note_failure(error, "stream")

    def _listen(self, ready: Ready, replier: Replier, account: Account) -> None:
        """Read the stream to its end, as it reaches clients."""
        heard, cut = _Heard(DIALECTS[self._dialect].StreamReader()), None
        try:
            for piece in replier.events(ready):
                heard.feed(piece)
            heard.close()
        except Abort:  # it broke off after an error event, which was heard
            pass
        except StreamCut as error:
            cut = error
        findings = self._findings
        if heard.failed is not None:
            findings.note("stream", FAILED, f"an error after {heard.count} events: {heard.failed.message}")
            return
        findings.note("stream", OK, f"{heard.count} events", events=heard.count)
        usage = account.usage if account.usage.source == UPSTREAM else heard.usage
        if usage.total:
            findings.note("usage", OK, f"{usage.input or 0} tokens in, {usage.output or 0} out", **_told(usage))
        else:
            findings.note("usage", WARNING, "the stream tells no usage: what calls cost stays unknown", **_told(usage))
        if cut is None:
            findings.note("end", OK, heard.finish)
        else:
            findings.note("end", FAILED, f"{cut} ({_ENDS[self._dialect]} did not come)")

    def _question(self, stream: bool) -> Call:
        return tiny_call(self._channel, self._dialect, self._findings.model, stream, self._wish.tokens)

    # --- the road

    @contextlib.contextmanager
    def _asked(self, call: Call, seconds: float) -> Iterator[tuple[Ready, Replier, Account]]:
        """The answer to *call* once it has begun. Raises ChannelFailed and what else a try raises."""
        candidate = Candidate(hurried(self._channel, seconds), call.model, "live check", call.dialect)
        self._candidate = candidate
        attempt = Try(call, candidate, self._key, self._plugin)
        account = Account(call, departures.watch(None), (), ())
        self._status, self._seconds = 0, seconds
        try:
            self._asked_for = f"{call.method} {address_of(call, candidate, self._plugin)}"
            try:
                ready = _driven(attempt.run(self._gateway.transport, Patience(FOREVER, FOREVER), account.watch))
            finally:
                self._status = attempt.status
            try:
                yield ready, Replier(self._gateway, call, account), account
            finally:
                ready.answer.body.close()
        finally:
            account.close()

    def _left(self) -> float:
        return max(self._ends_at - time.monotonic(), 0.1)

    def _note_signed(self) -> None:
        if self._key is None and not self._channel.provider.keyless:
            self._findings.note("auth", SKIPPED, "no key is sent")
        else:
            self._findings.note("auth", OK, f"accepted, sent as {self._signed()}")

    def _signed(self) -> str:
        if self._plugin is not None and "authorize" in self._plugin.hooks:
            return f"plugin {self._plugin.source.name!r} signs it"
        provider = self._channel.provider
        return self._channel.settings.auth or provider.dialect_auth.get(self._dialect) or provider.auth

    def _note_failure(self, error: Exception, asked: str) -> None:
        """*asked* is the step that failed, unless what came back blames another."""
        findings = self._findings
        if not isinstance(error, GatewayError):
            error = ChannelFailed("the answer broke off")
        tried = Tried(self._channel, findings.key, self._signed(), findings.model, self._asked_for, self._seconds,
                      self._listing)  # fmt: skip
        verdict = verdict_on(self._gateway, self._candidate, error) if isinstance(error, ChannelFailed) else None
        step, text = judge(error, self._status, tried, verdict)
        if step != "auth" and "auth" not in findings.steps and self._status:
            document = isinstance(error, ChannelAnswered) and error.body.lstrip()[:1] in (b"{", b"[")
            understood = document and 400 <= self._status < 500
            findings.note("auth", OK if understood else UNKNOWN, "not refused" if understood else "nothing told")
        findings.note(asked if step == "stream" else step, FAILED, text)


class _Heard:
    """What a stream said, of all that it may say."""

    def __init__(self, reader: Any):
        self.count = 0
        self.usage = Usage()
        self.failed: Fault | None = None
        self.finish = ""
        self._reader = reader
        self._splitter = sse.Splitter()

    def feed(self, piece: bytes) -> None:
        """Raises ChannelFailed for an event that cannot be read."""
        for event in sse.events(self._splitter.feed(piece)):
            self.count += 1
            self._note(self._reader.feed(event))

    def close(self) -> None:
        """The stream has ended as it should."""
        for event in sse.events(self._splitter.rest()):
            self.count += 1
            self._note(self._reader.feed(event))
        self._note([event for event in self._reader.close() if not isinstance(event, Failed)])

    def _note(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, UsageSeen):
                self.usage = event.usage
            elif isinstance(event, Finished):
                self.finish = self.finish or event.finish.reason
            elif isinstance(event, Failed):
                self.failed = self.failed or event.fault


def _driven(trial: Any) -> Ready:
    """The outcome of an attempt, for somebody who does nothing but wait."""
    while True:
        try:
            next(trial)
        except StopIteration as done:
            return done.value


def _told(usage: Usage) -> dict[str, Any]:
    """``input`` and ``output`` in tokens; null where nothing was said."""
    return {"input": usage.input, "output": usage.output}
