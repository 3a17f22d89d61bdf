"""What `providers:` can say without code, seen from the upstream's side and from the client's."""

import json

import pytest

from gateway.config.kinds import Secret
from gateway.errors import ConfigError
from gateway.templates import UnknownTemplate, fill, names_of
from gateway.usage import Usage

CHAT = "https://acme.test/llm/chat"
HEAD = """
providers:
  acme:
    base_url: https://acme.test
    dialects: {chat: /llm/chat}
"""
CHANNEL = """
plugins_dir: %s
plugins: [recorder]
channels:
  - {name: main, provider: acme, key: secret-a, models: [m, "o-*"], options: {team: search, most: 7}}
"""


@pytest.fixture(name="serve")
def _serve(client_of, samples):
    """serve(lines of the provider, lines of the channel) -> a client of a gateway with that provider."""

    def serve(provider="", channel="", more=""):
        said = "".join(f"    {line}\n" for line in provider.strip().splitlines())
        own = "".join(f"    {line}\n" for line in channel.strip().splitlines())
        text = HEAD + said + CHANNEL % samples
        return client_of(text + more if not own else text.replace(", options", "}\n", 1).partition("}\n")[0] + own)

    return serve


def asked(client, sent, body=b'{"model":"m","messages":[]}', **headers):
    return sent(client, "/v1/chat/completions", body, headers, buffered=True)


@pytest.mark.parametrize("provider, body, arrived", [
    ("body: [{set: {/user: '${channel.options.team}'}}]",
     b'{ "model":"m", "x": 1.50 }', b'{ "model":"m", "x": 1.50,"user":"search" }'),
    ("body: [{set: {/most: '${channel.options.most}', /who: 'of ${channel.name}'}}]",
     b'{"model":"m"}', b'{"model":"m","most":7,"who":"of main"}'),
    ("body: [{unset: [/store, /deep/er]}]",
     b'{"store":true,"model":"m","deep":{"er":1,"est":2}}', b'{"model":"m","deep":{"est":2}}'),
    ("body: [{rename: {/max_completion_tokens: /limits/tokens}}]",
     b'{"model":"m","max_completion_tokens":9, "z":[]}', b'{"model":"m","z":[],"limits":{"tokens":9}}'),
    ("body: [{rename: {/a: /b}}, {rename: {/b: /c}}]",
     b'{"model":"m","a":null,"b":1}', b'{"model":"m","a":null,"c":1}'),
    ("body: [{when: {model: 'o-*'}, unset: [/temperature]}]",
     b'{"model":"m","temperature":0}', b'{"model":"m","temperature":0}'),
    ("body: [{when: {model: ['x', 'o-*']}, unset: [/temperature]}]",
     b'{"model":"o-1","temperature":0}', b'{"model":"o-1"}'),
    ("body: [{when: {stream: false, operation: generate, dialect: chat}, unset: [/a]},"
     " {when: {dialect: gemini}, unset: [/b]}]",
     b'{"model":"m","a":1,"b":2}', b'{"model":"m","b":2}'),
    ("parameters: {allowed: [temperature]}",
     b'{"model":"m","messages":[],"temperature":1,"top_k":3,"seed":0}', b'{"model":"m","messages":[],"temperature":1}'),
    ("parameters: {renamed: {max_completion_tokens: max_tokens}}",
     b'{"model":"m","max_completion_tokens":5}', b'{"model":"m","max_tokens":5}'),
    ("parameters: {renamed: {max_completion_tokens: max_tokens}}",
     b'{"model":"m","max_completion_tokens":5,"max_tokens":4}', b'{"model":"m","max_tokens":4}'),
    ("parameters: {clamped: {temperature: {min: 0.01, max: 1}, n: {max: 1}}}",
     b'{"model":"m","temperature":1.5,"n":4}', b'{"model":"m","temperature":1,"n":1}'),
    ("parameters: {clamped: {temperature: {min: 0.01}}}",
     b'{"model":"m","temperature":0}', b'{"model":"m","temperature":0.01}'),
    ("parameters: {clamped: {temperature: {max: 1}, n: {max: 1}}}",
     b'{"model":"m", "temperature": 1.0, "n":true}', b'{"model":"m", "temperature": 1.0, "n":true}'),
    ("parameters: {dropped: [logit_bias], renamed: {a: b}, clamped: {b: {max: 2}}}",
     b'{"model":"m","logit_bias":{},"a":3}', b'{"model":"m","b":2}'),
])  # fmt: skip
def test_the_body_is_edited_as_declared_and_nowhere_else(provider, body, arrived, serve, network, sent):
    network.post(CHAT, body=b"{}")
    assert asked(serve(provider), sent, body).status_code == 200
    assert network.calls[0].request.body == arrived


