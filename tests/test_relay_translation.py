"""Client and channel speak different dialects, seen from outside; the pairs have tests of their own."""

from pathlib import Path

import pytest

MESSAGES = "https://messages.test/v1/messages"
GEMINI = "https://gemini.test/v1beta/models/gemini"
ASKED = {"model": "claude", "messages": [{"role": "user", "content": "hi"}]}
REPLY = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 3, "output_tokens": 1},
}  # fmt: skip
EVENTS = (Path(__file__).parent / "cases" / "upstream" / "messages.sse").read_bytes()
# What a client of each dialect asks, and where its answer has the text.
CLIENTS = {
    "/v1/chat/completions": (ASKED, lambda said: said["choices"][0]["message"]["content"]),
    "/v1/responses": ({"model": "claude", "input": "hi"}, lambda said: said["output"][-1]["content"][0]["text"]),
    "/v1beta/models/claude:generateContent": (
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        lambda said: said["candidates"][0]["content"]["parts"][0]["text"],
    ),
}


@pytest.mark.parametrize("path", CLIENTS)
def test_a_whole_call_is_translated_both_ways(path, client, network, sent):
    network.post(MESSAGES, json=REPLY, headers={"anthropic-organization-id": "x", "Content-Encoding": "identity"})
    asked, text = CLIENTS[path]
    answer = sent(client, path, asked)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert text(answer.json) == "hello"
    request = network.calls[0].request
    assert (request.url, request.headers["x-api-key"], request.headers["anthropic-version"]) == (
        MESSAGES, "up-messages", "2023-06-01",
    )  # fmt: skip
    assert b'"max_tokens"' in request.body
    assert answer.headers["content-length"] == str(len(answer.data))


def test_what_the_clients_dialect_cannot_say_of_a_whole_reply_is_named(client, network, sent):
    call = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    network.post(MESSAGES, json=REPLY | {"content": [call, *REPLY["content"], call]})
    answer = sent(client, "/v1/chat/completions", ASKED | {"provider": {"colour": "red"}})
    assert answer.json["choices"][0]["message"]["content"] == "hello"
    told = "provider.colour: unknown; part.server_tool_use: left out of the reply"
    assert answer.headers["x-gateway-warning"] == told


