"""A question that was asked before gets the answer it got, byte for byte, and nobody else's."""

import itertools
import json
import random
import sqlite3
import threading

import planted
import pytest
from model_replies import reply_of
from state_servers import PASSWORD, RedisServer

from gateway.errors import ConfigError
from gateway.policies import open_cache

KEYS = """
teams: [{name: search}]
keys: [{name: alice, key: key-a}, {name: bob, key: key-b}]
"""
ALICE, BOB = {"X-Api-Key": "key-a"}, {"X-Api-Key": "key-b"}
FIXED = {
    "chat": {"temperature": 0}, "responses": {"temperature": 0.0}, "messages": {"top_k": 1},
    "gemini": {"generationConfig": {"temperature": 0}},
}  # fmt: skip
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}%b}]}\n\n'
LAST = CHUNK % (b"\xc3\xa9", b',"finish_reason":"stop"') + b"data: [DONE]\n\n"
STREAM = CHUNK % (b"a", b"") + b": a comment\n\n" + LAST
ASKED = b'{"model":"gpt","messages":[1,2],"temperature":0%b}'


@pytest.fixture(name="numbered")
def _numbered(channels, network):
    """Answers of the chat channel that differ each time."""
    numbers = itertools.count(1)

    def answer(request):
        return 200, {"x-vendor": "yes"}, json.dumps(reply_of("chat", f"answer {next(numbers)}"))

    network.add_callback("POST", "https://chat.test/v1/chat/completions", answer, content_type="application/json")
    return channels


def said(answer):
    return answer.headers["x-gateway-cache"], answer.json["choices"][0]["message"]["content"][-1]


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_a_whole_reply_is_answered_again(dialect, serving, channels, ask):
    client = serving("[cache]")
    body = b" " + json.dumps(reply_of(dialect, "hé"), indent=1).encode() + b"\n"
    channels.say(dialect, body)
    first, second = (ask(client, dialect, **FIXED[dialect]) for _ in range(2))
    assert [a.headers["x-gateway-cache"] for a in (first, second)] == ["miss", "hit"]
    assert first.data == second.data == body
    assert first.headers["content-type"] == second.headers["content-type"]
    assert second.headers["age"] == "0"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(channels.sent) == 1


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_a_stream_is_answered_again_in_its_events(dialect, serving, channels, ask):
    client = serving("[cache]")
    events = b"".join(planted.events(dialect, "some words here", "a thought", '{"a":1}', random.Random(1)))
    channels.say(dialect, events, "text/event-stream")
    first, second = (ask(client, dialect, stream=True, **FIXED[dialect]) for _ in range(2))
    assert [a.headers["x-gateway-cache"] for a in (first, second)] == ["miss", "hit"]
    assert first.data == second.data == events
    assert second.headers["content-type"].startswith("text/event-stream")
    assert len(channels.sent) == 1


def test_whole_and_streamed_are_two_questions(serving, channels, ask):
    client = serving("[cache]")
    channels.say("chat", reply_of("chat", "x"))
    ask(client, temperature=0)
    channels.say("chat", STREAM, "text/event-stream")
    assert ask(client, temperature=0, stream=True).data == STREAM


@pytest.mark.parametrize("first, second, hit", [
    (ASKED % b"", b'{ "temperature" :0 , "messages":[1, 2 ], "model":"gpt" }', True),
    (ASKED % b',"user":"a"', ASKED % b"", True), (ASKED % b',"seed":1', ASKED % b"", False),
    (ASKED % b"", ASKED.replace(b"1,2", b"2,1") % b"", False), (ASKED % b',"x":1', ASKED % b',"x":true', False),
])  # fmt: skip
def test_which_requests_are_the_same(first, second, hit, serving, numbered, ask):
    client = serving("[cache]")
    ask(client, body=first)
    assert ask(client, body=second).headers["x-gateway-cache"] == ("hit" if hit else "miss")


@pytest.mark.parametrize("headers", [{"openai-beta": "x"}, {"x-gateway-strict": "1"}])
def test_headers_that_matter_make_another_question(headers, serving, numbered, ask):
    client = serving("[cache]")
    ask(client, temperature=0)
    assert ask(client, temperature=0, headers=headers).headers["x-gateway-cache"] == "miss"


@pytest.mark.parametrize("more", [
    {}, {"temperature": 0.1}, {"temperature": False}, {"temperature": 0, "tools": [{"type": "web_search"}]},
    {"temperature": 0, "tools": [{"googleSearch": {}}]}, {"temperature": 0, "background": True},
])  # fmt: skip
def test_what_is_left_to_chance_is_asked_again(more, serving, numbered, ask):
    client = serving("[cache]")
    answers = [ask(client, **more) for _ in range(2)]
    assert [said(answer) for answer in answers] == [("bypass", "1"), ("bypass", "2")]


def test_unless_that_is_wanted(serving, numbered, ask):
    client = serving("[{cache: {any: true}}]")
    assert [said(ask(client)) for _ in range(2)] == [("miss", "1"), ("hit", "1")]


