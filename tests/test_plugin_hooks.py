"""Every hook is called when, as often and with what docs/plugins.md says."""

import ipaddress
from datetime import UTC, datetime

import pytest

from gateway import (
    Attempt,
    Call,
    Candidate,
    Channel,
    Endpoint,
    Inbound,
    Record,
    Route,
    Secret,
    UpstreamRequest,
    Usage,
)
from gateway.config.settings import Settings
from gateway.domain import UpstreamReply
from gateway.errors import ConfigError
from gateway.plugin_manager import HOOK_NAMES

GOOD = """
routing: {retries: 4}
plugins_dir: %s
plugins: [{good: {greeting: welcome, most: 5}}, call_log]
channels:
  - {name: acme, provider: acme, keys: [secret-a, secret-b], models: [m, "fail-*"], priority: 1}
  - {name: unwanted, provider: echo, models: [m]}
  - {name: other, provider: echo, models: ["fail-*", other]}
"""


@pytest.fixture(name="good")
def _good(client_of, samples):
    return client_of(GOOD % samples)


@pytest.fixture(name="told")
def _told(good, plugin_of):
    """told(hook) -> the arguments of each call of it."""
    return lambda hook: [arguments for name, arguments in plugin_of(good, "good").told.calls if name == hook]


def ask(client, sent, model="m", **more):
    document = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    return sent(client, "/v1/chat/completions", document, buffered=True)


LOAD = {"register_providers", "check_config", "register_pages"}
WHOLE = {"authenticate", "before_call", "filter_reply", "answer_call", "arrange_channels", "rewrite_request",
         "authorize", "decode_stream", "read_usage", "rewrite_response", "attempt_finished", "after_call"}  # fmt: skip


def test_a_whole_call_meets_its_hooks_once_each(good, told, sent):
    assert {hook for hook in HOOK_NAMES if told(hook)} == LOAD
    assert ask(good, sent).status_code == 203
    assert {hook: len(told(hook)) for hook in HOOK_NAMES if told(hook)} == dict.fromkeys(LOAD | WHOLE, 1)


def test_the_hooks_of_a_call_come_in_the_order_of_the_road(good, plugin_of, sent):
    ask(good, sent)
    order = [name for name, _ in plugin_of(good, "good").told.calls if name in WHOLE]
    assert order == ["authenticate", "before_call", "filter_reply", "answer_call", "arrange_channels",
                     "rewrite_request", "authorize", "decode_stream", "attempt_finished", "read_usage",
                     "rewrite_response", "after_call"]  # fmt: skip


def test_hooks_get_what_is_documented(good, told, sent):
    ask(good, sent)
    types = {
        "check_config": {"config": Settings},
        "authenticate": {"request": Inbound},
        "before_call": {"call": Call},
        "answer_call": {"call": Call},
        "filter_reply": {"call": Call},
        "decode_stream": {"channel": Channel, "media_type": str},
        "arrange_channels": {"call": Call, "route": Route},
        "rewrite_request": {"call": Call, "channel": Channel, "request": UpstreamRequest},
        "authorize": {"channel": Channel, "key": Secret, "request": UpstreamRequest},
        "read_usage": {"channel": Channel, "document": dict},
        "rewrite_response": {"call": Call, "channel": Channel, "response": UpstreamReply},
        "attempt_finished": {"call": Call, "attempt": Attempt},
        "after_call": {"call": Call, "record": Record},
    }
    for hook, arguments in types.items():
        assert told(hook)[0].keys() == arguments.keys()
        assert all(isinstance(value, arguments[name]) for name, value in told(hook)[0].items())


def test_what_authenticate_sees(good, told, sent):
    sent(good, "/v1/chat/completions?key=letmein", b'{"model":"m"}', {"X-Api-Key": "letmein"})
    inbound = told("authenticate")[0]["request"]
    assert (inbound.method, inbound.path) == ("POST", "/v1/chat/completions")
    assert inbound.address == ipaddress.ip_address("127.0.0.1")
    assert [secret.reveal() for secret in inbound.credentials] == ["letmein"]
    assert "letmein" not in repr(inbound)


