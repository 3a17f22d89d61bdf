"""Streams that end, break, fall silent or are left: what the client sees, and what the account says.

The echo provider plays the upstream here: behind a socket, like any other.
"""

import time

import pytest

ECHO = """
routing: {commit_after: %s, keepalive: %s, deadline: %s}
plugins: [recorder]
plugins_dir: %s
channels:
  - {name: echo, provider: echo, models: [m], timeout: {first_event: %s, idle: %s, total: %s}}
"""
PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/m:streamGenerateContent?alt=sse"]
ENDINGS = {
    "chat": b"[DONE]",
    "responses": b"response.completed",
    "messages": b"message_stop",
    "models": b'"finishReason"',
}


@pytest.fixture(name="echo_of")
def _echo_of(client_of, samples):
    def make(commit_after=20, keepalive=15, deadline=600, first_event=60, idle=60, total=600):
        return client_of(ECHO % (commit_after, keepalive, deadline, samples, first_event, idle, total))

    return make


@pytest.fixture(name="echo")
def _echo(echo_of):
    return echo_of()


def ask(client, path, text):
    if "gemini" in path or "models" in path:
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    elif path == "/v1/responses":
        body = {"model": "m", "stream": True, "input": text}
    else:
        body = {"model": "m", "stream": True, "max_tokens": 50, "messages": [{"role": "user", "content": text}]}
    return client.post(path, json=body, buffered=False)


def collected(answer):
    """(the bytes, whether the connection broke)"""
    said = b""
    try:
        for piece in answer.response:
            said += piece
        return said, False
    except ConnectionResetError:
        return said, True
    finally:
        answer.close()


def ending(path):
    return next(mark for word, mark in ENDINGS.items() if word in path)


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_ends_as_the_upstream_ended_it(path, echo, plugin_of):
    answer = ask(echo, path, "one two three")
    said, broke = collected(answer)
    assert not broke
    assert ending(path) in said
    record = plugin_of(echo, "recorder").records[0]
    assert (record.status, record.outcome, record.bytes_out, record.error) == (200, "complete", len(said), "")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("directive", ["[[cut after 2]]", "[[cut after 1]]"])
def test_a_cut_stream_looks_cut(path, directive, echo, plugin_of):
    said, broke = collected(ask(echo, path, f"one two three four {directive}"))
    assert broke
    assert b"one" in said
    assert b"upstream_stream_cut" in said.lower()
    assert ending(path) not in said
    record = plugin_of(echo, "recorder").records[0]
    assert (record.status, record.outcome, record.error) == (200, "truncated", "upstream_stream_cut")


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_cut_before_its_first_event_is_a_proper_error(path, echo):
    answer = ask(echo, path, "[[cut]]")
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", PATHS)
def test_the_upstreams_own_error_event_passes_and_nothing_is_added(path, echo, plugin_of):
    said, broke = collected(ask(echo, path, "one two three [[error after 2]]"))
    assert b"the echo was told to fail" in said
    assert b"upstream_stream_cut" not in said.lower()
    assert ending(path) not in said
    assert broke
    assert plugin_of(echo, "recorder").records[0].outcome == "failed"


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_stream_is_an_error(path, echo):
    assert ask(echo, path, "[[empty]]").status_code == 502


@pytest.mark.parametrize("path", PATHS)
def test_a_malformed_event_passes_untouched(path, echo):
    said, broke = collected(ask(echo, path, "one two three [[malformed after 1]]"))
    assert b'data: {"broken": \n\n' in said
    assert not broke


def test_a_status_of_the_upstream_is_the_clients(echo):
    answer = ask(echo, PATHS[0], "[[status 429 retry-after 7]]")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


# --- silence -----------------------------------------------------------------------------------------