def test_client_tools_leave_nothing_to_chance(serving, numbered, ask):
    client = serving("[cache]")
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert [said(ask(client, temperature=0, tools=tools))[0] for _ in range(2)] == ["miss", "hit"]


def test_embeddings_are_always_the_same(serving, network):
    client = serving("[cache]")
    network.post("https://chat.test/v1/embeddings", json={"data": []})
    answers = [client.post("/v1/embeddings", json={"model": "gpt", "input": "x"}) for _ in range(2)]
    assert [answer.headers["x-gateway-cache"] for answer in answers] == ["miss", "hit"]


def test_each_key_has_its_own(serving, numbered, ask):
    client = serving("[cache]", KEYS)
    answers = [said(ask(client, temperature=0, headers=key)) for key in (ALICE, BOB, ALICE)]
    assert answers == [("miss", "1"), ("miss", "2"), ("hit", "1")]


def test_unless_they_share(serving, numbered, ask):
    client = serving("[{cache: {shared: true}}]", KEYS)
    assert [said(ask(client, temperature=0, headers=key)) for key in (ALICE, BOB)] == [("miss", "1"), ("hit", "1")]


def test_a_key_without_rights_gets_nothing_of_a_shared_one(serving, numbered, ask):
    client = serving("[{cache: {shared: true}}]", KEYS.replace("key: key-b}", "key: key-b, models: [claude]}"))
    ask(client, temperature=0, headers=ALICE)
    assert ask(client, temperature=0, headers=BOB).status_code == 403


def test_clients_may_ask_anew(serving, numbered, ask):
    client = serving("[cache]")
    asked = ["", "no-store", "no-cache", "", "max-age=0", "max-age=100", "max-age=x"]
    answers = [said(ask(client, temperature=0, headers={"Cache-Control": wish} if wish else None)) for wish in asked]
    assert answers == [
        ("miss", "1"), ("bypass", "2"), ("miss", "3"), ("hit", "3"), ("miss", "4"), ("hit", "4"), ("hit", "4"),
    ]  # fmt: skip


def test_what_would_be_answered_is_said(serving, numbered, ask):
    client = serving("[{cache: {mode: observe}}]")
    assert [said(ask(client, temperature=0)) for _ in range(2)] == [("miss", "1"), ("would-hit", "2")]


@pytest.mark.parametrize("dialect, body, kind", [
    ("chat", b'{"choices":[{"message":{},"finish_reason":null}]}', "application/json"),
    ("chat", b'{"error":{"message":"no"}}', "application/json"),
    ("messages", b'{"type":"message","stop_reason":null}', "application/json"),
    ("responses", b'{"status":"in_progress"}', "application/json"),
    ("gemini", b'{"candidates":[{}]}', "application/json"),
    ("chat", CHUNK % (b"a", b"") + b'data: {"error":{"message":"x"}}\n\ndata: [DONE]\n\n', "text/event-stream"),
    ("chat", CHUNK % (b"a", b""), "text/event-stream"),
])  # fmt: skip
def test_what_is_not_complete_is_not_kept(dialect, body, kind, serving, channels, ask):
    client = serving("[cache]")
    more = {"stream": True} if kind == "text/event-stream" else {}
    channels.say(dialect, body, kind)
    for _ in range(2):
        try:
            answer = ask(client, dialect, **FIXED[dialect], **more)
        except ConnectionResetError:
            continue
        assert answer.headers.get("x-gateway-cache") == "miss"
    assert len({len(channels.sent)}) == 1 and len(channels.sent) >= 2


def test_a_reply_that_is_too_large_is_not_kept(serving, channels, ask):
    client = serving("[{cache: {largest: 100}}]")
    channels.say("chat", reply_of("chat", "x" * 100))
    assert [ask(client, temperature=0).headers["x-gateway-cache"] for _ in range(2)] == ["miss", "miss"]
    channels.say("chat", STREAM, "text/event-stream")
    assert [ask(client, temperature=0, stream=True).headers["x-gateway-cache"] for _ in range(2)] == ["miss", "miss"]


def test_a_stream_whose_client_left_is_not_kept(serving, channels, sent):
    client = serving("[cache]")
    channels.say("chat", STREAM, "text/event-stream")
    body = {"model": "gpt", "messages": [], "temperature": 0, "stream": True}
    answer = sent(client, "/v1/chat/completions", body, buffered=False)
    next(answer.iter_encoded())
    answer.close()
    assert sent(client, "/v1/chat/completions", body, buffered=True).headers["x-gateway-cache"] == "miss"


def test_behind_redact_nothing_personal_is_kept(serving, channels, ask, tmp_path):
    client = serving("[redact, {cache: {shared: true, store: 'sqlite:///replies.db'}}]", KEYS)
    channels.say("chat", reply_of("chat", "hello <EMAIL_1>"))
    alice = ask(client, said="greet alice@example.com", temperature=0, headers=ALICE)
    bob = ask(client, said="greet bob@example.com", temperature=0, headers=BOB)
    assert (alice.headers["x-gateway-cache"], bob.headers["x-gateway-cache"]) == ("miss", "hit")
    assert alice.json == reply_of("chat", "hello alice@example.com")
    assert bob.json == reply_of("chat", "hello bob@example.com")
    assert b"alice@" not in b"".join(file.read_bytes() for file in tmp_path.glob("replies.db*"))


