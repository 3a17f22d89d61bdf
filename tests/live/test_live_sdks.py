"""The official SDKs in their own dialects, on the echo and on a scripted upstream, directly and through nginx."""

import json

import anthropic
import openai
import pytest
from live_cases import all_ways, both_doors, each_dialect, path_of, reply_bytes, stream_events
from live_sdks import IMAGE, GeminiTalk, MessagesTalk, talk_to
from live_servers import OTHER_KEY

pytestmark = pytest.mark.live

each_way = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@all_ways
@each_dialect
@each_way
def test_the_echo_answers(dialect, stream, door):
    said = talk_to(door, dialect, "echo", stream).ask("How are you?")
    assert said.text == "How are you?"
    assert said.pieces == 3 or not stream


@both_doors
@each_dialect
@each_way
def test_a_vendor_answers(dialect, stream, upstream, door):
    data = reply_bytes(dialect, stream=stream)
    upstream.answer(lambda exchange: exchange.stream(data) if stream else exchange.reply(data))
    assert talk_to(door, dialect, "up", stream).ask("Hello", image=True).text == "Grüße, wörld 🌍"
    asked = upstream.exchanges[0].target
    assert asked.replace("/v1/models/", "/v1beta/models/") == path_of(dialect, "up", stream)


@both_doors
@each_dialect
@each_way
def test_a_vendor_calls_a_tool(dialect, stream, upstream, door):
    data = reply_bytes(dialect, "tools", stream)
    upstream.answer(lambda exchange: exchange.stream(data) if stream else exchange.reply(data))
    ((_, name, arguments),) = talk_to(door, dialect, "up", stream).ask("The weather?", tool=True).calls
    assert name == "get_weather"
    assert as_dict(arguments) == {"city": "Oslo"}


@all_ways
@each_dialect
@each_way
def test_a_tool_conversation_with_an_image(dialect, stream, door):
    talk = talk_to(door, dialect, "echo", stream)
    asked = talk.ask('[[call get_weather {"city": "Oslo"}]] what of this', image=True, tool=True)
    (call,) = asked.calls
    assert (call[1], as_dict(call[2])) == ("get_weather", {"city": "Oslo"})
    assert "(image)" in asked.text
    assert "12 degrees" in talk.answer(call, "12 degrees").text


def as_dict(arguments):
    return json.loads(arguments) if isinstance(arguments, str) else arguments


@pytest.mark.parametrize("suffix", ["", "/v1", "/v1/", "/openai/v1"])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_openais_base_urls(suffix, dialect, door):
    talk = talk_to(door, dialect, "echo")
    talk.client.base_url = door.url + suffix
    assert talk.ask("Hello").text == "Hello"


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/anthropic"])
def test_anthropics_base_urls(suffix, door):
    assert MessagesTalk(door.url + suffix, "echo", True).ask("Hello").text == "Hello"


@pytest.mark.parametrize("suffix", ["", "/", "/gemini"])
@pytest.mark.parametrize("version", [None, "v1beta", "v1", "v1alpha"])
def test_googles_base_urls(suffix, version, door):
    assert GeminiTalk(door.url + suffix, "echo", True, version=version).ask("Hello").text == "Hello"


def cut(exchange, events):
    exchange.start().chunk(events[0] + events[1] + events[2][:-9]).close()


def reset(exchange, events):
    exchange.start().chunk(events[0] + events[1])
    exchange.left_within(0.1)
    exchange.reset()


def endless(exchange, events):
    exchange.stream(events[0] + events[1])


@all_ways
@each_dialect
@pytest.mark.parametrize("end", [cut, reset, endless])
def test_a_broken_stream_is_an_exception(end, dialect, upstream, door):
    events = [*stream_events(dialect), b"data: {}\n\n"]
    if dialect == "gemini":  # its last event is the only one that says it is
        events = [events[0], events[0], events[0]]
    upstream.answer(lambda exchange: end(exchange, events))
    talk = talk_to(door, dialect, "up")
    with pytest.raises(talk.failures) as caught:
        talk.ask("Hello")
    assert "stream" in str(caught.value) or "connection" in str(caught.value)


@each_dialect
@each_way
@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_vendors_error_is_an_exception(status, stream, dialect, door):
    talk = talk_to(door, dialect, "echo", stream)
    with pytest.raises(talk.failures) as caught:
        talk.ask(f"[[status {status} retry-after 7]]")
    assert getattr(caught.value, "status_code", None) or caught.value.code == status
    assert f"told to answer {status}" in str(caught.value)
    assert caught.value.response.headers["retry-after"] == "7"


@each_dialect
def test_a_wrong_key_is_an_exception(dialect, door):
    talk = talk_to(door, dialect, "echo", key=OTHER_KEY)
    with pytest.raises(talk.failures) as caught:
        talk.ask("Hello")
    assert 401 in (getattr(caught.value, "status_code", 0), getattr(caught.value, "code", 0))


@each_dialect
def test_an_unknown_model_is_an_exception(dialect, door):
    talk = talk_to(door, dialect, "nothing-of-the-kind")
    with pytest.raises(talk.failures) as caught:
        talk.ask("Hello")
    assert 404 in (getattr(caught.value, "status_code", 0), getattr(caught.value, "code", 0))