@pytest.mark.parametrize("path, wanted", [
    ("/v1/chat/completions", [b'"content":"hel"', b'"content":"lo"', b'"finish_reason":"stop"', b"data: [DONE]"]),
    ("/v1/responses", [b"response.output_text.delta", b"response.completed"]),
    ("/v1beta/models/claude:streamGenerateContent?alt=sse", [b'"text":"hel"', b'"finishReason":"STOP"']),
])  # fmt: skip
def test_a_stream_is_translated(path, wanted, client, network, sent):
    network.post(MESSAGES, body=EVENTS, content_type="text/event-stream")
    asked = CLIENTS[path.partition("?")[0].replace(":stream", ":").replace("GenerateContent", "generateContent")][0]
    answer = sent(client, path, {**asked, "stream": True} if "gemini" not in path and "model" in asked else asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    places = [answer.data.index(piece) for piece in wanted]
    assert places == sorted(places)


def test_geminis_array_is_written_when_the_client_did_not_ask_for_events(client, network, sent):
    network.post(MESSAGES, body=EVENTS, content_type="text/event-stream")
    answer = sent(
        client, "/v1beta/models/claude:streamGenerateContent", CLIENTS["/v1beta/models/claude:generateContent"][0]
    )
    assert answer.headers["content-type"] == "application/json"
    texts = [part["text"] for piece in answer.json for part in piece["candidates"][0]["content"].get("parts", [])]
    assert "".join(texts) == "hello"


def test_googles_paths_and_query_are_made(client, network, sent):
    whole = {"candidates": [{"content": {"parts": [{"text": "hello"}], "role": "model"}, "finishReason": "STOP"}]}
    network.post(GEMINI + ":generateContent", json=whole)
    network.post(GEMINI + ":streamGenerateContent?alt=sse", json=whole)
    asked = {**ASKED, "model": "gemini"}
    assert sent(client, "/v1/chat/completions?x=1", asked).json["choices"][0]["message"]["content"] == "hello"
    sent(client, "/v1/chat/completions", {**asked, "stream": True})
    assert [call.request.url for call in network.calls] == [
        GEMINI + ":generateContent",
        GEMINI + ":streamGenerateContent?alt=sse",
    ]


def test_the_clients_own_headers_do_not_reach_another_dialect(client, network, sent):
    network.post(MESSAGES, json=REPLY)
    sent(client, "/v1/chat/completions", ASKED, {"OpenAI-Beta": "x", "X-Stainless-Lang": "py", "X-Title": "kept"})
    names = {name.lower() for name in network.calls[0].request.headers}
    assert not {"openai-beta", "x-stainless-lang"} & names
    assert "x-title" in names


# --- an upstream that sends the other of stream and whole --------------------------------------------


def test_events_to_a_whole_call_become_one_answer(client, network, sent):
    network.post(MESSAGES, body=EVENTS, content_type="text/event-stream")
    answer = sent(client, "/v1/chat/completions", ASKED)
    assert answer.json["choices"][0]["message"]["content"] == "hello"
    assert answer.json["usage"]["completion_tokens"] == 2
    assert answer.headers["content-type"] == "application/json"


def test_a_whole_answer_to_a_streamed_call_becomes_events(client, network, sent):
    network.post(MESSAGES, json=REPLY)
    answer = sent(client, "/v1/chat/completions", {**ASKED, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert b'"content":"hello"' in answer.data
    assert answer.data.endswith(b"data: [DONE]\n\n")


# --- failures ----------------------------------------------------------------------------------------


def test_an_upstreams_error_is_said_in_the_clients_words(client, network, sent):
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "theirs"}}
    network.post(MESSAGES, status=400, json=error, headers={"Retry-After": "4"})
    answer = sent(client, "/v1/chat/completions", ASKED)
    assert (answer.status_code, answer.headers["retry-after"]) == (400, "4")
    assert answer.json["error"]["message"] == "theirs"
    assert set(answer.json["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"type":"message"}', b"\xff"])
def test_an_answer_that_nobody_can_read_is_the_channels_failure(body, client, network, sent):
    network.post(MESSAGES, body=body, content_type="application/json")
    answer = sent(client, "/v1/chat/completions", ASKED)
    assert (answer.status_code, answer.json["error"]["type"]) == (502, "upstream_error")


def test_a_stream_that_breaks_off_ends_with_the_clients_error_event(client, network, sent):
    network.post(MESSAGES, body=EVENTS[: EVENTS.index(b"event: message_delta")], content_type="text/event-stream")
    answer = client.post("/v1/chat/completions", json={**ASKED, "stream": True}, buffered=False)
    said, broke = read_all(answer)
    assert broke
    assert b'"content":"lo"' in said
    assert b"upstream_stream_cut" in said
    assert b"[DONE]" not in said
    assert b'"finish_reason":"' not in said


def read_all(answer):
    """(the bytes, whether the connection broke)"""
    said = b""
    try:
        for piece in answer.response:
            said += piece
    except ConnectionResetError:
        return said, True
    finally:
        answer.close()
    return said, False


def test_an_upstreams_error_event_is_said_in_the_clients_words(client, network, sent):
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"too busy"}}\n\n'
    body = EVENTS[: EVENTS.index(b"event: message_delta")] + error
    network.post(MESSAGES, body=body, content_type="text/event-stream")
    said, _ = read_all(client.post("/v1/chat/completions", json={**ASKED, "stream": True}, buffered=False))
    assert said.count(b'"error":') == 1
    assert b"too busy" in said
    assert b"[DONE]" not in said


@pytest.mark.parametrize(
    "body", [{"model": "claude"}, {"model": "claude", "messages": "hi"}, {"model": "claude", "messages": [7]}]
)
def test_a_request_that_cannot_be_read_is_the_clients_mistake(body, client, network, sent):
    answer = sent(client, "/v1/chat/completions", body)
    assert (answer.status_code, answer.json["error"]["type"]) == (400, "invalid_request_error")
    assert not network.calls


# --- what cannot be said -----------------------------------------------------------------------------


LOSSY = {**ASKED, "logit_bias": {"5": 1}, "seed": 7, "odd\r\nSet-Cookie: x": 1}


def test_what_was_dropped_is_named(client, network, sent):
    network.post(MESSAGES, json=REPLY)
    answer = sent(client, "/v1/chat/completions", LOSSY)
    dropped = answer.headers["x-gateway-dropped"]
    assert {"logit_bias", "seed"} <= set(dropped.split(", "))
    assert "set-cookie" not in answer.headers
    assert answer.status_code == 200


def test_nothing_is_named_when_nothing_was_dropped(client, network, sent):
    network.post(MESSAGES, json=REPLY)
    assert "x-gateway-dropped" not in sent(client, "/v1/chat/completions", ASKED).headers


def test_a_strict_client_is_refused_what_would_be_dropped(client, network, sent):
    answer = sent(client, "/v1/chat/completions", LOSSY, {"X-Gateway-Strict": "1"})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "not_translatable")
    assert {"logit_bias", "seed"} <= set(answer.json["error"]["details"]["dropped"])
    assert not network.calls


def test_a_strict_channel_refuses_and_another_may_do_it(client_of, network, sent):
    client = client_of("""
        channels:
          - {name: strict, provider: anthropic, key: k, base_url: https://messages.test, strict: true, priority: 1}
          - {name: same, provider: openai, key: k, base_url: https://chat.test}
    """)
    network.post("https://chat.test/v1/chat/completions", body=b"{}")
    answer = sent(client, "/v1/chat/completions", LOSSY)
    assert (answer.status_code, answer.headers["x-gateway-channel"]) == (200, "same")
    assert "x-gateway-dropped" not in answer.headers


# --- media that a target must have as bytes ----------------------------------------------------------


IMAGE = {"model": "gemini", "messages": [{"role": "user", "content": [
    {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/secret.png"}},
]}]}  # fmt: skip


@pytest.mark.parametrize("more, reason", [
    ("fetch: any", "not a public one"), ("fetch: false", "`fetch` does not name http://127.0.0.1:9"),
    ("fetch: [cdn.test]", "`fetch` does not name http://127.0.0.1:9"), ("", "`fetch` does not name http://127.0.0.1:9"),
    ("proxy: http://egress.test:1", "`fetch` does not name http://127.0.0.1:9"),
    ("fetch: ['http://127.0.0.1:9']", "not a public one"),
])  # fmt: skip
def test_media_is_not_fetched_from_inside(more, reason, client_of, network, sent):
    client = client_of(f"""
        channels:
          - name: g
            provider: google
            key: k
            base_url: https://gemini.test
            {more}
    """)
    answer = sent(client, "/v1/chat/completions", IMAGE)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "media_not_fetched")
    assert reason in answer.json["error"]["message"]
    assert not network.calls