@pytest.mark.parametrize("options, complaint", [
    ("{store: 'mysql://x'}", "store: expected memory://"), ("{ttl: 0}", "a number of seconds above 0"),
    ("{ttk: 1}", "unknown key 'ttk'"),
])  # fmt: skip
def test_complaints(options, complaint, serving):
    with pytest.raises(ConfigError) as caught:
        serving(f"[{{cache: {options}}}]")
    assert complaint in str(caught.value)


# --- where replies are kept ---------------------------------------------------------------------------


@pytest.fixture(scope="module", name="redis")
def _redis(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(name="opened", params=["memory", "sqlite", "redis"])
def _opened(request, tmp_path):
    """opened(most, seconds) -> a cache of each kind, empty."""
    caches = []

    def open_one(most=10**6, seconds=60.0):
        url = {"memory": "memory://", "sqlite": "sqlite:///replies.db"}.get(request.param)
        if url is None:
            server = request.getfixturevalue("redis")
            server.ask("FLUSHALL")
            url = server.url
        caches.append(open_cache(url, tmp_path, most, seconds))
        return caches[-1]

    yield open_one
    for cache in caches:
        cache.close()


def test_what_is_put_is_got(opened):
    cache = opened()
    pieces = (b"\x00\xff\n", b"", b"x" * 100_000)
    cache.put("a", "text/event-stream", True, pieces)
    kept, age = cache.get("a")
    assert (kept.pieces, kept.content_type, kept.streamed) == (pieces, "text/event-stream", True)
    assert 0 <= age < 5
    assert cache.get("b") is None


def test_it_ends(opened):
    cache = opened(seconds=0.05)
    cache.put("a", "x", False, (b"1",))
    ended = threading.Event()
    while cache.get("a") is not None:
        assert not ended.wait(0.01)


def test_the_oldest_go(opened, request):
    if "redis" in request.node.name:
        return  # Redis itself sees to it (maxmemory)
    cache = opened(most=10_000)
    for number in range(200):
        cache.put(f"{number}", "x", False, (b"y" * 1000,))
    found = [number for number in range(200) if cache.get(f"{number}")]
    assert 199 in found
    assert 0 not in found
    assert len(found) < 70  # SQLite looks every 50 replies


def test_all_workers_of_a_machine_share_a_file(tmp_path):
    one, other = (open_cache("sqlite:///replies.db", tmp_path, 10**6, 60.0) for _ in range(2))
    one.put("a", "x", False, (b"1",))
    assert other.get("a")[0].pieces == (b"1",)
    assert (tmp_path / "replies.db").stat().st_mode & 0o077 == 0
    one.close(), other.close()


def test_nobody_waits_for_a_file_that_another_writes(tmp_path):
    cache = open_cache("sqlite:///replies.db", tmp_path, 10**6, 60.0)
    cache.put("a", "x", False, (b"1",))
    with sqlite3.connect(tmp_path / "replies.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        cache.put("b", "x", False, (b"2",))
        assert cache.get("a") is not None
        other.execute("ROLLBACK")
    assert cache.get("b") is None
    cache.put("c", "x", False, (b"3",))
    assert cache.get("c") is not None


def test_a_damaged_file_is_begun_anew(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("gateway.policies.reply_cache._REST", 0.0)
    (tmp_path / "replies.db").write_bytes(b"no database at all" * 100)
    cache = open_cache("sqlite:///replies.db", tmp_path, 10**6, 60.0)
    assert cache.get("a") is None
    cache.put("a", "x", False, (b"1",))
    assert cache.get("a")[0].pieces == (b"1",)
    assert (tmp_path / "replies.db.damaged").exists()
    assert "the cache cannot be used now" in caplog.text


def test_without_redis_calls_go_on(serving, numbered, ask, caplog, redis):
    redis.ask("FLUSHALL")
    client = serving(f"[{{cache: {{store: '{redis.url}'}}}}]")
    try:
        assert [said(ask(client, temperature=0)) for _ in range(2)] == [("miss", "1"), ("hit", "1")]
        redis.kill()
        assert said(ask(client, temperature=0)) == ("miss", "2")
    finally:
        redis.start()
    assert "the cache cannot be used now" in caplog.text
    assert PASSWORD not in caplog.text


def test_spoilt_entries_are_none(opened, tmp_path, redis):
    cache = opened()
    cache.put("a", "x", False, (b"1",))
    for spoilt in (b"", b"[]\n", b"[1]\nx", b"[1,\"x\",false,[5]]\nx", b"\xff"):
        cache._keeper.put("a", spoilt, 0.0, 1e10)
        cache._rests_until = 0.0
        assert cache.get("a") is None
