"""`gateway check --live` against upstreams that fail in every way there is."""

import functools
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from live_cases import DIALECTS, reply_bytes, stream_events
from live_servers import OTHER_KEY, ROOT, SECRETS, UPSTREAM_KEY, free_port, until

from gateway.cli import main

pytestmark = pytest.mark.live

LISTS = {
    "chat": b'{"object":"list","data":[{"id":"text-embedding-m"},{"id":"m-large"},{"id":"m"}]}',
    "messages": b'{"data":[{"type":"model","id":"m"}],"has_more":false}',
    "gemini": b'{"models":[{"name":"models/m"}]}',
}
LISTS["responses"] = LISTS["chat"]
YAML = """
providers: {chat: {dialects: [chat]}, responses: {dialects: [responses]}, messages: {dialects: [messages]},
            gemini: {dialects: [gemini]}}
"""


@pytest.fixture(name="write")
def _write(tmp_path):
    """write(channels, more) -> the path of a configuration with these channels."""

    def write(*channels, more=""):
        path = tmp_path / "gateway.yaml"
        path.write_text(YAML + more + "\nchannels:" + "".join(f"\n  - {channel}" for channel in channels) + "\n")
        return path

    return write


@pytest.fixture(name="run")
def _run(write, monkeypatch):
    """run(channels, *words) -> click's result; no secret is in it."""
    monkeypatch.setenv("KEY", UPSTREAM_KEY)
    monkeypatch.setenv("OTHER", OTHER_KEY)

    def run(channels, *words, more=""):
        command = ["check", "--live", "--config", str(write(*channels, more=more)), *words]
        result = CliRunner().invoke(main, command)
        assert not [secret for secret in SECRETS if secret in result.output]
        return result

    return run


@pytest.fixture(name="only")
def _only(run):
    """only(url, *words, channel="", ...) -> what was found out about the one channel there."""

    def only(url, *words, channel="", provider="chat", models="[m]", more=""):
        line = f'{{name: c, provider: {provider}, key: "${{KEY}}", base_url: "{url}", models: {models}, {channel}}}'
        result = run([line], "--json", *words, more=more)
        document = json.loads(result.stdout)
        (found,) = document["checks"]
        assert result.exit_code == (1 if found["state"] == "failed" else 0)
        assert document["ok"] is (result.exit_code == 0)
        return found

    return only


def plays(upstream, post, dialect="chat", listed=True):
    """From now on *upstream* lists its models (unless told not to), and answers all else with *post*."""

    def answer(exchange):
        if exchange.method == "POST":
            post(exchange)
        elif listed:
            exchange.reply(LISTS[dialect])
        else:
            exchange.reply(b"404 page not found", status="404 Not Found", kind="text/plain")

    upstream.answer(answer)


def good(exchange):
    streamed = b'"stream":true' in exchange.body
    exchange.stream(reply_bytes("chat")) if streamed else exchange.reply(reply_bytes("chat", stream=False))


def refusing(status, message="no", *headers, **more):
    body = json.dumps({"error": {"message": message, **more}}).encode()
    return lambda exchange: exchange.reply(body, *headers, status=status)


def asked(upstream):
    """The documents that were POSTed."""
    return [json.loads(exchange.body) for exchange in upstream.exchanges if exchange.method == "POST"]


def states(found):
    return {name: step["state"] for name, step in found["steps"].items() if step["state"] != "skipped"}


def failure(found):
    """(step, text) of the one step that failed."""
    ((step, text),) = [(name, step["text"]) for name, step in found["steps"].items() if step["state"] == "failed"]
    return step, text


# --- what is good --------------------------------------------------------------------------------------

