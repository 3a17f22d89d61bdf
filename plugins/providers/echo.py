"""A vendor inside the gateway: it answers with what it was told, in all four dialects.

For the demo, for trying clients out, and as a test double for plugins. Directives in the last
user message (or in the channel's ``options: {say: ...}``) make it behave like real ones do:

    [[delay 0.1]]                       seconds between two words of a stream
    [[words 50]]                        that many words instead of the echo
    [[think some thoughts]]             reasoning before the answer
    [[call get_weather {"city": "Oslo"}]]   a tool call (several are called in parallel)
    [[silence 30]] [[silence 30 after 2]]   nothing for so long, before the first or after some words
    [[status 429 retry-after 7]]        an error of that status
    [[cut]] [[cut after 2]]             the connection breaks
    [[malformed after 1]]               an event that is no JSON
    [[error after 1]]                   the dialect's own error event in mid-stream
    [[empty]]                           a 200 with nothing in it
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway import DIALECTS, FACES, Answered, BadRequest, Fault, JsonText, Provider, Usage, hookimpl, vocabulary

_DIRECTIVE = re.compile(r"\[\[\s*([a-z]+)\s*(.*?)\s*\]\]", re.DOTALL)
_WORD = re.compile(r"\S+\s*|\s+")
_GEMINI = re.compile(r".*/models/([^/:]+):(\w+)")
_JSON = {"content-type": "application/json"}


@hookimpl
def register_providers(register):
    paths = {"chat": "", "responses": "", "messages": "", "gemini": ""}
    operations = frozenset(
        "completions embeddings images audio moderations rerank files batches compact count_tokens "
        "stored_responses".split()
    )
    register(Provider("echo", paths, auth="none", operations=operations, respond=respond))


@hookimpl
def rewrite_request(channel, request):
    options = channel.settings.options
    if "say" in options:
        request.headers["x-echo-say"] = str(options["say"]).replace("\n", " ")
    if "delay" in options:
        request.headers["x-echo-delay"] = str(options["delay"])


@dataclass
class Script:
    """What a call asked the echo to do."""

    words: list
    thoughts: list = field(default_factory=list)
    calls: list = field(default_factory=list)  # (name, arguments)
    delay: float = 0.0
    silence: float = 0.0
    happening: str = ""  # silence, cut, malformed or error, once `after` words went out
    after: int = 0
    status: int = 200
    retry_after: str = ""
    empty: bool = False


def respond(request):
    """One request of the gateway as an upstream would answer it."""
    target = urlsplit(request.url)
    dialect, model, stream = _kind(target)
    if dialect is None:
        return _pass(request, target.path)
    try:
        document = JsonText.parse(request.body.data)
        prompt = DIALECTS[dialect].read_request(document, model=model, stream=stream)
    except (BadRequest, ValueError) as error:
        return _refusal(dialect, 400, str(error), {})
    script = _script(_last_words(prompt), request.headers)
    if script.status != 200:
        headers = {"retry-after": script.retry_after} if script.retry_after else {}
        return _refusal(dialect, script.status, f"the echo was told to answer {script.status}", headers)
    asked = vocabulary.Asked(prompt.model or "echo", int(time.time()), _ids(), prompt)
    if not prompt.stream:
        return _whole(dialect, script, asked)
    array = dialect == "gemini" and "alt=sse" not in target.query
    writer = DIALECTS["gemini"].ArrayWriter(asked) if array else DIALECTS[dialect].StreamWriter(asked)
    media_type = "application/json" if array else "text/event-stream"
    return Answered(200, {"content-type": media_type}, _streamed(dialect, script, asked, writer))


def _kind(target):
    """(dialect, model, stream) that the path says; no dialect for anything but generate."""
    for dialect, end in (("chat", "/chat/completions"), ("responses", "/responses"), ("messages", "/messages")):
        if target.path.endswith(end):
            return dialect, "", False
    match = _GEMINI.fullmatch(target.path)
    if match and match[2] in ("generateContent", "streamGenerateContent"):
        return "gemini", match[1], match[2].startswith("stream")
    return None, "", False


def _pass(request, path):
    """Any other operation: what arrived, as JSON; token counts as a count of words."""
    body = request.body.data if request.body else b""
    if path.endswith(("count_tokens", "input_tokens", "countTokens")):
        count = len(body.split())
        return _json({"input_tokens": count, "totalTokens": count})
    seen = {"object": "echo", "method": request.method, "path": path, "bytes": len(body)}
    return _json(seen | {"content_type": request.headers.get("content-type", "")})


def _json(document, status=200, headers=None):
    return Answered(status, _JSON | (headers or {}), JsonText.write(document))


def _refusal(dialect, status, text, headers):
    fault = Fault(status, {429: "rate_limited", 529: "overloaded"}.get(status, "upstream"), text, f"echo_{status}")
    return _json(FACES[dialect].error_body(fault, "echo"), status, headers)


def _last_words(prompt):
    """The text of the last user turn; tool results count as the user's words too."""
    for turn in reversed(prompt.turns):
        texts = []
        for part in turn.parts:
            inner = part.parts if isinstance(part, vocabulary.ToolResult) else [part]
            texts += [p.text if isinstance(p, vocabulary.Text) else f"({p.kind})" for p in inner if hasattr(p, "kind")
                      or isinstance(p, vocabulary.Text)]  # fmt: skip
        if turn.role in ("user", "tool") and texts:
            return " ".join(texts)
    return ""


