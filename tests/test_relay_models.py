"""The model that a reply names: the one that served, where that is another than the client asked for."""

import json

import pytest

from gateway.testing import asking

YAML = """
routes: {smart: [down/first, claude/claude-there]}
channels:
  - {name: down, provider: openai, key: k, models: [first, m], base_url: https://down.test}
  - {name: claude, provider: anthropic, key: k, models: [{"claude": "claude-there"}], base_url: https://claude.test}
"""
TEXT = {"type": "text", "text": "hi"}
MESSAGE = {"id": "x", "type": "message", "role": "assistant", "model": "claude-there-20260101", "content": [TEXT],
           "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
MODEL_AT = {"chat": "model", "responses": "model", "gemini": "modelVersion"}


@pytest.fixture(name="asked")
def _asked(client_of, network, sent):
    """asked(dialect, model, members) -> the model that the reply names."""
    for path in ("chat/completions", "responses"):
        network.post(f"https://down.test/v1/{path}", status=500, json={"error": {"message": "no"}})
    network.post("https://claude.test/v1/messages", json=MESSAGE)
    client = client_of(YAML)

    def ask(dialect, model, **more):
        body = asking.question(dialect, model, "hi", False) | more
        answer = sent(client, asking.path_of(dialect, model, False), body)
        assert answer.headers["x-gateway-channel"] == "claude", answer.data
        return answer.json[MODEL_AT[dialect]]

    return ask


@pytest.mark.parametrize("dialect", MODEL_AT)
def test_the_model_that_was_fallen_back_to_is_named(dialect, asked):
    assert asked(dialect, "m", models=["claude"]) == "claude"


@pytest.mark.parametrize("dialect", MODEL_AT)
def test_an_entry_of_a_route_is_named(dialect, asked):
    assert asked(dialect, "smart") == "claude-there"


def test_an_entry_of_a_route_that_was_fallen_back_to_is_named(asked):
    assert asked("chat", "m", models=["smart"]) == "claude-there"


def test_another_name_for_the_same_model_stays_the_clients(asked):
    assert asked("chat", "claude") == "claude"


def test_a_stream_names_it_too(client_of, network, sent):
    network.post("https://down.test/v1/chat/completions", status=500, json={"error": {"message": "no"}})
    start = {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None}}
    events = [start, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
              {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
              {"type": "content_block_stop", "index": 0},
              {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
              {"type": "message_stop"}]  # fmt: skip
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    network.post("https://claude.test/v1/messages", body=body, content_type="text/event-stream")
    question = asking.question("chat", "m", "hi", True) | {"models": ["claude"]}
    answer = sent(client_of(YAML), "/v1/chat/completions", question)
    chunks = [json.loads(line[6:]) for line in answer.data.splitlines() if line.startswith(b"data: {")]
    assert {chunk["model"] for chunk in chunks} == {"claude"}
