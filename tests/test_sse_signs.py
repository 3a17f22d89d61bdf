"""What is looked for in a stream's bytes without taking it apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import sse
from gateway.dialects.registry import FACES

_LINES = st.sampled_from([b"data: a", b"data:b", b": comment", b"event: x", b"id: 1", b"", b"data"])


@given(st.lists(_LINES, max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_the_first_event_is_the_first_of_all(lines, end):
    whole = b"".join(line + end for line in lines)
    assert sse.first_event(whole) == next(iter(sse.events(whole)), None)


ENDINGS = [
    ("chat", b'data: {"choices":[{"finish_reason" : "stop"}]}\n\n', True),
    ("chat", b'data: {"choices":[{"finish_reason":null}]}\n\n', False),
    ("chat", b'data: {"choices":[]}\n\ndata: [DONE]\n\n', True),
    ("chat", b"data:[DONE]\r\n\r\n", True),
    ("chat", b'data: {"content":"it ends with data: [DONE] and \\"finish_reason\\":\\"stop\\""}\n\n', False),
    ("messages", b"event: message_stop\ndata: {}\n\n", True),
    ("messages", b'data: {"type": "message_stop"}\n\n', True),
    ("messages", b'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"}}\n\n', True),
    ("messages", b'data: {"stop_reason":null,"text":"event: message_stop"}\n\n', False),
    ("gemini", b'data: {"candidates":[{"finishReason": "STOP"}]}\n\n', True),
    ("gemini", b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\n\n', True),
    ("gemini", b'data: {"text":"\\"finishReason\\":\\"STOP\\""}\n\n', False),
    ("responses", b'event: response.completed\ndata: {"type":"response.completed"}\n\n', True),
    ("responses", b'data: { "type" : "response.incomplete"}\n\n', True),
    ("responses", b'data: {"type":"response.output_text.delta","delta":"response.completed"}\n\n', False),
]


@pytest.mark.parametrize(("dialect", "whole", "seen"), ENDINGS)
def test_endings_are_told_from_talk_about_them(dialect, whole, seen):
    assert FACES[dialect].END.seen(whole) is seen