def _script(text, headers):
    directives = _DIRECTIVE.findall(text + " " + headers.get("x-echo-say", ""))
    script = Script(_WORD.findall(_DIRECTIVE.sub("", text).strip()) or ["..."])
    script.delay = float(headers.get("x-echo-delay", 0))
    for name, rest in directives:
        first, _, more = rest.partition(" ")
        if name == "call":
            script.calls.append((first, more.strip() or "{}"))
        elif name == "think":
            script.thoughts = _WORD.findall(rest)
        elif name == "words":
            script.words = [f"word{i} " for i in range(_number(first, 10))]
        elif name == "delay":
            script.delay = _number(first, 0.05)
        elif name == "status":
            script.status, script.retry_after = _number(first, 500), more.removeprefix("retry-after").strip()
        elif name == "empty":
            script.empty = True
        elif name in ("silence", "cut", "malformed", "error"):
            script.happening, script.after = name, _number(rest.partition("after")[2].strip(), 0)
            script.silence = _number(first, 1.0)
    return script


def _number(text, default):
    try:
        return type(default)(float(text))
    except (ValueError, OverflowError):
        return default


def _usage(script, asked):
    text = " ".join(p.text for t in asked.prompt.turns for p in t.parts if isinstance(p, vocabulary.Text))
    thoughts = len(script.thoughts)
    written = len(script.words) + thoughts + len(script.calls)
    return Usage(len(text.split()), written, reasoning=thoughts, source="upstream")


def _finish(script):
    return vocabulary.Finish("tool_calls" if script.calls else "stop")


def _whole(dialect, script, asked):
    if script.empty:
        return Answered(200, _JSON, b"")
    if script.happening == "silence":
        time.sleep(script.silence)
    parts = [vocabulary.Reasoning("".join(script.thoughts))] if script.thoughts else []
    if script.words != ["..."] or not script.calls:
        parts.append(vocabulary.Text("".join(script.words)))
    parts += [vocabulary.ToolCall(asked.new_id("call_"), name, arguments) for name, arguments in script.calls]
    choice = vocabulary.Choice(parts, _finish(script))
    completion = vocabulary.Completion(
        asked.new_id("echo-"), asked.model, [choice], _usage(script, asked), asked.created
    )
    body = JsonText.write(DIALECTS[dialect].write_reply(completion, asked))
    if script.happening == "cut":
        return Answered(200, _JSON | {"content-length": str(len(body))}, _broken(body[: len(body) // 2]))
    if script.happening == "malformed":
        body = body[:-2]
    return Answered(200, _JSON, body)


def _broken(start):
    yield start
    raise ConnectionResetError


def _streamed(dialect, script, asked, writer) -> Iterator[bytes]:
    if script.empty:
        return
    said = 0
    if script.happening and script.after == 0:
        yield from _happen(dialect, script)
    for event in _events(script, asked):
        yield writer.feed(event)
        if isinstance(event, vocabulary.Delta):
            said += 1
            if script.happening and said == script.after:
                yield from _happen(dialect, script)
            if script.delay:
                time.sleep(script.delay)
    yield writer.close()


def _happen(dialect, script):
    if script.happening == "silence":
        time.sleep(script.silence)
    elif script.happening == "malformed":
        yield b'data: {"broken": \n\n'
    elif script.happening == "error":
        yield FACES[dialect].error_event(Fault(529, "overloaded", "the echo was told to fail", "echo_error"), "echo")
        raise ConnectionResetError
    else:
        raise ConnectionResetError


def _events(script, asked):
    v = vocabulary
    yield v.Started(asked.new_id("echo-"), asked.model, asked.created)
    parts = [(v.Reasoning(), script.thoughts)] if script.thoughts else []
    if script.words != ["..."] or not script.calls:
        parts.append((v.Text(""), script.words))
    parts += [(v.ToolCall(asked.new_id("call_"), name), _WORD.findall(said)) for name, said in script.calls]
    for index, (part, pieces) in enumerate(parts):
        yield v.Opened(index, part)
        for piece in pieces:
            yield v.Delta(index, piece)
        yield v.Closed(index)
    yield v.UsageSeen(_usage(script, asked))
    yield v.Finished(_finish(script))


def _ids():
    numbers = iter(range(1, 1 << 30))
    return lambda prefix: f"{prefix}{time.time_ns():x}{next(numbers)}"
