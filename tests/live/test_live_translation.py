"""Each SDK on a vendor of each other dialect: the echo of a second gateway, and the scripted upstream."""

import base64
import json
import re

import pytest
from live_cases import DIALECTS, all_ways, asking, error_of, path_of, reply_bytes, stream_events
from live_sdks import IMAGE, talk_to
from live_servers import CLIENT_KEY, UPSTREAM_KEY

pytestmark = pytest.mark.live

pairs = pytest.mark.parametrize(
    "dialect, other", [(dialect, other) for dialect in DIALECTS for other in DIALECTS if dialect != other]
)
each_way = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
text_of = {
    "chat": lambda data: re.findall(rb'"content":"([^"]+)"', data),
    "responses": lambda data: re.findall(rb'output_text.delta"[^\n]*?"delta":"([^"]+)"', data),
    "messages": lambda data: re.findall(rb'"text_delta","text":"([^"]+)"', data),
    "gemini": lambda data: re.findall(rb'"text":"([^"]+)"', data),
}


@all_ways
@pairs
@each_way
def test_words_through_two_gateways(dialect, other, stream, door):
    said = talk_to(door, dialect, f"via-{other}", stream).ask("Does this arrive? Grüße 🌍")
    assert said.text == "Does this arrive? Grüße 🌍"
    assert said.pieces > 1 or not stream


@pairs
@each_way
def test_a_tool_conversation_with_an_image(dialect, other, stream, door):
    talk = talk_to(door, dialect, f"via-{other}", stream)
    asked = talk.ask('[[call get_weather {"city": "Oslo"}]] what of this', image=True, tool=True)
    (call,) = asked.calls
    arguments = json.loads(call[2]) if isinstance(call[2], str) else call[2]
    assert (call[1], arguments) == ("get_weather", {"city": "Oslo"})
    assert "(image)" in asked.text
    assert "12 degrees" in talk.answer(call, "12 degrees").text
    assert talk.ask("and now?").text == "and now?"


@pairs
@each_way
def test_the_upstream_gets_its_own_dialect(dialect, other, stream, upstream, door):
    """Its path, its credentials, the image's bytes; and nothing of the client's."""
    data = reply_bytes(other, stream=stream)
    upstream.answer(lambda exchange: exchange.stream(data) if stream else exchange.reply(data))
    assert talk_to(door, dialect, f"to-{other}", stream).ask("Hello", image=True, tool=True).text == "Grüße, wörld 🌍"
    (exchange,) = upstream.exchanges
    assert exchange.target == path_of(other, f"to-{other}", stream)
    assert base64.b64encode(IMAGE) in exchange.body
    assert exchange.head.count(UPSTREAM_KEY.encode()) == 1
    assert CLIENT_KEY.encode() not in exchange.head
    assert b"get_weather" in exchange.body


@pairs
@each_way
def test_a_tool_call_of_a_vendor(dialect, other, stream, upstream, door):
    data = reply_bytes(other, "tools", stream)
    upstream.answer(lambda exchange: exchange.stream(data) if stream else exchange.reply(data))
    (call,) = talk_to(door, dialect, f"to-{other}", stream).ask("The weather?", tool=True).calls
    arguments = json.loads(call[2]) if isinstance(call[2], str) else call[2]
    assert (call[1], arguments) == ("get_weather", {"city": "Oslo"})


@all_ways
@pairs
def test_each_word_arrives_before_the_next_is_sent(dialect, other, upstream, connect):
    client = connect().post(path_of(dialect, f"to-{other}"), asking(dialect, f"to-{other}"))
    seen, said, words = b"", 0, ["Grüße, ", "wörld 🌍"]
    with upstream.take() as exchange:
        exchange.start()
        for number, event in enumerate(stream_events(other)):
            exchange.chunk(event)
            if number == 0:
                client.head()
            if said < 2 and words[said].encode() in event:
                said += 1
                while len(text_of[dialect](seen)) < said:
                    piece = client.piece()
                    assert piece, "the stream ended"
                    seen += piece
        exchange.last_chunk()
    rest, complete = client.rest()
    assert complete
    assert [text.decode() for text in text_of[dialect](seen)] == words


@all_ways
@pairs
def test_a_cut_is_told_in_the_clients_dialect(dialect, other, upstream, connect):
    first = stream_events(other)[0]
    more = stream_events(other)[1] if other != "gemini" else b""
    upstream.answer(lambda exchange: exchange.start().chunk(first + more[:-9]).close())
    client = connect().post(path_of(dialect, f"to-{other}"), asking(dialect, f"to-{other}")).head()
    data, complete = client.rest()
    assert not complete
    last = data.rstrip().rpartition(b"\n\n")[2] + b"\n\n"
    if dialect == "responses":  # its codes are a closed list
        assert last.startswith(b"event: response.failed\n")
        assert b"the connection ended" in last
    else:
        assert error_of(dialect, last) == "upstream_stream_cut"


@pairs
def test_a_cut_is_an_exception(dialect, other, upstream, door):
    events = stream_events(other)
    cut = events[0] if other == "gemini" else b"".join(events[:3])
    upstream.answer(lambda exchange: exchange.start().chunk(cut).close())
    talk = talk_to(door, dialect, f"to-{other}")
    with pytest.raises(talk.failures):
        talk.ask("Hello")


@pairs
@each_way
def test_a_refusal_keeps_its_words_and_status(dialect, other, stream, door):
    talk = talk_to(door, dialect, f"via-{other}", stream)
    with pytest.raises(talk.failures) as caught:
        talk.ask("[[status 429 retry-after 7]]")
    assert 429 in (getattr(caught.value, "status_code", 0), getattr(caught.value, "code", 0))
    assert "told to answer 429" in str(caught.value)
    assert caught.value.response.headers["retry-after"] == "7"


def test_what_cannot_be_carried_is_named(upstream, connect):
    upstream.answer(lambda exchange: exchange.reply(reply_bytes("messages", stream=False)))
    body = asking("chat", "to-messages", stream=False) | {"logit_bias": {"1": 2}, "seed": 3, "x_unknown": 1}
    client = connect().post("/v1/chat/completions", body).head()
    assert client.status == 200
    assert {"logit_bias", "seed", "x_unknown"} <= set(client.headers["x-gateway-dropped"].split(", "))
    client = connect().post("/v1/chat/completions", body, x_gateway_strict="1").head()
    assert client.status == 400
    assert "logit_bias" in client.json()["error"]["message"]
    assert len(upstream.exchanges) == 1