def test_what_a_call_says(good, told, sent):
    ask(good, sent, stream=False)
    call = told("before_call")[0]["call"]
    assert (call.model, call.stream, call.dialect, call.operation) == ("m", False, "chat", "generate")
    assert (call.method, call.principal.name, call.address) == ("POST", "anybody", "127.0.0.1")
    assert call.endpoint == Endpoint("chat", "generate", "/v1/chat/completions", model_needed=True)
    assert abs((datetime.now(UTC) - call.received).total_seconds()) < 60
    assert told("after_call")[0]["call"] is call


def test_a_plugin_may_answer_in_place_of_any_channel(good, told, sent):
    answer = sent(good, "/v1/chat/completions", {"model": "m-known", "messages": []})
    assert (answer.status_code, answer.data) == (200, b'{"known":1}')
    record = told("after_call")[0]["record"]
    assert (record.outcome, record.channel, record.attempts) == ("complete", "good", ())


def test_replies_are_filtered_in_the_clients_dialect(client_of, samples, sent):
    client = client_of(GOOD.replace("most: 5", "most: 5, level: high") % samples)
    whole, streamed = ask(client, sent), ask(client, sent, stream=True)
    assert whole.headers["x-policy"] == "seen"
    assert whole.data.endswith(b"policy")
    assert b"Hello!" in streamed.data
    assert streamed.data.endswith(b": closed by good\n\n: and by its policy\n\n")


def test_what_an_answering_plugin_gives_passes_the_filters_of_those_before_it(client_of, samples, sent):
    plugins = f"plugins: [{{good: {{level: high}}}}]\nplugins_dir: {samples}\n"
    client = client_of(plugins + "channels: [{name: acme, provider: acme, key: k}]")
    assert ask(client, sent, "m-known").data == b'{"known":1}'  # its own filter does not see it


def test_channels_are_arranged(good, told, sent):
    ask(good, sent)
    route = told("arrange_channels")[0]["route"]
    assert [type(item) for item in route.candidates] == [Candidate]
    assert [(item.channel.name, item.reason) for item in route.left_out] == [("unwanted", "not wanted")]


def test_no_channel_left_is_a_503_with_the_reasons(client_of, samples, sent):
    client = client_of(GOOD.replace("name: acme,", "name: unwanted-too,") % samples)
    answer = ask(client, sent)
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "no_channel")
    assert "unwanted-too: not wanted; unwanted: not wanted" in answer.json["error"]["message"]


def test_the_request_is_rewritten_and_signed(good, told, sent):
    said = ask(good, sent, private=1).json
    assert said["path"] == "/v1/chat/completions?rewritten"
    assert said["edited"] == "seen"
    assert said["signed"] in ("by a-terces", "by b-terces")
    request = told("rewrite_request")[0]["request"]
    assert b'"private"' not in request.body.data
    assert "secret" not in f"{request!r} {told('authorize')!r}"


def test_a_whole_reply_is_rewritten_and_its_usage_read(good, told, sent):
    answer = ask(good, sent)
    assert (answer.status_code, answer.headers["x-rewritten"], answer.data[-1:]) == (203, "yes", b"\n")
    assert answer.headers["x-vendor"] == "acme"
    assert answer.headers["content-length"] == str(len(answer.data))
    record = told("after_call")[0]["record"]
    assert record.usage == Usage(output=7, source="upstream")
    assert (record.status, record.outcome, record.channel, record.bytes_out) == (
        203,
        "complete",
        "acme",
        len(answer.data),
    )
    assert record.attempts == (told("attempt_finished")[0]["attempt"],)


def test_a_stream_goes_through_the_filter(good, told, sent):
    answer = ask(good, sent, stream=True)
    assert answer.data == (
        b'data: {"choices":[{"delta":{"content":"HELLO"}}]}\n\ndata: {"tokens":9}\n\n'
        b"data: [DONE]\n\n: closed by good\n\n"
    )
    assert len(told("rewrite_stream")) == len(told("close")) == 1
    assert not told("rewrite_response")
    fed = [arguments["events"] for arguments in told("feed")]
    assert all(piece.endswith(b"\n\n") for piece in fed)
    assert len(told("read_usage")) == 2  # [DONE] is no document
    assert told("after_call")[0]["record"].usage == Usage(output=9, source="upstream")


