"""Checks of errors and credentials: what an upstream refuses, how often it is asked, and who sees the key."""

from typing import Any

from gateway.concealing import forms_of
from gateway.dialects.registry import FACES
from gateway.errors import Fault, kind_of
from gateway.testing.asking import Answer
from gateway.testing.bench import DIALECTS, Bench
from gateway.testing.conformance.findings import expect, need_upstream
from gateway.testing.samples import events
from gateway.testing.upstream import Sent

_STATUSES = (400, 401, 404, 429, 500, 529)
_MESSAGE = "message 17 of the upstream"


def errors(bench: Bench) -> str:
    """An upstream's error is an error of the client's dialect, with the upstream's words."""
    need_upstream(bench)
    # A plugin may know better what a status means; then any error will do.
    own = "classify_failure" in bench.hooks or bench.provider.rules is not None
    for client in DIALECTS:
        asked = bench.asked_in(client)
        for status in _STATUSES:
            refusal = bench.sample_error(asked, status, _MESSAGE)
            answer = bench.ask(client, *[refusal] * 3, stream=status == 429)
            wanted = 502 if status == 401 else status
            right = answer.status == wanted or (own and answer.status >= 400)
            expect(right, f"{client}: {answer.status} for the upstream's {status}, not {wanted}")
            _error_shape(client, answer, _MESSAGE if bench.samples.own("error", asked) is None else "")
        _error_in_stream(bench, client, asked)
    return f"{', '.join(map(str, _STATUSES))} and an error in mid-stream, in four dialects"


def _error_shape(client: str, answer: Answer, message: str) -> None:
    document: Any = answer.json
    told = FACES[client].read_error(answer.status, document).message
    expect(message in told, f"{client}: the upstream's words are lost: {told!r}")
    error = document.get("error") if isinstance(document, dict) else None
    members = ("code", "status", "message") if client == "gemini" else ("type", "message")
    whole = isinstance(error, dict) and all(name in error for name in members)
    expect(whole, f"{client}: the error has not the members {members}: {answer.so_far[:200]!r}")


def _error_in_stream(bench: Bench, client: str, asked: str) -> None:
    if bench.samples.own("stream", asked) is not None:
        return
    fault = Fault(529, kind_of(529), _MESSAGE)
    began = b"".join(events(bench.samples.stream(asked))[:5])
    answer = bench.ask(client, bench.streamed(asked, began, FACES[asked].error_event(fault, "req_1")), stream=True)
    faults = [fault for event in answer.events if (fault := FACES[client].event_fault(event))]
    told = faults and _MESSAGE in faults[-1].message
    expect(told, f"{client}: an error in mid-stream is not told: {answer.so_far[-300:]!r}")


def refresh(bench: Bench) -> str:
    """After a 401 the credentials are made anew once, if the plugin can; never more often."""
    need_upstream(bench)
    dialect = bench.dialects[0]
    refusal = bench.sample_error(dialect, 401, "who are you?")
    takes = "refresh" in bench.hooks.get("authorize", ())
    before = len(bench.secrets)
    answer = bench.ask(dialect, refusal, bench.said(dialect))
    tries, status = len(bench.upstream.sent), answer.status
    bench.ask(dialect, refusal, refusal, refusal, bench.said(dialect)).close()
    if not takes:
        expect(tries == 1 and len(bench.upstream.sent) == 1, f"{tries} attempts with one key after a 401, not 1")
        return "no refresh: one attempt a key"
    expect((tries, status) == (2, 200), f"{tries} attempts and status {status} after one 401, not 2 and 200")
    expect(len(bench.upstream.sent) == 2, f"{len(bench.upstream.sent)} attempts while the upstream says 401, not 2")
    assert bench.spies is not None
    expect(bench.spies.refreshed[-2:] == [False, True], "authorize was not asked with refresh=True")
    first, second = (sent.headers for sent in bench.upstream.sent)
    if before > 1 or len(bench.secrets) > before:  # tokens were fetched
        expect(_own(first) != _own(second), "the second attempt carries the token that was refused")
    return "once, with new credentials"


def _own(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in ("x-request-id", "content-length")}


def canary(bench: Bench) -> str:
    """The key, and whatever was made of it, is in no log, reply or repr; the upstream did get it."""
    where = "answers inside the gateway"
    if not bench.inside:
        where = _sent_how(bench)
        for dialect in bench.dialects:
            for status in (401, 403):
                refusal = bench.sample_error(dialect, status, f"I do not know the key {bench.secrets[-1]}!")
                assert bench.ask(dialect, refusal, refusal).body
    owners = bench.spies.owners if bench.spies is not None else []
    shown = {
        "a log line": "\n".join(bench.logged.lines),
        "a repr": repr([bench.channel, bench.provider, *owners]),
        "a reply": "".join(answer.so_far.decode("utf-8", "replace") + repr(answer.headers) for answer in bench.answers),
    }
    for form in forms_of(bench.secrets):
        for place, text in shown.items():
            expect(form not in text, f"a secret stands in {place}")
    return where


def _sent_how(bench: Bench) -> str:
    dialect = bench.dialects[0]
    bench.ask(dialect, bench.said(dialect)).close()
    if not bench.upstream.sent:
        return "the upstream was not asked"
    places = _places(bench.upstream.sent[-1], bench.secrets)
    if not places and "authorize" not in bench.hooks and bench.provider.auth != "none":
        expect(False, "the upstream got no credentials")
    return f"sent in {', '.join(places)}" if places else "only a signature of it is sent, or nothing"


def _places(sent: Sent, secrets: list[str]) -> list[str]:
    forms = forms_of(secrets)
    named = {f"header {name}": value for name, value in sent.headers.items()}
    named |= {"the URL": sent.target, "the body": sent.body.decode("utf-8", "replace")}
    return [place for place, text in named.items() if any(form in text for form in forms)]


def network(bench: Bench) -> str:
    """Nothing was reached but the upstream, and what ``tools.http`` may reach."""
    blocked = sorted(set(bench.guard.blocked))
    expect(not blocked, f"reached for {', '.join(blocked)}; use tools.http")
    return "nothing but the upstream"
