"""What a failing upstream means: for the next channel or key, and for the client."""

import pytest
import requests

TWO = """
routing: {retries: 5}
plugins: [recorder]
plugins_dir: %s
channels:
  - {name: first, provider: openai, keys: [k-one, k-two, k-three], models: [m], priority: 1, base_url: https://first.test}
  - {name: second, provider: openai, key: k-second, models: [m], base_url: https://second.test}
"""
FIRST, SECOND = "https://first.test/v1/chat/completions", "https://second.test/v1/chat/completions"
ASKED = b'{"model":"m"}'
STREAM = b'{"model":"m","stream":true}'
DONE = b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture(name="two")
def _two(client_of, samples):
    return client_of(TWO % samples)


def tried(network):
    """(host, key) of each attempt."""
    return [(call.request.url.split("/")[2].partition(".")[0], call.request.headers["authorization"].partition(" ")[2])
            for call in network.calls]  # fmt: skip


def hosts(network):
    return [host for host, _ in tried(network)]


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 520, 522, 529])
def test_what_another_channel_may_do_better_goes_there(status, two, network, sent, plugin_of):
    network.post(FIRST, status=status, json={"error": {"message": "no", "code": "theirs"}})
    network.post(SECOND, body=b'{"good":1}')
    answer = sent(two, "/v1/chat/completions", ASKED)
    assert (answer.data, hosts(network)) == (b'{"good":1}', ["first", "second"])
    assert (answer.headers["x-gateway-channel"], answer.headers["x-gateway-attempts"]) == ("second", "2")
    attempts = plugin_of(two, "recorder").attempts
    assert [(a.channel, a.status, a.outcome) for a in attempts] == [("first", status, "theirs"), ("second", 200, "ok")]


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422, 501, 504, 505, 524])
def test_what_nobody_could_do_better_goes_to_the_client_as_it_came(status, two, network, sent):
    body = b'{ "error":{"message":"theirs","zero":0,"none":null} }'
    network.post(FIRST, status=status, body=body, headers={"Retry-After": "9", "X-Request-Id": "up"})
    answer = sent(two, "/v1/chat/completions", ASKED)
    assert (answer.status_code, answer.data, hosts(network)) == (status, body, ["first"])
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["retry-after"], answer.headers["x-upstream-request-id"]) == ("9", "up")
    assert (answer.headers["x-gateway-channel"], answer.headers["x-gateway-attempts"]) == ("first", "1")


@pytest.mark.parametrize("status", [401, 403, 429])
def test_another_key_of_the_channel_is_tried_first(status, two, network, sent):
    network.post(FIRST, status=status, json={"error": {"message": "no"}})
    network.post(SECOND, body=b"{}")
    assert sent(two, "/v1/chat/completions", ASKED).status_code == 200
    assert hosts(network) == ["first", "first", "first", "second"]
    assert {key for host, key in tried(network) if host == "first"} == {"k-one", "k-two", "k-three"}


def test_the_first_key_differs_from_call_to_call(two, network, sent):
    network.post(FIRST, body=b"{}")
    for number in range(30):
        sent(two, "/v1/chat/completions", ASKED, {"X-Request-Id": f"call-{number}"})
    assert {key for _, key in tried(network)} == {"k-one", "k-two", "k-three"}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_of_the_gateway_is_not_the_clients_401(status, client, network, sent):
    network.post("https://chat.test/v1/chat/completions", status=status,
                 json={"error": {"message": "Incorrect API key: up-chat", "code": "invalid_api_key"}})  # fmt: skip
    answer = sent(client, "/v1/chat/completions", b'{"model":"gpt"}')
    assert answer.status_code == 502
    assert "refused the gateway's key: Incorrect API key" in answer.json["error"]["message"]
    assert "up-chat" not in answer.text
    assert "www-authenticate" not in answer.headers


def test_retries_are_counted(client_of, network, sent):
    client = client_of("routing: {retries: 1}\nchannels:\n" + "".join(
        f"  - {{name: c{i}, provider: openai, key: k, base_url: 'https://c{i}.test'}}\n" for i in range(5)
    ))  # fmt: skip
    for i in range(5):
        network.post(f"https://c{i}.test/v1/chat/completions", status=500, json={})
    answer = sent(client, "/v1/chat/completions", ASKED)
    assert (answer.status_code, len(network.calls), answer.headers["x-gateway-attempts"]) == (500, 2, "2")
    assert len(set(hosts(network))) == 2


@pytest.mark.parametrize("error, code, status", [
    (requests.ConnectionError("refused"), "upstream_unreachable", 502),
    (requests.ConnectTimeout("slow"), "upstream_connect_timeout", 504),
    (ConnectionResetError(104, "Connection reset by peer"), "upstream_unreachable", 502),
])  # fmt: skip
def test_no_connection_goes_on_and_is_told_if_all_fail(error, code, status, two, network, sent):
    network.post(FIRST, body=error)
    network.post(SECOND, body=error)
    answer = sent(two, "/v1/chat/completions", ASKED)
    assert (answer.status_code, answer.json["error"]["code"], hosts(network)) == (status, code, ["first", "second"])
    assert "first.test" not in answer.text
    assert "second.test" not in answer.text


