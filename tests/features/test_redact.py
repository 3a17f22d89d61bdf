"""The policy as an operator configures it: what leaves, what comes back, what is refused."""

import io
import json
import logging
from pathlib import Path

import planted
import pytest
from model_replies import reply_of

from gateway.errors import ConfigError

ADDRESS, CARD = "alice@example.com", "4111 1111 1111 1111"
PROMPT = f"Write to {ADDRESS}, pay with {CARD}. Again: {ADDRESS}"
HIDDEN = "Write to <EMAIL_1>, pay with <CARD_1>. Again: <EMAIL_1>"
STREAMS = Path(__file__).parent / "streams"  # "to <EM", "AIL_1", the end
KEYS = "keys: [{name: alice, key: key-a}, {name: trusted-bob, key: key-b}]"


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_a_prompt_is_masked_and_a_reply_restored(dialect, serving, channels, ask):
    client = serving("[redact]")
    channels.say(dialect, reply_of(dialect, HIDDEN))
    answer = ask(client, dialect, PROMPT)
    assert (answer.status_code, answer.headers["x-gateway-redacted"]) == (200, "email=2, card=1")
    assert HIDDEN.encode() in channels.sent[0]
    assert ADDRESS.encode() not in channels.sent[0]
    assert answer.json == reply_of(dialect, PROMPT)


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_a_stream_is_restored(dialect, serving, channels, ask):
    client = serving("[redact]")
    events = (STREAMS / f"{dialect}.sse").read_bytes()
    channels.say(dialect, events, "text/event-stream")
    # The second piece ends one character early: what is held has to leave in an event of its own.
    early = ask(client, dialect, PROMPT, stream=True)
    assert planted.heard(dialect, early.data)[0] == "to <EMAIL_1"
    channels.say(dialect, events.replace(b'"AIL_1"', b'"AIL_1> now"'), "text/event-stream")
    whole = ask(client, dialect, PROMPT, stream=True)
    assert planted.heard(dialect, whole.data)[0] == f"to {ADDRESS} now"