def test_a_channels_own_body_comes_last_and_knows_the_same_words(client_of, network, sent):
    client = client_of(HEAD + """
    body: [{set: {/user: vendor, /kept: 1}}]
channels:
  - name: main
    provider: acme
    key: k
    body: {set: {/user: "${channel.name}"}, rename: {/a: /b}, when: {model: m}}
""")  # fmt: skip
    network.post(CHAT, body=b"{}")
    asked(client, sent, b'{"model":"m","a":1}')
    asked(client, sent, b'{"model":"n","a":1}')
    assert [json.loads(call.request.body) for call in network.calls] == [
        {"model": "m", "user": "main", "kept": 1, "b": 1}, {"model": "n", "a": 1, "user": "vendor", "kept": 1},
    ]  # fmt: skip


def test_strict_refuses_what_a_table_would_drop(serve, network, sent):
    client = serve("parameters: {dropped: [seed], clamped: {n: {max: 1}}}")
    answer = asked(client, sent, b'{"model":"m","seed":1,"n":2}', **{"X-Gateway-Strict": "1"})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "not_translatable")
    assert answer.json["error"]["details"] == {"dropped": ["seed"], "clamped": ["n"]}
    assert not network.calls


def test_tables_are_for_generating_only(client_of, network, sent):
    client = client_of(HEAD + """
    operations: {embeddings: /v9/embed, files: "/beta/files?purpose=any", rerank: }
    parameters: {allowed: [temperature]}
channels: [{name: main, provider: acme, key: k}]
""")  # fmt: skip
    network.post("https://acme.test/v9/embed", body=b"{}")
    network.get("https://acme.test/beta/files/f-1/content?purpose=any", body=b"{}")
    network.post("https://acme.test/v1/rerank", body=b"{}")
    body = b'{"model":"m","input":"x","dimensions":2}'
    assert sent(client, "/v1/embeddings", body).status_code == 200
    assert network.calls[0].request.body == body
    assert client.get("/v1/files/f-1/content").status_code == 200
    assert sent(client, "/v1/rerank", b'{"model":"m"}').status_code == 200


def test_headers_are_set_unset_and_forwarded(serve, network, sent):
    client = serve("headers: {set: {X-Team: 'of ${channel.options.team}'}, unset: [user-agent], forward: [x-beta]}")
    network.post(CHAT, body=b"{}")
    asked(client, sent, **{"X-Beta": "b", "User-Agent": "curl", "X-Team": "mine"})
    headers = network.calls[0].request.headers
    assert (headers["x-team"], headers["x-beta"], "user-agent" in headers) == ("of search", "b", False)


@pytest.mark.parametrize("key, sent_as", [("user:pass", "dXNlcjpwYXNz"), ("alone", "YWxvbmU6")])
def test_basic_auth(key, sent_as, client_of, network, sent):
    client = client_of(HEAD + f"    auth: basic\nchannels: [{{name: a, provider: acme, key: '{key}'}}]")
    network.post(CHAT, body=b"{}")
    asked(client, sent)
    assert network.calls[0].request.headers["authorization"] == f"Basic {sent_as}"


# --- what comes back -----------------------------------------------------------------------------------