TOKENS = {
    "chat": lambda body: body["max_completion_tokens"],
    "responses": lambda body: body["max_output_tokens"],
    "messages": lambda body: body["max_tokens"],
    "gemini": lambda body: body["generationConfig"]["maxOutputTokens"],
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_tiny_streamed_call_proves_a_channel(dialect, only, upstream):
    plays(upstream, lambda exchange: exchange.stream(reply_bytes(dialect)), dialect)
    found = only(upstream.url, provider=dialect, models="{public: m}")
    taken = ["dns", "tcp", "auth", "model", "stream", "first_event", "usage", "end"]
    assert states(found) == dict.fromkeys(taken, "ok")
    said = [found[name] for name in ("channel", "key", "provider", "enabled", "dialect", "model")]
    assert said == ["c", 0, dialect, True, dialect, "m"]
    (body,) = asked(upstream)
    assert TOKENS[dialect](body) == 16
    assert b"public" not in upstream.exchanges[-1].body
    usage, first = found["steps"]["usage"], found["steps"]["first_event"]
    assert (usage["input"], usage["output"]) == (5, 7)
    assert 0 < first["seconds"] <= found["seconds"] < 10


def test_a_whole_call_is_made_if_wished(only, upstream):
    plays(upstream, good)
    found = only(upstream.url, "--whole", "--max-tokens", "99")
    assert found["steps"]["whole"]["state"] == "ok"
    assert [(body.get("stream"), body["max_completion_tokens"]) for body in asked(upstream)] == [(None, 99), (True, 99)]


def test_each_key_is_tried_and_named_by_its_number(run, upstream):
    def post(exchange):
        if UPSTREAM_KEY in exchange.headers["authorization"]:
            return good(exchange)
        return refusing("401 Unauthorized", f"Incorrect API key: {OTHER_KEY}.")(exchange)

    plays(upstream, post)
    channel = f'{{name: c, provider: chat, keys: ["${{KEY}}", "${{OTHER}}"], base_url: "{upstream.url}", models: [m]}}'
    result = run([channel], "--keys")
    assert result.exit_code == 1
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[0] for row in rows[1:3]] == ["c#0", "c#1"]
    assert rows[2][6] == "FAILED"
    (told,) = [line for line in result.stdout.splitlines() if line.startswith("failed: ")]
    assert told.startswith("failed: c#1: auth: the key was refused (401): Incorrect API key: ***.; look at ")
    assert "the channel's `keys[1]`; it is sent as bearer" in told
    assert result.stdout.endswith("2 checks: 1 good, 1 failed\n")


def test_a_channel_costs_one_call_however_many_keys_it_has(run, upstream):
    plays(upstream, good)
    keys = ", ".join(f'"{UPSTREAM_KEY}-{number}"' for number in range(3))
    result = run([f'{{name: c, provider: chat, keys: [{keys}], base_url: "{upstream.url}", models: [m]}}'])
    assert result.exit_code == 0
    assert result.stdout.endswith("1 check: 1 good\n2 more keys not tried (--keys)\n")
    (exchange,) = [exchange for exchange in upstream.exchanges if exchange.method == "POST"]
    assert exchange.headers["authorization"] == f"Bearer {UPSTREAM_KEY}-0"


def test_many_at_once_in_their_order_with_the_disabled_ones(run, upstream):
    plays(upstream, good)
    line = f'{{name: c%d, provider: chat, key: "${{KEY}}", base_url: "{upstream.url}", models: [m], enabled: %s}}'
    channels = [line % (number, "false" if number == 2 else "true") for number in range(5)]
    result = run([*channels, "{name: e, provider: echo, models: [x]}"], "--jobs", "3", "--json")
    checks = json.loads(result.stdout)["checks"]
    assert [check["channel"] for check in checks] == ["c0", "c1", "c2", "c3", "c4", "e"]
    assert [check["state"] for check in checks] == ["ok", "ok", "disabled", "ok", "ok", "ok"]
    assert (checks[2]["steps"], checks[5]["key"]) == ({}, None)
    assert len(asked(upstream)) == 4
    named = run(channels, "--channel", "c2", "--channel", "c0")
    assert [line.split()[0] for line in named.stdout.splitlines()[1:3]] == ["c0#0", "c2#0"]
    assert "c2#0 (disabled)  m " in named.stdout
    assert len(asked(upstream)) == 6


# --- the way there ---------------------------------------------------------------------------------------


def test_a_host_without_an_address(only):
    step, text = failure(only("http://nowhere.invalid"))
    assert step == "dns"
    assert text.startswith("nowhere.invalid has no address (")


