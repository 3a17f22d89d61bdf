"""Usage out of answers of every dialect, however they are cut; each case a file in cases/usage."""

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bodies import JsonBody
from gateway.plugin_manager import Plugin, Source
from gateway.token_count import estimated_input, weighed
from gateway.usage import ESTIMATED, PARTIAL, UPSTREAM, Usage
from gateway.usage_reading import MEASURED, UsageTap, tap_for
from tests.usage_cases import CASES, call_of

STREAMS = [case for case in CASES if case.form != "document"]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_stream = pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)


@each_case
def test_the_usage_of_an_answer(case):
    assert case.measured(1 << 20) == case.usage


@each_stream
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_it_is_the_same_however_the_stream_is_cut(case, size):
    assert case.measured(size) == case.usage


@each_stream
def test_it_is_the_same_wherever_the_stream_is_cut_once(case):
    for size in range(1, len(case.data), 3):
        assert case.measured(max(size, len(case.data) - size)) == case.usage


@pytest.mark.parametrize("case", [c for c in STREAMS if c.usage.source == UPSTREAM], ids=lambda case: case.name)
@pytest.mark.parametrize("size", [40, 150, 4000])
def test_what_the_upstream_says_is_found_in_events_that_are_passed_on_in_pieces(case, size):
    assert replace(case, form="parts").measured(size) == case.usage


@each_case
def test_without_counting_nothing_is_made_up(case):
    usage = case.measured(1 << 20, counting=False)
    assert usage.source != ESTIMATED
    if case.usage.source == UPSTREAM:
        assert usage == case.usage


def test_every_source_of_usage_has_a_case_in_every_dialect():
    told = {(case.dialect, case.usage.source) for case in CASES}
    for dialect in ("chat", "responses", "messages", "gemini"):
        assert {(dialect, UPSTREAM), (dialect, PARTIAL)} <= told
    assert {case.operation for case in CASES} >= MEASURED - {"moderations"}


# --- whatever comes -----------------------------------------------------------------------------------

COUNTS = st.none() | st.integers(-5, 10**9)
USAGES = st.builds(Usage, *[COUNTS] * 8)
PIECES = st.lists(
    st.binary(max_size=40)
    | st.sampled_from([b'data: {"usage":{', b'"usage":{"prompt_tokens":', b"7}", b"\n\n", b'"usageMetadata":{}'])
    | st.sampled_from([b'{"usage":[[', b'{"choices":[{"usage":{}', b'"usage" : {"input_tokens":1e999}}', b"[{"])
)


@given(USAGES)
def test_the_kinds_are_apart_and_add_up(usage):
    kinds = usage.apart()
    assert min(kinds.values()) >= 0
    assert sum(kinds.values()) == max(usage.input or 0, 0) + max(usage.output or 0, 0)
    assert sum(kinds[name] for name in ("output", "reasoning", "output_audio")) == max(usage.output or 0, 0)


@given(PIECES, st.sampled_from(["chat", "responses", "messages", "gemini"]), st.booleans(), st.booleans())
def test_any_bytes_pass_unchanged_and_come_to_some_usage(pieces, dialect, whole, complete):
    tap = UsageTap(call_of(dialect), dialect)
    for piece in pieces:
        assert (tap.feed(piece) if whole else tap.part(piece)) is piece
    assert tap.close() == b""
    assert isinstance(tap.usage(complete), Usage)


@given(st.lists(st.sampled_from(STREAMS[0].data.splitlines(True) + [b"x" * 70, b"\x00\xff"]), max_size=12))
def test_a_damaged_document_raises_nothing(lines):
    tap = UsageTap(call_of("chat", stream=False), "chat")
    tap.look(b"{" + b"".join(lines))
    assert isinstance(tap.usage(True), Usage)


class Broken(bytes):
    """Bytes that cannot be looked into."""

    def __contains__(self, item):
        raise RuntimeError("no")