@pytest.mark.parametrize("body, content_type, asked, code", [
    (b"", "text/event-stream", STREAM, "upstream_empty"),
    (b": keep-alive\n\n: more\n\n", "text/event-stream", STREAM, "upstream_empty"),
    (b"", "application/json", ASKED, "upstream_empty"),
    (b"<html>welcome to nginx</html>", "text/html", ASKED, "upstream_not_an_api"),
    (b'data: {"error":{"message":"late","code":"overloaded"}}\n\n', "text/event-stream", STREAM, "overloaded"),
    (b': hi\n\ndata: {"error":{"message":"late","code":"overloaded"}}\n\n', "text/event-stream", ASKED, "overloaded"),
    (b' {"error":{"message":"in a 200","code":"quota"}}', "application/json", ASKED, "quota"),
    (b'{"error":"in words"}', "application/json", STREAM, None),
])  # fmt: skip
def test_a_200_that_is_no_answer_is_the_channels_failure(
    body, content_type, asked, code, two, network, sent, plugin_of
):
    network.post(FIRST, body=body, content_type=content_type)
    network.post(SECOND, body=b'{"good":1}')
    assert sent(two, "/v1/chat/completions", asked).data == b'{"good":1}'
    assert plugin_of(two, "recorder").attempts[0].outcome == (code or "upstream_error")


def test_an_error_in_a_200_has_a_true_status_if_nobody_else_answers(two, network, sent):
    network.post(FIRST, body=b'{"error":{"message":"in a 200"}}', content_type="application/json")
    network.post(SECOND, body=b'data: {"error":{"message":"first event"}}\n\n', content_type="text/event-stream")
    answer = sent(two, "/v1/chat/completions", STREAM)
    assert answer.status_code == 502
    assert answer.json["error"]["message"] == "first event"


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", b"upstream connect error", b"[]", b"{}", b"7"])
def test_an_error_in_no_known_shape_gets_the_clients(body, two, network, sent):
    network.post(FIRST, status=503, body=body, content_type="text/html")
    network.post(SECOND, status=503, body=body, content_type="text/html")
    answer = sent(two, "/v1/chat/completions", ASKED)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/json")
    if body in (b"[]", b"{}", b"7"):
        assert answer.data == body
    else:
        assert answer.json["error"]["message"] == "the upstream answered 503"


def test_a_redirect_is_not_followed(two, network, sent):
    network.post(FIRST, status=302, headers={"Location": "https://elsewhere.test/"})
    network.post(SECOND, body=b"{}")
    sent(two, "/v1/chat/completions", ASKED)
    assert hosts(network) == ["first", "second"]


# --- an answer is judged by what it is, not by what was asked for ------------------------------------


def test_json_to_a_stream_request_stays_what_it_is(two, network, sent):
    network.post(FIRST, body=b'{ "choices":[] }', content_type="application/json")
    answer = sent(two, "/v1/chat/completions", STREAM)
    assert (answer.data, answer.headers["content-type"]) == (b'{ "choices":[] }', "application/json")


def test_events_to_a_whole_request_stay_what_they_are(two, network, sent):
    network.post(FIRST, body=DONE, content_type="text/event-stream")
    answer = sent(two, "/v1/chat/completions", ASKED)
    assert answer.data == DONE
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_packed_answer_passes_unopened(two, network, sent):
    network.post(FIRST, body=b"\x1f\x8bpacked", content_type="text/event-stream", headers={"Content-Encoding": "br"})
    answer = sent(two, "/v1/chat/completions", STREAM)
    assert (answer.data, answer.headers["content-encoding"]) == (b"\x1f\x8bpacked", "br")


def test_records_tell_how_calls_ended(two, network, sent, plugin_of):
    network.post(FIRST, status=400, json={"error": {"message": "no", "code": "odd"}})
    sent(two, "/v1/chat/completions", ASKED)
    sent(two, "/v1/chat/completions", b'{"model":"nosuch"}')
    network.replace("POST", FIRST, body=b'{"good":1}')
    sent(two, "/v1/chat/completions", ASKED)
    failed, refused, complete = plugin_of(two, "recorder").records
    assert (failed.status, failed.outcome, failed.error, failed.channel) == (400, "failed", "odd", "first")
    assert (refused.status, refused.outcome, refused.error) == (404, "refused", "model_not_found")
    assert (refused.channel, refused.attempts) == ("", ())
    assert (complete.status, complete.outcome, complete.bytes_out, complete.error) == (200, "complete", 10, "")
    assert 0 <= complete.first_event <= complete.total


def test_a_request_id_shows_in_no_attempt_of_another_call(two, network, sent, plugin_of):
    network.post(FIRST, status=500, json={})
    network.post(SECOND, body=b"{}")
    sent(two, "/v1/chat/completions", ASKED)
    sent(two, "/v1/chat/completions", ASKED)
    assert [len(record.attempts) for record in plugin_of(two, "recorder").records] == [2, 2]