def test_a_refused_connection(only):
    port = free_port()
    step, text = failure(only(f"http://127.0.0.1:{port}"))
    assert (step, f"no connection to 127.0.0.1:{port} (connection refused)" in text) == ("tcp", True)


def test_a_connection_that_nobody_takes(only, full):
    step, text = failure(only(full, channel="timeout: {connect: 0.2}"))
    assert (step, "within 0.2 s (timeout.connect)" in text) == ("tcp", True)


def test_a_server_that_speaks_no_tls(only, upstream):
    plays(upstream, good)
    step, text = failure(only(upstream.url.replace("http:", "https:"), channel="timeout: {connect: 1}"))
    assert step == "tls"
    assert asked(upstream) == []


def test_a_provider_plugin_may_lead_elsewhere(only, upstream, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "elsewhere.py").write_text(f"""
from gateway import Provider, hookimpl

@hookimpl
def register_providers(register):
    register(Provider("elsewhere", {{"chat": ""}}))

@hookimpl
def rewrite_request(request):
    request.url = request.url.replace("http://nowhere.invalid", "{upstream.url}")

@hookimpl
def classify_failure(response):
    return "bad_key" if response.status == 418 else None
""")
    more = "plugins_dir: ./plugins\nplugins: [elsewhere]"
    plays(upstream, good)
    assert only("http://nowhere.invalid", provider="elsewhere", more=more)["state"] == "ok"
    plays(upstream, refusing("418 Teapot", "no tea"))
    step, text = failure(only("http://nowhere.invalid", provider="elsewhere", more=more))
    assert (step, "the key was refused (418): no tea" in text) == ("auth", True)


# --- models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("models, words, model", [
    ("['m*']", [], "m-large"),
    ("['*']", [], "m-large"),  # the first listed one would not answer in text
    ("['*']", ["--model", "m"], "m"),
    ("[m, {x: m-large}]", ["--model", "x"], "m-large"),
    ("[m]", ["--model", "elsewhere"], "m"),
])  # fmt: skip
def test_which_model_is_tried(models, words, model, only, upstream):
    plays(upstream, good)
    assert only(upstream.url, *words, models=models)["model"] == model
    assert [body["model"] for body in asked(upstream)] == [model]


@pytest.mark.parametrize("models, listed, why", [
    ("['*']", False, "asking for it gave: status 404"), ("['claude-*']", True, "none of the 3 listed models matches"),
])  # fmt: skip
def test_no_model_to_try(models, listed, why, only, upstream):
    plays(upstream, good, listed=listed)
    step, text = failure(only(upstream.url, models=models))
    assert (step, why in text, text.endswith("name one with --model")) == ("model", True, True)
    assert asked(upstream) == []


def test_a_model_that_is_not_listed_is_a_warning(only, upstream):
    plays(upstream, good)
    found = only(upstream.url, models="[m-lrage]")
    step = found["steps"]["model"]
    assert (found["state"], step["state"], step["listed"]) == ("warning", "warning", False)
    assert "'m-lrage' is not listed; did you mean 'm-large'" in step["text"]


def test_a_channel_without_a_list_is_no_worse_for_it(only, upstream):
    plays(upstream, good, listed=False)
    found = only(upstream.url)
    assert (found["state"], found["steps"]["model"]["state"]) == ("ok", "unknown")


@pytest.mark.parametrize("status, more", [("404 Not Found", {"code": "model_not_found"}), ("400 Bad Request", {})])
def test_no_such_model(status, more, only, upstream):
    plays(upstream, refusing(status, "Model Not Exist", **more))
    found = only(upstream.url, models="[gpt]")
    step, text = failure(found)
    assert step == "model"
    assert f"no such model 'gpt' ({status[:3]}): Model Not Exist; the channel lists: text-embedding-m, m-large" in text
    assert found["steps"]["auth"]["state"] == "ok"


# --- what comes back -------------------------------------------------------------------------------------------


def _events(*numbers):
    return b"".join(stream_events("chat")[number] for number in numbers)