def test_a_failure_inside_touches_nothing_and_is_logged_once(caplog):
    tap = UsageTap(call_of("chat", request={"messages": []}), "chat")
    piece = Broken(b"data: {}\n\n")
    with caplog.at_level(logging.ERROR, "gateway.usage"):
        assert [tap.feed(piece) is piece for _ in range(3)] == [True] * 3
    assert len(caplog.records) == 1
    assert tap.usage(True) == Usage(input=4, output=0, source=ESTIMATED)


def test_a_long_stream_is_not_kept():
    tap = UsageTap(call_of("chat"), "chat")
    event = b'data: {"choices":[{"delta":{"content":"word "}}],"usage":{"prompt_tokens":1,"completion_tokens":%d}}\n\n'
    for number in range(5000):
        tap.feed(event % number)
    assert sum(map(len, tap._kept)) + sum(map(len, tap._output._pieces)) < 20_000
    assert tap.usage(True).output == 4999


def test_a_large_event_is_searched_at_its_end():
    """What a Responses stream with pictures ends with: megabytes, and the usage behind them."""
    start = b'event: response.completed\ndata: {"type":"response.completed","response":{"output":[{"result":"'
    end = b'"}],"usage":{"input_tokens":12,"output_tokens":34,"total_tokens":46},"user":null}}\n\n'
    data = start + b"A" * 700_000 + end
    for size in (1000, 65536, len(data) - 40):
        tap = UsageTap(call_of("responses", request={"input": "x"}), "responses")
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        for piece in pieces[:-1]:
            tap.part(piece)
        tap.feed(pieces[-1])
        assert tap.usage(True) == Usage(input=12, output=34, source=UPSTREAM)


def test_a_body_that_cannot_be_read_is_estimated_by_its_size():
    tap = UsageTap(call_of("chat", stream=False, request={"messages": []}), "chat")
    tap.part(bytes(range(256)) * 40)
    assert tap.usage(True) == Usage(input=estimated_input(tap._call), output=2560, source=ESTIMATED)


def plugin_that(read):
    """A provider's plugin with that read_usage."""
    return Plugin(Source("own", "own.py", "", None), {"read_usage": lambda channel, document: [read(document)]})


def stream_read_by(read, *pieces, complete=True):
    tap = tap_for(call_of("chat", request={"messages": []}), None, "chat", plugin_that(read), True)
    for piece in pieces:
        assert tap.feed(piece) is piece
    return tap.usage(complete)


TICKS = [b'data: {"ticks":3}\n\n', b'data: [DONE]\n\ndata: {"ticks":5,"usage":{"prompt_tokens":1}}\n\n']


def test_a_plugins_word_goes_before_the_dialects_and_is_taken_as_it_is():
    own = stream_read_by(lambda document: Usage(output=document["ticks"], source=UPSTREAM), *TICKS)
    assert own == Usage(output=5, source=UPSTREAM)


@pytest.mark.parametrize("answer", [None, "nonsense", 7])
def test_a_plugin_that_says_nothing_leaves_it_to_the_dialect(answer):
    assert stream_read_by(lambda document: answer, *TICKS) == Usage(input=1, source=UPSTREAM)


def test_a_plugin_that_fails_is_not_felt():
    assert stream_read_by(lambda document: document["missing"], *TICKS) == Usage(input=1, source=UPSTREAM)


@pytest.mark.parametrize("operation", ["stored_responses", "files", "batches", "models", "count_tokens"])
def test_what_was_counted_elsewhere_is_not_counted_again(operation):
    assert tap_for(call_of("responses", operation), None, "responses", None, True) is None


# --- the input ---------------------------------------------------------------------------------------


def test_a_large_body_is_weighed_and_pictures_in_it_are_pictures():
    text = "A sentence of some words. " * 20_000
    body = b'{"messages":[{"role":"user","content":"%b"}]}' % text.encode()
    picture = b'{"url":"data:image/png;base64,%b"}' % (b"iVBORw0K" * 50_000)
    assert 100_000 < weighed(body) < 200_000
    assert weighed(picture) < 2000
    call = call_of("chat")
    call.body = JsonBody(body)
    assert estimated_input(call) == weighed(body)


def test_a_body_that_is_no_request_is_weighed():
    call = call_of("chat", request={"messages": "nonsense"})
    assert estimated_input(call) == weighed(call.body.data)
