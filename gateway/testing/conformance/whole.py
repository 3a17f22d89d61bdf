"""Checks of requests and whole replies."""

import json
from typing import Any

from gateway import json_edit, json_text, sse
from gateway.domain import REMOVED
from gateway.json_pointer import pointer_to
from gateway.testing.asking import path_of, question
from gateway.testing.bench import DIALECTS, PLAIN, RENAMED, Bench
from gateway.testing.conformance.findings import NotApplicable, expect, need_upstream
from gateway.testing.samples import odd
from gateway.testing.upstream import document

_STREAM_FILTERS = ("rewrite_stream", "decode_stream", "filter_reply")


def answers(bench: Bench) -> str:
    """A client of each dialect gets the model's words, whole and streamed."""
    for client in DIALECTS:
        asked = bench.asked_in(client)
        for stream in (False, True):
            said = bench.streamed(asked) if stream else bench.said(asked)
            answer = bench.ask(client, said, model=RENAMED, stream=stream)
            how = f"{client}, {'streamed' if stream else 'whole'}"
            expect(answer.status == 200, f"{how}: {answer.status} {answer.body[:200]!r}")
            expect(answer.body and not answer.broken, f"{how}: the stream breaks off: {answer.so_far[-200:]!r}")
            expect(answer.text, f"{how}: no words in {answer.so_far[:200]!r}")
    return f"{', '.join(bench.dialects)} spoken; all four served"


def pure(bench: Bench) -> str:
    """``rewrite_request`` makes of the same call the same request, and touches nothing else."""
    if "rewrite_request" not in bench.hooks or bench.spies is None:
        raise NotApplicable("no rewrite_request")
    for dialect in bench.dialects:
        for model in (PLAIN, RENAMED):
            bench.ask(dialect, bench.said(dialect), model=model).close()
    found = list(dict.fromkeys(bench.spies.impure))
    expect(not found, "; ".join(found))
    return "same request twice, and a day later; no socket, no file"


def request_bytes(bench: Bench) -> str:
    """What is not edited of the client's body leaves as the client wrote it."""
    need_upstream(bench)
    edited = []
    for dialect in bench.dialects:
        body = odd(json.dumps(question(dialect, PLAIN, "h\u00e9llo"), indent=1).encode())
        bench.post(path_of(dialect, PLAIN), body, dialect, bench.said(dialect)).close()
        expect(bench.upstream.sent, f"{dialect}: the upstream was not asked")
        edited += [f"{dialect}{where}" for where in _edits(dialect, body, bench.upstream.sent[-1].body)]
    return f"edited: {', '.join(edited)}" if edited else "byte for byte"


def reply_bytes(bench: Bench) -> str:
    """What is not edited of the upstream's answer reaches the client as it came."""
    need_upstream(bench)
    edited = []
    for dialect in bench.dialects:
        said = bench.samples.reply(dialect)
        answer = bench.ask(dialect, document(said))
        edited += [f"{dialect}{where}" for where in _edits(dialect, said, answer.body)]
        said = bench.samples.stream(dialect)
        answer = bench.ask(dialect, bench.streamed(dialect), stream=True)
        if not any(hook in bench.hooks for hook in _STREAM_FILTERS) and not bench.provider.end:
            expect(answer.body == said, f"{dialect}: the stream's bytes are not those that came")
        else:
            _events_kept(dialect, said, answer.body)
    return f"edited: {', '.join(edited)}" if edited else "byte for byte"


def _edits(dialect: str, before: bytes, after: bytes) -> list[str]:
    """The pointers of what was edited. Raises Failed when anything else has changed."""
    try:
        found = differences(json_text.parse(before), json_text.parse(after))
    except json_text.NotJson:
        expect(before == after, f"{dialect}: a body that is no JSON was changed")
        return []
    names = [where for where, _ in found]
    kept = all(names) and json_edit.edit(before, found) == after
    expect(kept, f"{dialect}: more than {names or 'nothing'} is written anew; use set_member and unset_member")
    return names


def _events_kept(dialect: str, before: bytes, after: bytes) -> None:
    """Raises Failed when an event says the same in other bytes."""
    came = {event.data for event in sse.events(before)}
    known = {_canonical(data) for data in came}
    for event in sse.events(after):
        same = event.data in came or _canonical(event.data) not in known
        expect(same, f"{dialect}: an event that says the same as before is written anew: {event.data[:120]!r}")


def _canonical(data: bytes) -> Any:
    try:
        return json.dumps(json.loads(data), sort_keys=True)
    except ValueError:
        return data


def differences(before: Any, after: Any, above: str = "") -> list[tuple[str, Any]]:
    """What turns the JSON value *before* into *after*: (JSON Pointer, value), REMOVED to take out."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if type(before) is type(after) and before == after else [(above, after)]
    found: list[tuple[str, Any]] = []
    for name in [*before, *(name for name in after if name not in before)]:
        inner = above + pointer_to(name)
        if name not in before:
            found.append((inner, after[name]))
        else:
            found += differences(before[name], after[name], inner) if name in after else [(inner, REMOVED)]
    return found
