"""System prompts come into requests, and everything else stays as the client wrote it."""

import json
import logging
from pathlib import Path

import pytest
from model_replies import reply_of

from gateway.errors import ConfigError
from gateway.policies import Added, with_system_text

BEFORE, BEHIND = Added('Say "no".', True), Added("Be\nkind.", False)
KEYS = "keys: [{name: alice, key: key-a}, {name: bob, key: key-b}]"

# Blocks of four lines: the dialect, a request, the same with BEFORE, with BEHIND.
CASES = [
    block.splitlines() for block in (Path(__file__).parent / "system_prompts.txt").read_text("utf-8").split("\n\n")
]


@pytest.mark.parametrize("dialect, text, before, behind", CASES)
def test_where_it_goes(dialect, text, before, behind):
    assert with_system_text(text.encode(), dialect, BEFORE).decode() == before
    assert with_system_text(text.encode(), dialect, BEHIND).decode() == behind
    assert json.loads(before) != json.loads(behind)


@pytest.mark.parametrize("text", [b'{"messages":"odd"}', b'{"messages":7}', b"[]"])
def test_what_is_no_request_is_left_to_the_channel(text):
    assert with_system_text(text, "chat", BEFORE) == text


def test_of_a_key_that_comes_twice_the_last_counts():
    text = b'{"system":"A","system":"B"}'
    assert json.loads(with_system_text(text, "messages", BEHIND))["system"] == "B\n\nBe\nkind."


def test_rules_are_for_certain_calls(serving, channels, ask):
    rules = "{text: one, keys: [alice]}, {text: two, where: behind, models: [gpt]}"
    client = serving(f"[{{inject: {{rules: [{rules}]}}}}]", KEYS)
    channels.say("chat", reply_of("chat", "ok"))
    for key in ("key-a", "key-b"):
        ask(client, headers={"X-Api-Key": key})
    found = [json.loads(body)["messages"][0]["content"] for body in channels.sent]
    assert found == ["one\n\ntwo", "two"]


def test_it_works_through_a_translation(serving, channels, ask):
    client = serving("[{inject: {rules: [{text: Be brief.}]}}]")
    channels.say("messages", reply_of("messages", "ok"))
    ask(client, "chat", model="claude")
    assert "Be brief." in json.dumps(json.loads(channels.sent[-1])["system"])


def test_other_operations_are_left_alone(serving, network):
    client = serving("[{inject: {rules: [{text: Be brief.}]}}]")
    network.post("https://chat.test/v1/embeddings", json={"data": []})
    client.post("/v1/embeddings", json={"model": "gpt", "input": "x"})
    assert b"brief" not in network.calls[0].request.body


def test_what_would_be_added_is_said(serving, channels, ask, caplog):
    caplog.set_level(logging.INFO)
    client = serving("[{inject: {rules: [{text: Be brief.}], mode: observe}}]")
    channels.say("chat", reply_of("chat", "ok"))
    ask(client)
    assert b"brief" not in channels.sent[0]
    assert "would add 1 system prompts" in caplog.text


def test_complaints(serving):
    with pytest.raises(ConfigError, match=r"yaml:1: plugins.inject: the text of this rule is empty"):
        serving("[{inject: {rules: [{text: ''}]}}]")