def test_bytes_in_which_nothing_is_found_stay_as_they_came(serving, channels, ask):
    client = serving("[{redact: {reply: true}}]")
    body = b'{ "model":"gpt",\n "messages":[{"content":"caf\\u00e9 <b>","role":"user"}] , "x":1.0e2,"x":null}'
    reply = b'{ "choices" : [ {"message":{"content":"\\u00e9 <EMAIL_1>"},"finish_reason":"stop"} ] }'
    channels.say("chat", reply)
    answer = ask(client, body=body)
    assert (channels.sent[0], answer.data) == (body, reply)
    assert "x-gateway-redacted" not in answer.headers
    stream = (
        b': hi\r\n\r\ndata:{"choices":[ {"delta":{"content":"a <b> "}}]}\r\rid: 7\n'
        b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    channels.say("chat", stream, "text/event-stream")
    assert ask(client, body=body[:-1] + b',"stream":true}').data == stream


def test_only_the_finding_itself_is_changed(serving, channels, ask):
    client = serving("[redact]")
    channels.say("chat", reply_of("chat", "ok"))
    said = b"caf\\u00e9\\talice\\u0040example.com \\/ <x>"
    body = b'{"model" :"gpt","messages":[ {"role":"user","content":"%b"}],"n":1.50}' % said
    ask(client, body=body)
    assert channels.sent[0] == body.replace(b"alice\\u0040example.com", b"<EMAIL_1>")


def test_a_placeholder_is_never_one_of_the_clients_own_words(serving, channels, ask):
    client = serving("[redact]")
    channels.say("chat", reply_of("chat", "<EMAIL_1> <EMAIL_2>"))
    answer = ask(client, said=f"<EMAIL_1> is not {ADDRESS}")
    assert b"<EMAIL_1> is not <EMAIL_2>" in channels.sent[0]
    assert answer.json == reply_of("chat", f"<EMAIL_1> {ADDRESS}")


def test_numbers_are_the_same_while_a_conversation_grows(serving, channels, ask):
    client = serving("[redact]")
    channels.say("chat", reply_of("chat", "ok"))
    turns = [{"role": "user", "content": PROMPT}, {"role": "user", "content": f"bob@example.com {ADDRESS}"}]
    ask(client, messages=turns[:1])
    ask(client, messages=turns)
    first, second = ([m["content"] for m in json.loads(body)["messages"]] for body in channels.sent)
    assert second == [*first, "<EMAIL_2> <EMAIL_1>"]


def test_it_works_through_a_translation(serving, channels, ask):
    client = serving("[redact]")
    channels.say("messages", reply_of("messages", HIDDEN))
    answer = ask(client, "chat", PROMPT, model="claude")
    assert HIDDEN.encode() in channels.sent[0]
    assert answer.json["choices"][0]["message"]["content"] == PROMPT


def test_arguments_of_a_tool_call_are_json_again(serving, channels, ask):
    client = serving("[{redact: {patterns: [{name: quote, pattern: 'say \"[a-z]+\"'}]}}]")
    arguments = json.dumps({"text": "<QUOTE_1>"})
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": arguments}}
    message = {"content": None, "tool_calls": [call]}
    channels.say("chat", {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    answer = ask(client, said='please say "hello" now')
    assert b"please <QUOTE_1> now" in channels.sent[0]
    found = answer.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(found) == {"text": 'say "hello"'}


# --- modes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_a_call_is_refused(dialect, serving, channels, ask, caplog):
    answer = ask(serving("[{redact: {mode: refuse}}]"), dialect, PROMPT)
    assert answer.status_code == 403
    assert channels.sent == []
    text = answer.get_data(as_text=True)
    assert "sensitive_data" in text.lower()
    assert "email, card" in text
    assert ADDRESS not in text + caplog.text and "1111" not in text + caplog.text


def test_what_would_be_done_is_said(serving, channels, ask, caplog):
    caplog.set_level(logging.INFO)
    client = serving("[{redact: {mode: observe, reply: true}}]")
    channels.say("chat", reply_of("chat", "bob@example.com"))
    answer = ask(client, said=PROMPT)
    assert answer.headers["x-gateway-would-redact"] == "email=2, card=1"
    assert PROMPT.encode() in channels.sent[0]
    assert answer.json == reply_of("chat", "bob@example.com")
    assert "would hide email=1 of the reply" in caplog.text
    assert "@example" not in caplog.text


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_replies_are_searched(dialect, serving, channels, ask):
    client = serving("[{redact: {reply: true}}]")
    channels.say(dialect, reply_of(dialect, f"ask bob@example.com or {CARD}"))
    assert ask(client, dialect, ADDRESS).json == reply_of(dialect, "ask <EMAIL_2> or <CARD_1>")


def test_a_stream_is_refused_when_it_gets_there(serving, channels, ask):
    client = serving("[{redact: {reply: true, mode: refuse}}]")
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
    events = b"".join(chunk % text for text in (b"I am ", b"bob@exam", b"ple.com "))
    channels.say("chat", events + b"data: [DONE]\n\n", "text/event-stream")
    with pytest.raises(ConnectionResetError):
        ask(client, stream=True)


def test_keys_may_be_left_alone(serving, channels, ask):
    client = serving('[{redact: {keys: ["trusted-*"]}}]', KEYS)
    channels.say("chat", reply_of("chat", "ok"))
    ask(client, said=PROMPT, headers={"X-Api-Key": "key-a"})
    ask(client, said=PROMPT, headers={"X-Api-Key": "key-b"})
    assert [PROMPT.encode() in body for body in channels.sent] == [False, True]


@pytest.mark.parametrize("mode, status", [("mask", 403), ("observe", 200)])
def test_forms_may_be_refused(mode, status, serving, network):
    client = serving(f"[{{redact: {{forms: refuse, mode: {mode}}}}}]")
    network.post("https://chat.test/v1/audio/transcriptions", json={"text": "hi"})
    form = {"model": "gpt", "file": (io.BytesIO(b"RIFF"), "a.wav")}
    answer = client.post("/v1/audio/transcriptions", data=form)
    assert answer.status_code == status
    if status == 403:
        assert answer.json["error"]["code"] == "not_searchable"
    else:
        assert answer.headers["x-gateway-would-refuse"] == "not_searchable"


@pytest.mark.parametrize("options, complaint", [
    ("{patterns: [emial]}", "expected one of email, card, iban, api_key, phone"),
    ("{patterns: [{name: x}]}", "{name: ..., pattern: ..., longest: ...}"),
    ("{patterns: [{name: '9', pattern: x}]}", "a name of letters"),
    ("{patterns: [{name: x, pattern: '('}]}", "a regular expression"),
    ("{patterns: [{name: x, pattern: '(a+)+!'}]}", "takes less time"),
    ("{patterns: [{name: x, pattern: x, longest: 0}]}", "`longest` from 1"),
    ("{patterns: [email, {name: email, pattern: x}]}", "two patterns are called 'EMAIL'"),
    ("{mode: hide}", "one of mask, refuse, observe"),
])  # fmt: skip
def test_complaints(options, complaint, client_of):
    with pytest.raises(ConfigError) as caught:
        client_of(f"plugins: [{{redact: {options}}}]\nchannels: [{{name: e, provider: echo}}]")
    assert complaint in str(caught.value)
