"""Bedrock's frames become events as they arrive, however they are cut; what breaks looks broken."""

import base64
import json

import pytest

from gateway import aws, sse
from gateway.config.document import Complaints
from gateway.plugin_manager import find_plugins, load_plugin


@pytest.fixture(scope="module", name="bedrock")
def _bedrock():
    return load_plugin(find_plugins()["bedrock"], None, Complaints("x"))


@pytest.fixture(name="decoder")
def _decoder(bedrock):
    class Call:
        id, model = "1", "m"

    def make(media_type=aws.MEDIA_TYPE):
        return bedrock.hooks["decode_stream"](call=Call, channel=None, media_type=media_type)[0]

    return make


def chunk(document):
    payload = json.dumps({"bytes": base64.b64encode(document).decode()}).encode()
    return aws.write_message({":message-type": "event", ":event-type": "chunk"}, payload)


def event(kind, **document):
    return aws.write_message({":message-type": "event", ":event-type": kind}, json.dumps(document).encode())


PACKED = (b'{"type":"message_start"}', '{"type":"x","é":"\u2028"}'.encode(), b'{"type":\n"message_stop"}')
INVOKED = b"".join(map(chunk, PACKED))
CONVERSED = (
    event("messageStart", role="assistant")
    + event("contentBlockDelta", contentBlockIndex=0, delta={"text": "é"})
    + event("contentBlockStop", contentBlockIndex=0)
    + event("somethingNew", a=1)
    + event("messageStop", stopReason="content_filtered")
    + event("metadata", usage={"inputTokens": 1, "outputTokens": 2})
)


@pytest.mark.parametrize("data", [INVOKED, CONVERSED], ids=["invoke", "converse"])
def test_a_stream_reads_the_same_however_it_is_cut(data, decoder):
    whole = decoder()
    expected = whole.feed(data) + whole.close()
    for cut in range(len(data)):
        cut_one = decoder()
        assert cut_one.feed(data[:cut]) + cut_one.feed(data[cut:]) + cut_one.close() == expected
    bytewise = decoder()
    assert b"".join(bytewise.feed(data[i : i + 1]) for i in range(len(data))) + bytewise.close() == expected


def test_each_frame_is_an_event_at_once_and_its_json_is_not_touched(decoder):
    one = decoder()
    assert one.feed(chunk(b'{"type":"ping", "a": 1.50}')) == b'event: ping\ndata: {"type":"ping", "a": 1.50}\n\n'
    assert len(sse.events(one.feed(chunk(b'{"type":\r\n"ping"}')))) == 1


def test_a_stream_without_a_stop_has_no_ending(decoder):
    one = decoder()
    one.feed(CONVERSED.partition(event("messageStop", stopReason="content_filtered"))[0])
    assert one.close() == b""


def test_a_stop_without_usage_is_an_ending(decoder):
    one = decoder()
    one.feed(CONVERSED.partition(event("metadata", usage={"inputTokens": 1, "outputTokens": 2}))[0])
    ending = [json.loads(found.data) for found in sse.events(one.close())]
    assert [found["type"] for found in ending] == ["message_delta", "message_stop"]
    assert ending[0]["delta"]["stop_reason"] == "refusal"


@pytest.mark.parametrize("headers, payload, kind, text", [
    ({":message-type": "exception", ":exception-type": "modelStreamErrorException"}, b'{"message":"broke"}',
     "api_error", "broke"),
    ({":message-type": "exception", ":exception-type": "serviceUnavailableException"}, b"", "overloaded_error",
     "serviceUnavailableException"),
    ({":message-type": "error", ":error-code": "InternalError", ":error-message": "oh"}, b"", "api_error", "oh"),
    ({":message-type": "exception", ":exception-type": "validationException"}, b"[]", "invalid_request_error",
     "validationException"),
])  # fmt: skip
def test_exceptions_are_anthropics_error_events(headers, payload, kind, text, decoder):
    (found,) = sse.events(decoder().feed(aws.write_message(headers, payload)))
    assert found.name == "error"
    assert json.loads(found.data)["error"] | {"code": ""} == {"type": kind, "message": text, "code": ""}


def test_damage_and_a_cut_frame_break_the_stream(decoder):
    with pytest.raises(aws.Corrupt):
        decoder().feed(INVOKED[:30] + b"x" + INVOKED[31:])
    one = decoder()
    one.feed(INVOKED[:-1])
    with pytest.raises(aws.Corrupt):
        one.close()


def test_a_whole_reply_that_is_no_json_stays_what_it_is(decoder):
    one = decoder("application/json")
    assert one.feed(b"<xml") + one.feed(b"/>") + one.close() == b"<xml/>"
    assert decoder("application/json").media_type == "application/json"
