"""The parts of `gateway check --live` that need no network, and its command line."""

import base64
import inspect
import json

import pytest
from click.testing import CliRunner

from gateway import hookspecs
from gateway.attempt.verdicts import BAD_KEY, RETRY, Verdict
from gateway.cli import main
from gateway.errors import ChannelAnswered, Fault
from gateway.live_check.discreet import Discreet
from gateway.live_check.findings import DISABLED, FAILED, OK, STEPS, WARNING, Findings
from gateway.live_check.judging import Tried, judge
from gateway.live_check.listing import Listing, model_to_try, read_listing
from gateway.live_check.table import remarks, summary, table
from gateway.live_check.tiny_calls import hurried, tiny_call
from gateway.loading import load
from gateway.plugin_manager import HOOK_NAMES

PROVIDERS = ("rewrite_", "decode_", "read_", "authorize", "classify_")
ECHO = "channels: [{name: echo, provider: echo, models: [m]}, {name: other, provider: echo, models: [m]}]"
# Those that are given a call, but for the provider's own.
GATEWAY_HOOKS = [
    name for name in HOOK_NAMES
    if "call" in inspect.signature(getattr(hookspecs, name)).parameters and not name.startswith(PROVIDERS)
]  # fmt: skip
KEY = "sk-CANARY-0001"


@pytest.fixture(name="channel_of")
def _channel_of(write_config):
    """channel_of(members of a channel in YAML) -> the Channel."""

    def make(members):
        text = f"channels: [{{name: c, provider: openai, key: {KEY}, base_url: 'https://up.test', {members}}}]"
        return load(write_config(text)).channels[0]

    return make


@pytest.fixture(name="run")
def _run(write_config, monkeypatch):
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)

    def run(text, *words):
        return CliRunner().invoke(main, ["check", "--config", str(write_config(text)), *words])

    return run


# --- the command line -------------------------------------------------------------------------------------


def test_the_demo_is_good(run):
    result = run(ECHO, "--live")
    assert result.exit_code == 0
    assert result.stdout.endswith("2 checks: 2 good\n")
    assert result.stderr == ""


def test_json_has_a_step_for_each_word(run):
    document = json.loads(run(ECHO, "--live", "--json", "--channel", "other", "--whole").stdout)
    (check,) = document["checks"]
    assert set(document) == {"config", "ok", "checks"}
    assert list(check) == ["channel", "key", "provider", "enabled", "dialect", "model", "state", "seconds", "steps"]
    assert tuple(check["steps"]) == STEPS
    assert all({"state", "text", "seconds"} <= set(step) for step in check["steps"].values())
    assert check["steps"]["whole"]["state"] == "ok"