def test_model_lists_in_three_shapes(door):
    chat, messages, gemini = [talk_to(door, dialect, "").client for dialect in ("chat", "messages", "gemini")]
    names = [model.id for model in chat.models.list()]
    assert names == sorted(names)
    assert {"echo", "either", "renamed", "up", "via-chat"} <= set(names)
    assert [model.id for model in messages.models.list()] == names
    assert [model.name for model in gemini.models.list()] == [f"models/{name}" for name in names]
    assert chat.models.retrieve("echo").id == messages.models.retrieve("echo").id == "echo"
    assert gemini.models.get(model="echo").name == "models/echo"
    with pytest.raises(openai.NotFoundError):
        chat.models.retrieve("nothing-of-the-kind")
    with pytest.raises(anthropic.NotFoundError):
        messages.models.retrieve("nothing-of-the-kind")


@both_doors
def test_openais_other_operations(upstream, door):
    client = talk_to(door, "chat", "").client
    upstream.answer(lambda exchange: exchange.reply(b'{"data":[{"embedding":[0.5],"index":0}],"id":"f1","text":"hi"}'))
    assert client.embeddings.create(model="up", input="x", encoding_format="float").data[0].embedding == [0.5]
    assert client.audio.transcriptions.create(model="up", file=("a.wav", IMAGE)).text == "hi"
    assert client.images.edit(model="up", image=("a.png", IMAGE), prompt="x").data
    by_name = {"X-Gateway-Channel": "up"}
    assert client.files.create(file=("a.jsonl", b"{}"), purpose="batch", extra_headers=by_name).id == "f1"
    assert client.files.delete("f1", extra_headers=by_name).id == "f1"
    assert client.responses.retrieve("f1", extra_headers=by_name).id == "f1"
    assert client.files.content("f1", extra_headers=by_name).read().startswith(b'{"data"')
    asked = [(exchange.method, exchange.target) for exchange in upstream.exchanges]
    assert asked == [
        ("POST", "/v1/embeddings"), ("POST", "/v1/audio/transcriptions"), ("POST", "/v1/images/edits"),
        ("POST", "/v1/files"), ("DELETE", "/v1/files/f1"), ("GET", "/v1/responses/f1"), ("GET", "/v1/files/f1/content"),
    ]  # fmt: skip
    assert all(IMAGE in exchange.body for exchange in upstream.exchanges[1:3])


@both_doors
def test_tokens_are_counted(door):
    messages = [{"role": "user", "content": "one two"}]
    assert talk_to(door, "messages", "").client.messages.count_tokens(model="echo", messages=messages).input_tokens
    google = talk_to(door, "gemini", "").client
    assert google.models.count_tokens(model="echo", contents="one two").total_tokens


@all_ways
def test_claude_code(upstream, connect):
    """It asks who is there first, and names a beta in the query."""
    client = connect().ask("HEAD", "/", x_api_key=None).head()
    assert client.status == 200
    body = {
        "model": "up", "max_tokens": 32000, "stream": True, "metadata": {"user_id": "user_1_account__session_2"},
        "system": [{"type": "text", "text": "You are", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "quota"}]}],
        "thinking": {"type": "adaptive"}, "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    }  # fmt: skip
    client = connect().post(
        "/v1/messages?beta=true", body, anthropic_version="2023-06-01", x_app="cli", user_agent="claude-cli/2.1.0",
        anthropic_beta="claude-code-20250219,interleaved-thinking-2025-05-14", x_stainless_retry_count="0",
        anthropic_dangerous_direct_browser_access="true",
    )  # fmt: skip
    with upstream.take() as exchange:
        exchange.stream(reply_bytes("messages"), "Anthropic-Ratelimit-Requests-Remaining: 3", "Set-Cookie: a=b",
                        "Access-Control-Allow-Origin: *", "Request-Id: req_1")  # fmt: skip
    assert exchange.target == "/v1/messages?beta=true"
    assert exchange.headers["anthropic-beta"] == "claude-code-20250219,interleaved-thinking-2025-05-14"
    assert exchange.headers["user-agent"] == "claude-cli/2.1.0"
    assert json.loads(exchange.body) == body
    assert client.head().rest() == (reply_bytes("messages"), True)
    assert client.headers["anthropic-ratelimit-requests-remaining"] == "3"
    assert client.headers["request-id"] == "req_1"
    assert {"set-cookie", "access-control-allow-origin"}.isdisjoint(client.headers)


@all_ways
def test_codex(upstream, connect):
    body = {
        "model": "up", "instructions": "You are", "stream": True, "store": False, "tool_choice": "auto",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "tools": [{"type": "function", "name": "shell", "strict": False, "parameters": {"type": "object"}},
                  {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark"}}],
        "parallel_tool_calls": False, "reasoning": {"effort": "medium"}, "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0198",
    }  # fmt: skip
    client = connect().post(
        "/v1/responses", body, accept="text/event-stream", originator="codex_cli_rs", session_id="0198",
        user_agent="codex_cli_rs/0.60.0", openai_beta="responses=experimental",
    )  # fmt: skip
    with upstream.take() as exchange:
        exchange.stream(reply_bytes("responses"), "X-Codex-Primary-Used-Percent: 12", "X-Request-Id: req_2",
                        "Openai-Processing-Ms: 5")  # fmt: skip
    assert json.loads(exchange.body) == body
    assert exchange.headers["originator"] == "codex_cli_rs"
    assert client.head().rest() == (reply_bytes("responses"), True)
    assert client.headers["x-codex-primary-used-percent"] == "12"
    assert client.headers["openai-processing-ms"] == "5"
    assert client.headers["x-upstream-request-id"] == "req_2"
    assert client.headers["x-request-id"] == exchange.headers["x-request-id"]
