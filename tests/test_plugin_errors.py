"""What a plugin raises ends where it should: policies refuse the call, observers never reach the client."""

import logging

import pytest

from gateway.errors import ConfigError
from gateway.plugin_manager import HOOK_NAMES

SHAKY = """
plugins_dir: %s
plugins: [{raising: {hook: %s}}]
channels: [{name: shaky, provider: shaky, key: k}]
"""
POLICY = ["authenticate", "before_call", "answer_call", "filter_reply", "arrange_channels", "rewrite_request",
          "authorize", "decode_stream", "rewrite_response"]  # fmt: skip
OBSERVERS = ["read_usage", "attempt_finished", "after_call"]


def ask(client, sent, model="m", **more):
    document = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    return sent(client, "/v1/chat/completions", document, buffered=True)


def failures_of(client):
    plugins = client.application.extensions["gateway"].gateway.plugins
    return sum(plugin.errors for plugin in plugins.gateway)


@pytest.mark.parametrize("hook", POLICY)
def test_a_policy_that_raises_refuses_the_call_and_is_named(hook, client_of, samples, sent, caplog):
    client = client_of(SHAKY % (samples, hook))
    with caplog.at_level(logging.ERROR):
        answer = ask(client, sent)
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "plugin_error")
    assert answer.json["error"]["message"] == f"plugin 'raising' failed in {hook}"
    assert "the inside story" in caplog.text
    assert "the inside story" not in answer.text
    assert failures_of(client) == 1


def test_a_classification_that_raises_refuses_the_call(client_of, samples, sent):
    answer = ask(client_of(SHAKY % (samples, "classify_failure")), sent, "fail")
    assert (answer.status_code, answer.json["error"]["message"]) == (500, "plugin 'raising' failed in classify_failure")


def test_a_stream_hook_that_raises_refuses_the_call(client_of, samples, sent):
    answer = ask(client_of(SHAKY % (samples, "rewrite_stream")), sent, stream=True)
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "plugin_error")


def test_what_filter_reply_gave_may_raise_and_is_named(client_of, samples, sent):
    answer = ask(client_of(SHAKY % (samples, "whole")), sent)
    assert (answer.status_code, answer.json["error"]["message"]) == (500, "plugin 'raising' failed in filter_reply")


@pytest.mark.parametrize("hook", ["begin", "end"])
def test_a_plugin_that_cannot_begin_or_end_is_logged_and_the_gateway_goes_on(hook, client_of, samples, sent, caplog):
    client = client_of(SHAKY % (samples, hook))
    current = client.application.extensions["gateway"]
    current.begin()
    assert ask(client, sent).status_code == 200
    current.end()
    assert f"plugin raising failed in {hook}" in caplog.text


@pytest.mark.parametrize("hook", ["feed", "close"])
def test_a_filter_that_raises_breaks_the_stream(hook, client_of, samples, sent, caplog):
    client = client_of(SHAKY % (samples, hook))
    answer = client.post("/v1/chat/completions", json={"model": "m", "stream": True}, buffered=False)
    said = b""
    with pytest.raises(ConnectionResetError):
        for piece in answer.response:
            said += piece
    answer.close()
    assert b"plugin 'raising' failed in rewrite_stream" in said
    assert b"the inside story" not in said
    assert "the inside story" in caplog.text
    assert failures_of(client) == 1


@pytest.mark.parametrize("hook", OBSERVERS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_observer_that_raises_never_reaches_the_client(hook, stream, client_of, samples, sent, caplog):
    client = client_of(SHAKY % (samples, hook))
    answer = ask(client, sent, stream=True) if stream else ask(client, sent)
    assert answer.status_code == 200
    assert answer.data.endswith(b"data: [DONE]\n\n" if stream else b'{"good":1}')
    assert "the inside story" in caplog.text
    assert failures_of(client) >= 1


def test_a_page_that_raises_is_a_500_that_names_the_plugin(client_of, samples, caplog):
    answer = client_of(SHAKY % (samples, "page")).get("/shaky")
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "plugin_error")
    assert "the inside story" not in answer.text
    assert "the inside story" in caplog.text


@pytest.mark.parametrize("hook", ["register_providers", "check_config", "register_pages"])
def test_a_plugin_that_raises_while_loading_is_a_complaint(hook, client_of, samples):
    with pytest.raises(ConfigError, match=f"plugin 'raising' failed in {hook}"):
        client_of(SHAKY % (samples, hook))


def test_every_hook_is_raised_in():
    tested = {"begin", "end", *POLICY, *OBSERVERS, "classify_failure", "rewrite_stream", "register_providers",
              "check_config", "register_pages", "register_commands"}  # fmt: skip
    assert tested == set(HOOK_NAMES)  # register_commands: test_cli.py