@pytest.mark.parametrize("status, channels", [
    (418, ["acme", "other"]), (500, ["acme"]), (502, ["acme", "other"]), (503, ["acme", "acme", "other"]),
    (504, ["acme"]), (429, ["acme", "acme", "other"]), (400, ["acme"]),
])  # fmt: skip
def test_failures_are_classified(status, channels, good, told, sent):
    answer = ask(good, sent, f"fail-{status}")
    assert [arguments["attempt"].channel for arguments in told("attempt_finished")] == channels
    response = told("classify_failure")[0]["response"]
    assert (response.status, response.body) == (status, b'{"error":{"message":"told to"}}')
    assert response.headers["Content-Type"] == "application/json"
    assert answer.status_code == (200 if "other" in channels else status)


def test_another_channels_traffic_is_never_seen(good, told, sent):
    assert ask(good, sent, "other").status_code == 200
    assert not [hook for hook in ("rewrite_request", "authorize", "rewrite_response", "read_usage") if told(hook)]
    assert len(told("after_call")) == 1


def test_pages_are_served_beside_the_api(good, told):
    answer = good.get("/greeting")
    assert (answer.status_code, answer.data, answer.headers["content-type"]) == (200, b"welcome GET", "text/plain")
    assert answer.headers["x-request-id"]
    assert not told("before_call")


def test_pages_are_behind_the_keys(client_of, samples):
    client = client_of((GOOD % samples).replace("most: 5", "admits: false") + "keys: [{name: k, key: sesame}]\n")
    assert client.get("/greeting").status_code == 401
    assert client.get("/greeting", headers={"X-Api-Key": "sesame"}).status_code == 200


def test_complaints_of_a_plugin_have_their_lines(write_config, client_of, samples):
    with pytest.raises(ConfigError) as caught:
        client_of("max_body: 666\n" + GOOD % samples)
    assert [line.partition("gateway.yaml:")[2] for line in caught.value.complaints] == [
        "1: plugins.good: no such number", "7: plugins.good: not there either",
    ]  # fmt: skip


def test_refused_and_abandoned_calls_have_a_record_too(good, told, sent):
    ask(good, sent, "nosuch")
    good.post("/v1/chat/completions", json={"model": "m", "stream": True}, buffered=False).close()
    outcomes = [arguments["record"].outcome for arguments in told("after_call")]
    assert outcomes == ["refused", "client_closed"]


# --- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("first, second", ["ab", "ba"])
def test_plugins_are_asked_in_their_order_and_told_in_reverse(first, second, client_of, samples, sent, plugin_of):
    client = client_of(f"""
        plugins_dir: {samples}
        plugins: [recorder, order_{first}, order_{second}]
        channels: [{{name: echo, provider: echo}}]
    """)
    ask(client, sent)
    call = plugin_of(client, "recorder").calls[0]
    assert call.notes["order"] == [f"{first} in", f"{second} in", f"{second} out", f"{first} out"]


# --- policies --------------------------------------------------------------------------------------


@pytest.fixture(name="kept")
def _kept(client_of, samples):
    return client_of(f"plugins_dir: {samples}\nplugins: [gatekeeper]\nchannels: [{{name: echo, provider: echo}}]")


@pytest.mark.parametrize("key, model, status, code", [
    ("friend", "m", 200, None), ("friend", "x", 403, "model_not_allowed"), ("foe", "m", 401, "invalid_api_key"),
    ("stranger", "m", 401, "invalid_api_key"), ("friend", "broke", 402, "budget_exceeded"),
    ("friend", "hasty", 429, "rate_limit_exceeded"), ("friend", "odd", 400, "invalid_request"),
    ("friend", "gone", 404, "not_found"),
])  # fmt: skip
def test_a_policys_refusal_is_the_clients_answer(key, model, status, code, kept, sent):
    answer = sent(kept, "/v1/chat/completions", {"model": model, "messages": []}, {"X-Api-Key": key})
    if status == 200:
        assert answer.status_code in (200, 400)
        return
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("8" if status == 429 else None)