@pytest.mark.parametrize("words, complaint", [
    (["--channel", "echo"], "--channel goes with --live"),
    (["--json"], "--json goes with --live"),
    (["--keys"], "--keys goes with --live"),
    (["--live", "--channel", "ehco"], "no channel is called 'ehco', did you mean 'echo'?"),
    (["--live", "--channel", "zzz"], "there are: echo, other"),
    (["--live", "--timeout", "0"], "--timeout"),
    (["--live", "--jobs", "0"], "--jobs"),
    (["--live", "--max-tokens", "1"], "--max-tokens"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(words, complaint, run):
    result = run(ECHO, *words)
    assert (result.exit_code, complaint in result.stderr) == (2, True)


def test_a_bad_configuration_is_tried_by_nobody(run):
    result = run("channels: [{name: a, provider: opneai, key: k}]", "--live", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'openai'?" in result.stderr


def test_nothing_but_disabled_channels(run):
    result = run("channels: [{name: a, provider: echo, enabled: false}]", "--live")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "1 check: 1 disabled")


@pytest.mark.parametrize("hook", GATEWAY_HOOKS)
def test_a_check_is_no_call_to_gateway_plugins(hook, run, tmp_path):
    (tmp_path / "plugins").mkdir()
    seen = tmp_path / "seen"
    (tmp_path / "plugins" / "spy.py").write_text(f"""
from pathlib import Path
from gateway import hookimpl

@hookimpl
def {hook}(call):
    Path({str(seen)!r}).touch()
""")
    result = run(f"plugins_dir: ./plugins\nplugins: [spy]\n{ECHO}", "--live", "--whole")
    assert (result.exit_code, seen.exists()) == (0, False)


def test_patterns_alone_on_a_provider_without_a_list(run):
    text = "channels: [{name: a, provider: echo}]"
    result = run(text, "--live")
    assert (result.exit_code, "failed: a: model: " in result.stdout) == (1, True)
    assert run(text, "--live", "--model", "m").exit_code == 0


# --- lists ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data, names, whole", [
    (b'{"data":[{"id":"a"},{"id":"b"},{"id":"a"}]}', ("a", "b"), True),
    (b'{"data":[{"id":"a"}],"has_more":true}', ("a",), False),
    (b'{"models":[{"name":"models/a","displayName":"A"}],"nextPageToken":"x"}', ("a",), False),
    (b'[{"id":"a"},{"name":"b"},"c",{"id":7},null]', ("a", "b", "c"), True),
    (b'{"data":[]}', (), True),
])  # fmt: skip
def test_every_vendors_list_is_read(data, names, whole):
    assert read_listing(data) == Listing(names, whole)


@pytest.mark.parametrize("data", [b"", b"<html>", b"{}", b'{"data":{"a":1}}', b"7", b"null", b'"x"'])
def test_what_is_no_list_is_none(data):
    listing = read_listing(data)
    assert listing.names is None
    assert listing.why


def test_the_nearest_names_are_told():
    listing = Listing(("gpt-4o", "gpt-4o-mini", *(f"other-{number}" for number in range(9))))
    assert listing.near("gpt-4oo").startswith("did you mean 'gpt-4o' or 'gpt-4o-mini'")
    assert listing.near("zzz").endswith(" and 6 more")
    assert Listing(()).near("x") == "the channel lists no model at all"
    assert Listing(None).near("x") == ""


@pytest.mark.parametrize("models, wished, listed, tried", [
    ("[a, b]", "", (), "a"),
    ("[a, b]", "b", (), "b"),
    ("[a, b]", "c", (), "a"),
    ("[{p: u}]", "p", (), "u"),
    ("[text-embedding-3-small, a]", "", (), "a"),
    ("[text-embedding-3-small]", "", (), "text-embedding-3-small"),
    ("['g-*', a]", "", ("g-1",), "a"),
    ("['g-*']", "", ("f", "g-2", "g-1"), "g-2"),
    ("['g-*']", "g-9", ("g-2",), "g-9"),
    ("['g-*']", "x", ("x",), ""),
    ("['*']", "", ("whisper-1", "dall-e-3", "gpt-5"), "gpt-5"),
    ("['*']", "", ("whisper-1",), "whisper-1"),
    ("['*']", "", (), ""),
])  # fmt: skip
def test_which_model_is_tried(models, wished, listed, tried, channel_of):
    assert model_to_try(channel_of(f"models: {models}"), wished, Listing(listed)) == tried


# --- requests ---------------------------------------------------------------------------------------------------


def test_a_vendors_traits_are_respected(write_config):
    text = "channels: [{name: a, provider: mistral, key: k}, {name: b, provider: openai, key: k}]"
    mistral, openai = load(write_config(text)).channels
    body = json.loads(tiny_call(mistral, "chat", "m", True, 16).body.data)
    assert (body["max_tokens"], "stream_options" in body) == (16, False)
    body = json.loads(tiny_call(openai, "chat", "m", True, 16).body.data)
    assert (body["max_completion_tokens"], body["stream_options"]) == (16, {"include_usage": True})


def test_no_timeout_is_longer_than_the_check(channel_of):
    channel = hurried(channel_of("timeout: {connect: 2, idle: 99}"), 7)
    assert (channel.timeouts.connect, channel.timeouts.first_event, channel.timeouts.idle, channel.timeouts.total) == (
        2, 7, 7, 7,
    )  # fmt: skip


# --- words -----------------------------------------------------------------------------------------------------------


def test_secrets_are_masked_in_every_form(channel_of):
    members = "proxy: 'http://me:pro%2Fxy-pass@p.test', headers: {set: {X-Api-Token: header-secret, X-Team: search}}"
    shown = Discreet(channel_of(members))
    packed = base64.b64encode(KEY.encode()).decode()
    for secret in (KEY, packed, "pro%2Fxy-pass", "pro/xy-pass", "header-secret", "me:pro%2Fxy-pass"):
        assert shown(f"it was {secret}!") == "it was ***!"
    assert shown("search") == "search"


def test_no_text_can_paint_the_terminal_or_fill_it(channel_of):
    shown = Discreet(channel_of("models: [m]"))
    assert shown("a\x1b[2J\r\nb\u2028c\x00") == "a [2J b c"
    assert len(shown("x" * 9999)) < 310


@pytest.mark.parametrize("status, code, message, step", [
    (401, None, "no", "auth"), (400, "invalid_api_key", "no", "auth"), (404, "model_not_found", "no", "model"),
    (404, None, "The model `gpt` does not exist", "model"), (404, None, "no route", "stream"),
    (400, None, "Unknown model: gpt", "model"), (400, None, "messages: too few", "stream"),
    (403, None, "You have no access to model gpt", "model"), (402, None, "pay", "stream"),
    (403, None, "not from here", "auth"), (529, None, "busy", "stream"),
])  # fmt: skip
def test_which_step_a_failure_is_of(status, code, message, step, channel_of):
    tried = Tried(channel_of("models: [gpt]"), 0, "bearer", "gpt", "POST https://up.test", 30, Listing(None))
    error = ChannelAnswered(Fault(status, "", message, code), (), b"", b"{}")
    found, text = judge(error, status, tried, Verdict(BAD_KEY if status in (401, 402, 403) else RETRY))
    assert (found, message in text, str(status) in text) == (step, True, True)


# --- findings -------------------------------------------------------------------------------------------


def test_a_check_that_was_given_up_takes_nothing_more(channel_of):
    findings = Findings(channel_of("models: [m]"), 0)
    findings.begin("dns")
    findings.note("dns", OK)
    findings.begin("tcp")
    findings.give_up()
    findings.note("tcp", OK, "at last")
    assert (findings.steps["tcp"].state, "given up" in findings.steps["tcp"].text) == (FAILED, True)
    assert findings.steps["end"].state == "skipped"
    assert tuple(findings.steps) == STEPS


def test_the_worst_step_is_the_checks_state(channel_of):
    findings = Findings(channel_of("models: [m]"), None)
    assert findings.state == DISABLED
    for name, state in (("dns", OK), ("tls", WARNING), ("end", FAILED)):
        findings.note(name, state)
        assert findings.state == state


def test_the_table_is_aligned_and_failures_come_first(channel_of):
    checks = [Findings(channel_of("models: [m]"), number) for number in range(3)]
    checks[0].note("tls", WARNING, "few days", days_left=3)
    checks[1].note("auth", FAILED, f"refused {KEY}")
    for check in checks[:2]:
        check.model = "a-model"
        check.end()
    lines = table(checks)
    assert [line.index("tls") for line in lines[:1]] == [lines[1].index("3 days !")]
    assert lines[2].split()[6] == "FAILED"
    assert lines[3].split() == ["c#2", "disabled"]
    assert remarks(checks) == ["failed: c#1: auth: refused ***", "warning: c#0: tls: few days"]
    assert summary(checks) == "3 checks: 1 with warnings, 1 failed, 1 disabled"
