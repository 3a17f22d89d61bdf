"""Which dialect and operation a path asks for. A new path is a new line in cases/endpoints.txt."""

from pathlib import Path

import pytest

from gateway.endpoints import MODELS, error_dialect, find_endpoint
from gateway.errors import ClientError, MethodNotAllowed

LINES = (Path(__file__).parent / "cases" / "endpoints.txt").read_text().splitlines()
TABLE = [[side.split() for side in line.split("->")] for line in LINES if line and not line.startswith("#")]
FOUND = [case for case in TABLE if len(case[1]) > 2]
REFUSED = [case for case in TABLE if len(case[1]) == 2]
SHAPES = {
    "chat": lambda said: {"message", "type", "param", "code"} <= set(said["error"]),
    "responses": lambda said: {"message", "type", "param", "code"} <= set(said["error"]),
    "messages": lambda said: said["type"] == "error" and {"type", "message"} <= set(said["error"]),
    "gemini": lambda said: {"code", "message", "status", "details"} <= set(said["error"]),
}


def title(case):
    return " ".join(case[0])


@pytest.mark.parametrize("case", FOUND, ids=title)
def test_a_path_says_its_dialect_and_operation(case):
    (method, path), (dialect, operation, canonical, *more) = case
    endpoint = find_endpoint(method, path, {})
    assert (endpoint.dialect, endpoint.operation, endpoint.path) == (dialect, operation, canonical)
    assert endpoint.model == "".join(word.removeprefix("model=") for word in more if word.startswith("model="))
    assert endpoint.stream is ({"stream": True, "not-stream": False}.get(next(iter(set(more) & SAYS), "")))
    assert endpoint.model_needed is ("needs-model" in more)


SAYS = {"stream", "not-stream"}


@pytest.mark.parametrize("case", REFUSED, ids=title)
def test_what_is_not_there_is_said_in_the_shape_of_the_path(case, client):
    (method, path), (dialect, status) = case
    # as environ, because the test client would tidy the path up
    answer = client.open("/", method=method, environ_overrides={"PATH_INFO": path}, json={"model": "gpt"})
    assert answer.status_code == int(status)
    assert SHAPES[dialect](answer.json), answer.json
    assert answer.headers["x-request-id"]


def test_a_method_error_names_the_methods_there_are():
    with pytest.raises(MethodNotAllowed, match="takes GET, POST, DELETE, not PATCH"):
        find_endpoint("PATCH", "/v1/files", {})


@pytest.mark.parametrize("path, headers, dialect", [
    ("/v1/nothing", {"anthropic-version": "2023-06-01"}, "messages"),
    ("/v1/nothing", {"x-goog-api-key": "k"}, "gemini"),
    ("/v1/nothing", {}, "chat"),
    ("/v1/responses/x/y", {}, "responses"),
])  # fmt: skip
def test_headers_tell_the_dialect_where_the_path_does_not(path, headers, dialect):
    assert error_dialect(path, headers) == dialect


@pytest.mark.parametrize("headers, dialect", [
    ({}, "chat"),
    ({"authorization": "Bearer k"}, "chat"),
    ({"anthropic-version": "2023-06-01", "x-api-key": "k"}, "messages"),
    ({"x-goog-api-key": "k"}, "gemini"),
    ({"x-goog-api-client": "google-genai-sdk"}, "gemini"),
])  # fmt: skip
def test_the_headers_select_the_shape_of_a_model_list(headers, dialect):
    endpoint = find_endpoint("GET", "/v1/models", headers)
    assert (endpoint.operation, endpoint.dialect) == (MODELS, dialect)


@pytest.mark.parametrize("path", ["", "v1/models", "/", "/v1/\u2028", "/v1/models/..", "/v1/%2e%2e", "/v1/files/a\nb"])
def test_odd_paths_are_refused_and_nothing_else_happens(path):
    with pytest.raises(ClientError):
        find_endpoint("POST", path, {})
