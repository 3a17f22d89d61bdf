"""What is written, judged by the official SDK's own types."""

import json

import pytest
from openai import APIError, OpenAI, _base_client
from openai.types.responses import CompactedResponse, Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway import json_text, sse
from gateway.dialects.responses import StreamWriter, read_reply, read_request, write_reply
from gateway.dialects.responses.schema import ERROR_CODES
from gateway.dialects.vocabulary import Choice, Completion, Finish, Text
from tests.dialects.responses.responses_cases import CASES, asked, build, load, names, read_stream, written

# Newer SDKs bring httpx2, older ones httpx.
http = getattr(_base_client, "httpx2", None) or _base_client.httpx
_EVENT = TypeAdapter(ResponseStreamEvent)
# Codes that the API really sends and Codex acts upon, but that the SDK's type does not list.
_UNLISTED = {"context_length_exceeded", "insufficient_quota", "usage_not_included", "server_is_overloaded", "slow_down"}


def _floats(value):
    """Decimals as floats: the SDK reads JSON with the standard library."""
    return json.loads(json_text.write(value))


def _check(event: dict) -> None:
    error = (event.get("response") or {}).get("error")
    if error and error["code"] in _UNLISTED:
        error["code"] = "server_error"
    said = _EVENT.validate_python(_floats(event))
    assert said.type == event["type"]


def _stream(name: str) -> bytes:
    case = load("write_stream", name)
    writer = StreamWriter(asked(read_request(case["prompt"])))
    return b"".join(writer.feed(event) for event in build(case["events"])) + writer.close(build(case["fault"]))


def test_unlisted_codes_are_few_and_known():
    assert _UNLISTED < ERROR_CODES


@pytest.mark.parametrize("name", names("write_stream"))
def test_events_are_what_the_sdk_expects(name):
    for event in written(_stream(name)):
        _check(event)


@pytest.mark.parametrize("name", names("streams", ".sse"))
def test_streams_of_an_upstream_rewritten_are_what_the_sdk_expects(name):
    writer = StreamWriter(asked())
    said = read_stream((CASES / "streams" / f"{name}.sse").read_bytes())
    for event in written(b"".join(writer.feed(event) for event in said) + writer.close()):
        _check(event)


@pytest.mark.parametrize("name", names("own_reply"))
def test_replies_are_what_the_sdk_expects(name):
    reply = load("own_reply", name)["reply"]
    assert Response.model_validate(_floats(reply)).status == reply["status"]


@pytest.mark.parametrize("name", names("read_reply"))
def test_replies_of_an_upstream_rewritten_are_what_the_sdk_expects(name):
    reply = write_reply(read_reply(load("read_reply", name)["document"]), asked())
    Response.model_validate(_floats(reply))


@pytest.mark.parametrize("name", names("own_request"))
def test_replies_repeat_any_request_in_a_form_the_sdk_expects(name):
    prompt = read_request(load("own_request", name)["document"])
    reply = write_reply(Completion("", "", [Choice([Text("x")], Finish("stop"))]), asked(prompt))
    Response.model_validate(_floats(reply))


def _units(text: str) -> bytes:
    """A pair of surrogates that came in two deltas is one character."""
    return text.encode("utf-16-le", "surrogatepass")


def _client(body: bytes, kind: str) -> OpenAI:
    def answer(request):
        return http.Response(200, content=body, headers={"content-type": kind})

    return OpenAI(api_key="k", base_url="http://x/v1", http_client=http.Client(transport=http.MockTransport(answer)))


@pytest.mark.parametrize("name", names("write_stream"))
def test_the_sdk_gathers_the_stream_to_what_it_ends_with(name):
    whole = _stream(name)
    final = written(whole)[-1]["response"]
    with _client(whole, "text/event-stream").responses.stream(model="gpt", input="hi") as stream:
        if any(event.name == "error" for event in sse.events(whole)):
            with pytest.raises(APIError) as raised:
                list(stream)
            assert final["error"]["message"] in str(raised.value)
            return
        said = list(stream)
    assert said[-1].type == f"response.{final['status']}"
    text = "".join(event.delta for event in said if event.type == "response.output_text.delta")
    spoken = [part for item in final["output"] for part in item.get("content", []) if part["type"] == "output_text"]
    assert _units(text) == _units("".join(part["text"] for part in spoken))
    assert len(said[-1].response.output) == len(final["output"])


def test_the_sdk_reads_a_compaction():
    body = {
        "id": "resp_1",
        "object": "response.compaction",
        "created_at": 1,
        "output": [{"id": "cmp_1", "type": "compaction", "encrypted_content": "x"}],
        "usage": load("own_reply", "text")["reply"]["usage"],
    }
    CompactedResponse.model_validate(_floats(body))