def _cut(exchange):
    exchange.start().chunk(_events(0, 1))
    exchange.close()


def _error_inside(exchange):
    exchange.stream(_events(0, 1) + b'data: {"error":{"message":"overloaded inside","code":529}}\n\n')


ANSWERS = {
    "bad key": (refusing("401 Unauthorized", "bad"), "auth", "refused (401): bad; look at the channel's `key`; it is"),
    "forbidden": (refusing("403 Forbidden", "not here"), "auth", "refused (403): not here; the key lacks a right"),
    "no money": (refusing("402 Payment Required", "pay"), "stream", "no money or no quota left (402): pay"),
    "no quota": (refusing("429 Too Many", "pay", code="insufficient_quota"), "stream", "no quota left (429): pay"),
    "limited": (refusing("429 Too Many", "slow down", "Retry-After: 7"), "stream",
                "over a limit (429): slow down; try again in 7 s"),
    "wrong path": (refusing("404 Not Found", "nope"), "stream", "nothing is there (404): nope; asked was POST http://"),
    "bad request": (refusing("400 Bad Request", "odd"), "stream", "request was refused (400): odd; another --model"),
    "down": (refusing("503 Unavailable", "later"), "stream", "the upstream failed (503): later"),
    "page": (lambda x: x.reply(b"<html>hello", kind="text/html"), "stream", "a web page came instead of an API's"),
    "page of an error": (lambda x: x.reply(b"<html>", status="502 Bad", kind="text/html"), "stream", "web page came"),
    "redirect": (lambda x: x.reply(b"", "Location: https://new.test/v1?key=k", status="301 Moved"), "stream",
                 "redirected (301) to https://new.test/v1, which is not followed"),
    "empty stream": (lambda x: x.stream(b": hi\n\n"), "stream", "the answer is empty: status 200"),
    "empty": (lambda x: x.reply(b""), "stream", "the answer is empty"),
    "whole": (lambda x: x.reply(reply_bytes("chat", stream=False)), "stream", "a whole answer came though a stream"),
    "error at once": (lambda x: x.stream(b'data: {"error":{"message":"busy","code":429}}\n\n'), "stream",
                      "over a limit (429, inside a 200): busy"),
    "error inside": (_error_inside, "stream", "an error after 3 events: overloaded inside"),
    "no json": (lambda x: x.stream(_events(0) + b"data: {oops\n\n" + _events(3, 5)), "stream", "not JSON"),
    "no end": (lambda x: x.stream(_events(0, 1, 2)), "end", "(finish_reason or [DONE] did not come)"),
    "cut": (_cut, "end", "the connection ended in the middle of the answer"),
    "reset": (lambda x: x.reset(), "stream", "no connection (connection reset by peer)"),
    "escape": (refusing("500 Oops", f"\x1b[31mred\n{UPSTREAM_KEY}" + "x" * 999), "stream", "(500): [31mred ***xxx"),
}  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_came_back_is_explained(answer, only, upstream):
    post, step, words = ANSWERS[answer]
    plays(upstream, post)
    found = only(upstream.url)
    failed, text = failure(found)
    assert failed == step
    assert words in text
    assert "\x1b" not in text
    assert len(text) < 310
    # A kept connection that breaks without a word is taken for a stale one, as for calls.
    assert len(asked(upstream)) == (2 if answer == "reset" else 1)


def test_google_says_400_to_a_bad_key(only, upstream):
    plays(upstream, refusing("400 Bad Request", "API key not valid", details=[{"reason": "API_KEY_INVALID"}]), "gemini")
    step, text = failure(only(upstream.url, provider="gemini"))
    assert (step, "the key was refused (400): API key not valid" in text) == ("auth", True)


def test_no_usage_is_a_warning(only, upstream):
    plays(upstream, lambda exchange: exchange.stream(_events(0, 1, 3, 5)))
    found = only(upstream.url)
    assert (found["state"], found["steps"]["usage"]["state"]) == ("warning", "warning")
    assert found["steps"]["usage"]["output"] is None


