"""Bad input: the dialect's own error with a request id, and nothing forwarded."""

import logging

import pytest

GOOD = {
    "/v1/chat/completions": b'{"model":"gpt"}',
    "/v1/responses": b'{"model":"codex"}',
    "/v1/messages": b'{"model":"claude"}',
    "/v1beta/models/gemini:generateContent": b"{}",
}
NAMES_MODEL = [path for path in GOOD if "gemini" not in path]
# status -> the word that stands for it in (chat and responses, messages, gemini)
WORDS = {
    400: ("invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    404: ("invalid_request_error", "not_found_error", "NOT_FOUND"),
    413: ("invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
    415: ("invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    500: ("server_error", "api_error", "INTERNAL"),
}


def assert_refused(answer, path, status, code):
    assert answer.status_code == status, answer.data
    assert answer.headers["content-type"] == "application/json"
    request_id, said = answer.headers["x-request-id"], answer.json
    openai, anthropic, google = WORDS[status]
    if "gemini" in path:
        assert (said["error"]["code"], said["error"]["status"]) == (status, google)
        assert said["error"]["details"][0]["reason"] == code.upper()
        assert said["error"]["details"][0]["metadata"]["request_id"] == request_id
    elif path == "/v1/messages":
        assert (said["type"], said["error"]["type"], said["error"]["code"]) == ("error", anthropic, code)
        assert said["request_id"] == request_id
    else:
        assert (said["error"]["type"], said["error"]["code"]) == (openai, code)
        assert said["request_id"] == request_id
    assert said["error"]["message"]


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("body, code", [
    (b"", "invalid_json"), (b"{", "invalid_json"), (b"[]", "invalid_json"), (b'"text"', "invalid_json"),
    (b'{"a":\xff}', "invalid_json"), (b'{"a":NaN}', "invalid_json"), (b"{" * 100_000, "invalid_json"),
])  # fmt: skip
def test_what_is_no_json_object(path, body, code, client, network, sent):
    assert_refused(sent(client, path, body), path, 400, code)
    assert not network.calls


@pytest.mark.parametrize("path", NAMES_MODEL)
@pytest.mark.parametrize("body, code", [
    (b"{}", "missing_model"), (b'{"model":null}', "missing_model"), (b'{"model":""}', "missing_model"),
    (b'{"model":7}', "invalid_request"), (b'{"model":["gpt"]}', "invalid_request"),
    (b'{"model":"gpt","model":"dear"}', "invalid_request"),
])  # fmt: skip
def test_a_model_that_is_missing_wrong_or_ambiguous(path, body, code, client, network, sent):
    assert_refused(sent(client, path, body), path, 400, code)
    assert not network.calls


@pytest.mark.parametrize("path", NAMES_MODEL)
def test_an_unknown_model(path, client, network, sent):
    answer = sent(client, path, b'{"model":"nosuch"}')
    assert_refused(answer, path, 404, "model_not_found")
    assert "nosuch" in answer.json["error"]["message"]


def test_an_unknown_model_in_the_path(client, network, sent):
    path = "/v1beta/models/nosuch-gemini:generateContent"
    assert_refused(sent(client, path, b"{}"), path, 404, "model_not_found")


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_body_of_another_type(path, content_type, client, network, sent):
    answer = sent(client, path, GOOD[path], {"Content-Type": content_type})
    assert_refused(answer, path, 415, "unsupported_media_type")
    assert not network.calls


@pytest.mark.parametrize("path", GOOD)
def test_an_unknown_packing(path, client, network, sent):
    assert_refused(sent(client, path, GOOD[path], {"Content-Encoding": "lzma"}), path, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", GOOD)
def test_a_body_that_is_too_large(path, client_of, network, sent):
    client = client_of("max_body: 100B\nchannels: [{name: a, provider: echo}]")
    assert_refused(sent(client, path, GOOD[path] + b" " * 100), path, 413, "request_too_large")
    assert sent(client, path, GOOD[path].replace(b"}", b" }")).status_code != 413


@pytest.mark.parametrize("path", GOOD)
def test_a_packed_body_that_is_damaged(path, client, network, sent):
    assert_refused(sent(client, path, GOOD[path], {"Content-Encoding": "gzip"}), path, 400, "invalid_request")


@pytest.mark.parametrize("path", GOOD)
def test_a_failure_nobody_foresaw_is_a_500_with_its_trace_in_the_log_only(path, client, network, sent, caplog):
    gateway = client.application.extensions["gateway"].gateway
    gateway.transport.send = None  # as if the code were broken
    with caplog.at_level(logging.ERROR):
        answer = sent(client, path, GOOD[path])
    assert_refused(answer, path, 500, "internal_error")
    assert "TypeError" not in answer.text
    assert "NoneType" not in answer.text
    assert "TypeError" in caplog.text
    assert answer.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize("method, status", [("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405)])
def test_the_front_door(method, status, client):
    answer = client.open("/", method=method)
    assert answer.status_code == status
    assert answer.headers["x-request-id"]
    assert (answer.data == b"") is (method == "HEAD")


def test_nobody_is_asked_for_a_key_at_the_front_door(client_of):
    client = client_of("channels: [{name: a, provider: echo}]\nkeys: [{name: k, key: secret}]")
    assert client.head("/").status_code == 200


def test_a_channel_without_the_operation_is_a_clear_error(client_of, network, sent):
    client = client_of("channels: [{name: anthropic, provider: anthropic, key: k}]")
    answer = sent(client, "/v1/rerank", b'{"model":"m"}')
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "unsupported_operation"
    assert "anthropic: does not offer rerank in chat" in answer.json["error"]["message"]


def test_models_come_in_three_shapes_sorted(client):
    names = ["claude", "codex", "gemini", "gpt"]
    chat = client.get("/v1/models").json
    assert (chat["object"], [entry["id"] for entry in chat["data"]]) == ("list", names)
    assert {entry["object"] for entry in chat["data"]} == {"model"}
    messages = client.get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json
    assert [(entry["type"], entry["id"]) for entry in messages["data"]] == [("model", name) for name in names]
    assert (messages["first_id"], messages["last_id"], messages["has_more"]) == ("claude", "gpt", False)
    for answer in (client.get("/v1beta/models"), client.get("/v1/models", headers={"x-goog-api-client": "genai"})):
        assert [entry["name"] for entry in answer.json["models"]] == [f"models/{name}" for name in names]
        assert "generateContent" in answer.json["models"][0]["supportedGenerationMethods"]


def test_one_model_in_three_shapes(client):
    assert client.get("/v1/models/gpt").json["id"] == "gpt"
    assert client.get("/v1/models/gpt-5-x").json["id"] == "gpt-5-x"
    assert client.get("/v1/models/openai/gpt").json["id"] == "openai/gpt"
    assert client.get("/v1/models/claude", headers={"anthropic-version": "1"}).json["type"] == "model"
    assert client.get("/v1beta/models/gemini").json["name"] == "models/gemini"
    assert client.get("/v1/models/nosuch").json["error"]["code"] == "model_not_found"
    assert client.get("/v1beta/models/nosuch").json["error"]["status"] == "NOT_FOUND"