def test_headers_and_comments_leave_while_the_upstream_is_silent(echo_of, plugin_of):
    client = echo_of(commit_after=0.05, keepalive=0.05)
    answer = ask(client, PATHS[0], "one two [[silence 0.4]]")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    said, broke = collected(answer)
    assert not broke
    assert said.startswith(b": keep-alive\n\n: keep-alive\n\n")
    assert b"[DONE]" in said
    assert plugin_of(client, "recorder").records[0].outcome == "complete"


def test_silence_in_the_middle_gets_comments_between_whole_events(echo_of):
    said, _ = collected(ask(echo_of(keepalive=0.05), PATHS[2], "one two three [[silence 0.3 after 1]]"))
    assert said.count(b": keep-alive\n\n") >= 2
    assert b"\n\n: keep-alive\n\n" in said
    assert b"message_stop" in said


@pytest.mark.parametrize("commit_after", [0.05, 20])
def test_google_gets_no_comments(commit_after, echo_of):
    client = echo_of(commit_after=commit_after, keepalive=0.05)
    said, broke = collected(ask(client, PATHS[3], "one two three [[silence 0.3 after 1]] [[delay 0.06]]"))
    assert b": keep-alive" not in said
    assert b'"finishReason"' in said
    assert not broke


def test_silence_before_the_first_event_is_bounded(echo_of):
    answer = ask(echo_of(first_event=0.1), PATHS[0], "[[silence 30]]")
    assert (answer.status_code, answer.json["error"]["code"]) == (504, "upstream_first_event_timeout")


def test_silence_after_the_headers_ends_as_an_error_event(echo_of, plugin_of):
    client = echo_of(commit_after=0.02, first_event=0.15, keepalive=0.05)
    said, broke = collected(ask(client, PATHS[0], "[[silence 30]]"))
    assert broke
    assert said.startswith(b": keep-alive\n\n")
    assert b"upstream_first_event_timeout" in said
    record = plugin_of(client, "recorder").records[0]
    assert (record.outcome, record.first_event) == ("failed", None)


def test_silence_in_the_middle_is_bounded(echo_of, plugin_of):
    client = echo_of(idle=0.1)
    said, broke = collected(ask(client, PATHS[1], "one two three [[silence 30 after 2]]"))
    assert broke
    assert b"upstream_idle_timeout" in said
    assert plugin_of(client, "recorder").records[0].outcome == "truncated"


def test_an_answer_that_takes_too_long_is_bounded(echo_of):
    began = time.monotonic()
    said, broke = collected(ask(echo_of(total=0.3), PATHS[0], "[[words 1000]] [[delay 0.02]]"))
    assert broke
    assert b"upstream_total_timeout" in said
    assert time.monotonic() - began < 5


def test_the_whole_calls_deadline_is_bounded(echo_of):
    answer = ask(echo_of(deadline=0.1), PATHS[0], "[[silence 30]]")
    assert (answer.status_code, answer.json["error"]["code"]) == (504, "deadline_exceeded")


def test_another_channel_may_answer_after_the_headers_left(client_of, samples):
    client = client_of(f"""
        routing: {{commit_after: 0.02, keepalive: 0.05}}
        plugins: [recorder]
        plugins_dir: {samples}
        channels:
          - name: slow
            provider: echo
            priority: 1
            options: {{say: "[[silence 30]]"}}
            timeout: {{first_event: 0.2}}
          - {{name: good, provider: echo}}
    """)
    said, broke = collected(ask(client, PATHS[0], "one two"))
    assert not broke
    assert said.startswith(b": keep-alive\n\n")
    assert b"[DONE]" in said


# --- clients that leave ------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_a_stream_that_nobody_reads_to_its_end_is_closed_once(pieces, echo, plugin_of):
    answer = ask(echo, PATHS[0], "one two three four [[delay 0.01]]")
    stream = iter(answer.response)
    for _ in range(pieces):
        next(stream)
    answer.close()
    answer.close()
    records = plugin_of(echo, "recorder").records
    assert [record.outcome for record in records] == ["client_closed"]