def test_usage_is_read_where_it_stands(serve, network, sent, plugin_of):
    client = serve("usage: {input: /meta/tokens/0, output: /meta/tokens/1, cached: /meta/nowhere}")
    network.post(CHAT, body=b'{"choices":[],"meta":{"tokens":[11,22,true]}}', content_type="application/json")
    asked(client, sent)
    stream = b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: {"meta":{"tokens":[1,2]}}\n\ndata: [DONE]\n\n'
    network.replace("POST", CHAT, body=stream, content_type="text/event-stream")
    assert asked(client, sent, b'{"model":"m","stream":true}').data == stream
    found = [record.usage for record in plugin_of(client, "recorder").records]
    assert [(usage.input, usage.output) for usage in found] == [(11, 22), (1, 2)]
    assert found[0] == Usage(input=11, output=22, source="upstream")


def test_an_error_is_told_in_the_vendors_words(serve, network, sent):
    client = serve("error: {message: /reason/text, code: /reason/no, retry_after: /wait}")
    network.post(CHAT, status=400, body=b'{"reason":{"text":"too big","no":17},"wait":3}')
    answer = asked(client, sent)
    assert (answer.status_code, answer.json["error"]["message"], answer.json["error"]["code"]) == (400, "too big", "17")


TWO = """
plugins_dir: %s
plugins: [recorder]
channels:
  - {name: main, provider: acme, keys: [secret-a, secret-b], models: [m], priority: 1}
  - {name: spare, provider: openai, key: s, base_url: https://spare.test, models: [m]}
"""


@pytest.fixture(name="two")
def _two(client_of, samples):
    return lambda rules: client_of(HEAD + f"    errors: {rules}\n" + TWO % samples)


@pytest.mark.parametrize("rules, status, body, hosts", [
    ("[{status: 400, at: /code, equals: busy, then: retry}]", 400, b'{"code":"busy"}', "acme spare"),
    ("[{status: 400, at: /code, equals: busy, then: retry}]", 400, b'{"code":"other"}', "acme"),
    ("[{at: /code, matches: '^(quota|bill)', then: bad_key}]", 400, b'{"code":"quota spent"}', "acme acme spare"),
    ("[{matches: 'no luck', then: retry}]", 422, b"no luck today", "acme spare"),
    ("[{status: [500, 503], then: fatal}]", 503, b"{}", "acme"),
    ("[{at: /code, equals: 7, then: retry}]", 200, b'{"code":7,"msg":"down"}', "acme spare"),
    ("[{status: 200, at: /code, equals: 7, then: bad_key}]", 200, b'{"code":7}', "acme acme spare"),
    ("[{at: /code, equals: 7, then: fatal}]", 200, b'{"code":7,"msg":"never"}', "acme"),
    ("[{at: /code, equals: 7, then: rate_limited, seconds: 30}]", 200, b'{"code":7}', "acme spare"),
    ("[{status: 418, then: rate_limited}]", 418, b'{"code":7}', "acme acme spare"),
    ("[{at: /code, equals: 7, then: retry}]", 200, b'{"code":0,"choices":[]}', "acme"),
    ("[{status: 400, then: retry}]", 200, b'{"choices":[]}', "acme"),
])  # fmt: skip
def test_an_answer_means_what_the_table_says(rules, status, body, hosts, two, network, sent):
    network.post(CHAT, status=status, body=body, content_type="application/json")
    network.post("https://spare.test/v1/chat/completions", body=b'{"good":1}')
    client = two(rules)
    answer = asked(client, sent)
    tried = [call.request.url.split("//")[1].split(".")[0] for call in network.calls]
    assert list(dict.fromkeys(tried)) == list(dict.fromkeys(hosts.split()))
    assert tried == hosts.split() or "rate_limited" in rules
    if hosts == "acme" and status == 200 and b'"code":7' in body:
        assert (answer.status_code, answer.json["error"]["message"]) == (400, "never")