def test_a_whole_call_that_fails(only, upstream):
    plays(upstream, lambda x: good(x) if b'"stream":true' in x.body else x.reply(b'{"id":'))
    found = only(upstream.url, "--whole")
    assert failure(found)[0] == "whole"
    assert found["steps"]["stream"]["state"] == "ok"


def test_a_key_that_was_refused_is_not_tried_again(only, upstream):
    plays(upstream, refusing("401 Unauthorized"))
    assert failure(only(upstream.url, "--whole"))[0] == "auth"
    assert len(asked(upstream)) == 1


def test_a_channel_that_wants_a_key_and_has_none(run, upstream):
    plays(upstream, refusing("401 Unauthorized", "who?"))
    result = run([f'{{name: c, provider: chat, auth: none, base_url: "{upstream.url}", models: [m]}}'])
    assert "failed: c: auth: a key is wanted (401): who?; none is sent" in result.stdout


# --- time ---------------------------------------------------------------------------------------------------------


def _silent(exchange):
    exchange.left_within(10)


def _silent_inside(exchange):
    exchange.start().chunk(_events(0))
    exchange.left_within(10)


def _dripping(exchange):
    for byte in b"HTTP/1.1 200 OK\r\n" * 50:
        exchange.send(bytes([byte]))
        if exchange.left_within(0.05):
            return


@pytest.mark.parametrize("post, channel, words", [
    (_silent, "", "nothing came within"),
    (_silent, "timeout: {first_event: 0.2}", "within 0.2 s (timeout.first_event of the channel)"),
    (_silent_inside, "", "it did not end within"),
    (_silent_inside, "timeout: {idle: 0.2}", "silent in the middle of its answer for 0.2 s"),
    (_dripping, "", "did not end within"),
], ids=["silent", "first_event", "inside", "idle", "dripping"])  # fmt: skip
def test_a_stalled_channel_ends_at_the_timeout(post, channel, words, only, upstream):
    plays(upstream, post)
    began = time.monotonic()
    found = only(upstream.url, "--timeout", "0.5", channel=channel)
    assert time.monotonic() - began < 5
    step, text = failure(found)
    assert (step, words in text) == ("stream", True)


def test_ctrl_c_ends_at_once(write, upstream):
    path = write(f'{{name: c, provider: chat, key: "{UPSTREAM_KEY}", base_url: "{upstream.url}", models: [m]}}')
    command = [sys.executable, "-m", "gateway", "check", "--live", "--config", str(path), "--timeout", "60"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Tests that run in the background of a shell were told to ignore it, and would pass that on.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        with upstream.take():
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=5)
    finally:
        process.kill()
    assert (process.returncode, out, "Traceback" in err) == (1, "", False)


def test_a_terminal_gets_a_progress_bar_and_a_pipe_gets_none(write, upstream):
    plays(upstream, good)
    path = write(f'{{name: c, provider: chat, key: "{UPSTREAM_KEY}", base_url: "{upstream.url}", models: [m]}}')
    command = [sys.executable, "-m", "gateway", "check", "--live", "--config", str(path), "--json"]
    ours, theirs = pty.openpty()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, timeout=30)
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert b"Trying the channels" in shown
    assert b"100%" in shown
    assert json.loads(done.stdout)["ok"]
    piped = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30)
    assert (piped.returncode, piped.stderr) == (0, b"")


def test_a_name_server_that_does_not_answer_holds_nobody_up(only, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    step, text = failure(only("http://127.0.0.1:9", "--timeout", "0.2"))
    assert (step, "did not end within 1 s" in text) == ("dns", True)


def test_a_key_that_cannot_be_waited_for_leaves_the_others_alone(run, upstream, spare):
    plays(upstream, _silent)
    plays(spare, good)
    line = '{{name: {}, provider: chat, key: "${{KEY}}", base_url: "{}", models: [m]}}'
    channels = [line.format("stalled", upstream.url), line.format("good", spare.url)]
    result = run(channels, "--timeout", "0.5", "--json")
    assert [check["state"] for check in json.loads(result.stdout)["checks"]] == ["failed", "ok"]
    assert until(lambda: len(asked(spare)) == 1, "one call")
