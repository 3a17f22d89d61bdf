"""Calls stay on channels that are tagged for them."""

import logging

import pytest
from model_replies import reply_of

from gateway.errors import ConfigError

KEYS = """
teams: [{name: search}]
keys: [{name: alice, key: key-a, team: search}, {name: bob, key: key-b}]
routes: {smart: [chat/gpt, messages/claude]}
"""
ALICE, BOB = {"X-Api-Key": "key-a"}, {"X-Api-Key": "key-b"}
EU = "[{residency: {rules: [{teams: [search], any: [eu]}]}}]"


def test_a_team_keeps_to_its_channels(serving, channels, ask):
    client = serving(EU, KEYS)
    channels.say("chat", reply_of("chat", "from chat"))
    channels.say("messages", reply_of("messages", "from messages"))
    answers = [ask(client, model="smart", headers=key) for key in (ALICE, BOB)]
    assert [answer.headers["x-gateway-channel"] for answer in answers] == ["messages", "chat"]


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_with_none_left_the_call_is_refused(dialect, serving, channels, ask):
    answer = ask(serving(EU, KEYS), dialect, headers=ALICE)
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "residency")
    assert channels.sent == []


def test_a_model_that_nobody_has_is_no_question_of_residency(serving, ask):
    answer = ask(serving(EU, KEYS), model="nosuch", headers=ALICE)
    assert answer.json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("rule, model, status", [
    ("any: [eu, us]", "gpt", 200), ("all: [eu, beta]", "claude", 403), ("none: [us]", "gpt", 403),
    ("none: [beta]", "claude", 200), ("any: [eu], keys: ['b*']", "gpt", 200), ("any: [eu], keys: ['al*']", "gpt", 403),
    ("any: [eu], models: ['cl*']", "gpt", 200),
    ("any: [eu], headers: {x-region: eu}", "gpt", 200), ("any: [eu], headers: {X-Team: s*}", "gpt", 403),
])  # fmt: skip
def test_what_a_rule_asks_for(rule, model, status, serving, channels, ask):
    client = serving(f"[{{residency: {{rules: [{{{rule}}}]}}}}]", KEYS)
    channels.say("chat", reply_of("chat", "ok"))
    channels.say("messages", reply_of("messages", "ok"))
    answer = ask(client, model=model, headers=ALICE | {"X-Team": "search"})
    assert answer.status_code == status


def test_all_rules_that_fit_have_to_be_met(serving, channels, ask):
    client = serving("[{residency: {rules: [{any: [eu]}, {teams: [search], none: [beta]}]}}]", KEYS)
    channels.say("messages", reply_of("messages", "ok"))
    assert ask(client, "messages", headers=ALICE).status_code == 200
    assert ask(client, "gemini", headers=ALICE).status_code == 403
    assert ask(client, "chat", headers=BOB).status_code == 403


def test_what_would_be_left_out_is_said(serving, channels, ask, caplog):
    caplog.set_level(logging.INFO)
    client = serving(EU.replace("any: [eu]}]", "any: [eu]}], mode: observe"), KEYS)
    channels.say("chat", reply_of("chat", "ok"))
    answer = ask(client, headers=ALICE)
    assert (answer.status_code, answer.headers["x-gateway-would-refuse"]) == (200, "residency")
    assert "would not use chat: not tagged eu" in caplog.text


@pytest.mark.parametrize("rule, complaint", [
    ("teams: [search]", "this rule names no tags"), ("any: [mars]", "no channel is tagged 'mars'"),
    ("tags: [eu]", "unknown key 'tags'"),
])  # fmt: skip
def test_complaints(rule, complaint, serving):
    with pytest.raises(ConfigError) as caught:
        serving(f"[{{residency: {{rules: [{{{rule}}}]}}}}]")
    assert complaint in str(caught.value)