def test_the_first_event_of_a_stream_is_held_against_the_table(two, network, sent):
    network.post(CHAT, body=b': hi\n\ndata: {"code":7,"msg":"full"}\n\n', content_type="text/event-stream")
    good = b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    network.post("https://spare.test/v1/chat/completions", body=good, content_type="text/event-stream")
    client = two("[{at: /code, equals: 7, then: retry}]")
    assert asked(client, sent, b'{"model":"m","stream":true}').data == good


@pytest.mark.parametrize("end, event", [
    ("'[FINISHED]'", b"data: [FINISHED]\n\n"), ("'[FINISHED]'", b"data:[FINISHED]\r\n\r\n"),
    ("bye", b"event: bye\ndata: {}\n\n"), ("bye", b"event: bye\n\n"),
])  # fmt: skip
def test_the_vendors_own_ending_becomes_the_dialects(end, event, serve, network, sent, plugin_of):
    client = serve(f"end: {end}")
    begin = b'data: {"choices":[{"delta":{"content":"[FINISHED] bye"}}]}\n\n'
    network.post(CHAT, body=begin + event, content_type="text/event-stream")
    assert asked(client, sent, b'{"model":"m","stream":true}').data == begin + b"data: [DONE]\n\n"
    said = sent(client, "/v1/messages", b'{"model":"m","stream":true,"messages":[],"max_tokens":9}', buffered=True).data
    assert b"event: message_stop" in said
    assert b"event: error" not in said
    assert [record.outcome for record in plugin_of(client, "recorder").records] == ["complete", "complete"]


def test_a_stream_without_the_vendors_ending_is_broken(serve, network, sent, plugin_of):
    client = serve("end: '[FINISHED]'")
    network.post(CHAT, body=b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', content_type="text/event-stream")
    with pytest.raises(ConnectionResetError):
        asked(client, sent, b'{"model":"m","stream":true}')
    assert plugin_of(client, "recorder").records[0].outcome == "truncated"


# --- what is complained of -------------------------------------------------------------------------------


@pytest.mark.parametrize("provider, complaint", [
    ("body: [{set: {user: x}}]", "3: providers.acme: expected a JSON Pointer such as '/user', found 'user'"),
    ("body: [{set: {/user: '${channel.options.tame}'}}]", "did you mean 'channel.options.team'?"),
    ("body: [{when: {modle: x}}]", "providers.acme.body[0].when: unknown key 'modle', did you mean 'model'?"),
    ("body: {set: {}}", "providers.acme.body: expected a list"),
    ("usage: {inptu: /x}", "did you mean 'input'?"),
    ("errors: [{then: retry}]", "a rule needs 'status', 'at' or 'matches'"),
    ("errors: [{status: 42, then: retry}]", "expected an HTTP status"),
    ("errors: [{status: 400, then: rety}]", "did you mean 'retry'?"),
    ("errors: [{matches: '(', then: retry}]", "expected a regular expression"),
    ("headers: {set: {X: y}, X-Other: z}", "expected headers with their values"),
    ("operations: {embeddings: v2}", "expected operations"),
    ("parameters: {clamped: {n: {mx: 1}}}", "unknown key 'mx'"),
])  # fmt: skip
def test_complaints(provider, complaint, serve):
    with pytest.raises(ConfigError) as caught:
        serve(provider)
    assert any(complaint in line for line in caught.value.complaints), caught.value.complaints


def test_an_ending_needs_a_dialect_that_has_one(client_of):
    with pytest.raises(ConfigError, match="only chat and messages"):
        client_of("""
            providers: {g: {base_url: https://g.test, dialects: [gemini], end: x}}
            channels: [{name: a, provider: g, key: k}]
        """)


def test_templates_know_the_channel_and_no_secret():
    names = names_of("main", "https://x", {"team": "a", "most": 3, "on": True, "token": Secret("hush")})
    assert fill({"a": ["${channel.options.most}", "${channel.name}-${channel.options.on}", 1]}, names) == {
        "a": [3, "main-true", 1]
    }
    assert fill("${NOT_OURS} $", names) == "${NOT_OURS} $"
    with pytest.raises(UnknownTemplate) as caught:
        fill("${channel.options.token}", names)
    assert "hush" not in str(caught.value)
