"""Where a call's time went."""

import re

from gateway.timing import TRACE

YAML = """
plugins_dir: %s
plugins: [recorder]
keys: [{name: curious, key: k-curious, show_timing: true}, {name: other, key: k-other}]
channels: [{name: echo, provider: echo}]
"""
ASKED = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}


def ask(client, sent, key, **more):
    return sent(client, "/v1/chat/completions", ASKED | more, {"x-api-key": key})


def test_a_reply_tells_where_its_time_went_if_its_key_may_know(client_of, samples, sent):
    client = client_of(YAML % samples)
    client.application.extensions["gateway"].begin()
    try:
        for stream in (False, True):
            answer = ask(client, sent, "k-curious", stream=stream)
            spans = dict(re.findall(r"([\w.-]+);dur=([\d.]+)", answer.headers["server-timing"]))
            assert spans.keys() >= {"gateway", "upstream", "queue", "plugin-recorder"}
            assert float(spans["gateway"]) >= float(spans["plugin-recorder"]) > 0
        assert "server-timing" not in ask(client, sent, "k-other").headers
    finally:
        client.application.extensions["gateway"].end()


def test_hooks_are_traced_on_request(client_of, samples, sent, monkeypatch, caplog):
    monkeypatch.setenv(TRACE, "1")
    caplog.set_level("INFO", "gateway.trace")
    client = client_of(YAML % samples)
    client.application.extensions["gateway"].begin()
    try:
        ask(client, sent, "k-other")
    finally:
        client.application.extensions["gateway"].end()
    assert re.search(r"req_\w+ recorder\.\w+ \d+\.\d us", caplog.text)
    assert "- client_keys.authenticate" in caplog.text
