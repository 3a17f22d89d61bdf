"""A call is let go of when it ends, with its body, and not only when garbage is looked for."""

import gc

import pytest

from gateway.dialects.chat.open_parts import OpenParts
from gateway.domain import Call
from gateway.trying.hedging import SharedWatch

YAML = """
routing: {retries: 1, hedge_after: 0.001}
health: {enabled: false}
channels:
  - {name: first, provider: echo, models: [m], priority: 1}
  - {name: second, provider: echo, models: [m]}
  - {name: chat, provider: openai, key: k, models: [other], base_url: https://chat.test}
"""
CHAT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\ndata: [DONE]\n\n'


@pytest.fixture(name="client")
def _client(client_of):
    return client_of(YAML)


@pytest.fixture(name="left")
def _left():
    """left() -> the calls (and what belongs to them) that are still there, garbage not having been looked for."""
    gc.collect()
    gc.disable()
    before = {id(each) for each in living()}
    yield lambda: [each for each in living() if id(each) not in before]
    gc.enable()


def living():
    return [each for each in gc.get_objects() if isinstance(each, Call | OpenParts | SharedWatch)]


def asking(text, model="m", stream=False):
    return {"model": model, "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": text}]}


def served(sent, client, path, asked):
    """All that came, the answer itself being let go of."""
    with sent(client, path, asked) as answer:
        try:
            return answer.data
        except ConnectionResetError:  # broken, as it was to be
            return b"broken"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "text", ["Hello", "[[status 500]] x", "[[status 400]] x", "[[status 401]] x", "[[cut]] x", "[[cut after 1]] a b c"]
)
def test_nothing_of_a_call_stays(text, stream, client, sent, left):
    assert served(sent, client, "/v1/chat/completions", asking(text, stream=stream))
    assert left() == []


def test_nor_of_one_that_is_left_in_the_middle(client, sent, left):
    answer = sent(client, "/v1/chat/completions", asking("[[words 50]]", stream=True), buffered=False)
    assert next(iter(answer.response))
    answer.close()
    del answer
    assert left() == []


def test_nor_of_a_translated_one(client, sent, network, left):
    network.post("https://chat.test/v1/chat/completions", body=CHAT, content_type="text/event-stream")
    assert b"message_stop" in served(sent, client, "/v1/messages", asking("Hello", "other", stream=True))
    assert left() == []
