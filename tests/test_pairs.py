"""Every client dialect on a channel of every other: the cases of tests/cases/CLIENT-CHANNEL/.

One YAML file is one case; a new case is a new file. All documents are the wire's own JSON (YAML
in flow or block style; a plain word is what it would be in JSON, otherwise text; a text in place
of a document is JSON as it stands). Members, those that apply:

    about             one line: which rule, where it is from (required)
    request           the client's document
    model, streaming  of a Gemini client: what its URL says (default: public, and whether the case
                      has a stream)
    traits            of the channel's vendor, as in vocabulary.Target
    upstream_model    the channel's name of the model (default: up)
    fetched           {URL: {data, media_type}}: what fetching gives where the channel wants bytes
    upstream_request  the document for the channel; max_tokens 8192 at need
    dropped           what could not be said, in the client's names; without it nothing was dropped
    error             the refusal instead: members of errors.Fault, those that matter
    upstream_reply    the channel's whole reply, and
    reply             the client's, and
    left_out          what of it the client's dialect cannot say; without it nothing was left out; or
    reply_error       the failure instead (members of errors.Fault)
    upstream_stream   the bytes of the channel's stream, and
    stream            the client's events (text block); their data is compared as JSON
    array             of a Gemini client without alt=sse: the chunks of the array
    broken            true: the connection broke behind the last byte of upstream_stream
    next_request      the client's next document, after the reply and after the stream (or with a
                      history of its own): ``$reply`` in a list is what the client keeps of the answer
    next_upstream_request, next_dropped   what becomes of it

A member ``...`` in an expected object stands for members that the case is not about. Without
``request`` the client said hi, a chat client asking for usage. Ids that the gateway makes count
from 1 (``call_1``, ``chatcmpl-2``); the time is 1735689600.

Whatever a case says, everything written must also be what the official SDKs' types allow, and a
stream must come out the same however its bytes were cut.
"""

import pytest

from gateway import json_text, sse
from gateway.errors import BadRequest, ChannelFailed
from tests import kept_answers, sdk_types
from tests.pair_cases import CUTS, PAIRS, as_json, case_id, cases, matched, told, with_reply

MEMBERS = set(
    "about request model streaming traits upstream_model fetched upstream_request dropped error"
    " upstream_reply reply left_out reply_error upstream_stream stream array broken"
    " next_request next_upstream_request next_dropped".split()
)
# What the client keeps of the answer that a case shows.
KEPT = {
    "reply": lambda case: kept_answers.WHOLE[case.names[0]](case.reply(case.prompt())),
    "stream": lambda case: kept_answers.STREAMED[case.names[0]](told(case.stream(case.prompt(), CUTS[-1]))),
    "nothing": lambda case: [],
}
SHOWS = {"upstream_request", "error", "reply", "reply_error", "stream", "array", "next_upstream_request"}


def after_answers():
    found = cases(member="next_request")
    return [(case, form) for case in found for form in ("reply", "stream") if form in case] + [
        (case, "nothing") for case in found if "reply" not in case and "stream" not in case
    ]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_has_cases(pair):
    assert len(cases(pair)) >= 25


@pytest.mark.parametrize("case", cases(), ids=case_id)
def test_a_case_says_only_what_is_read(case):
    assert set(case.said) <= MEMBERS, case.said.get("not YAML")
    assert set(case.said) & SHOWS, "the case expects nothing"


@pytest.mark.parametrize("case", cases(member="upstream_request"), ids=case_id)
def test_a_request(case):
    document, dropped = case.write(case.prompt())
    assert matched(case.document("upstream_request"), document) == document, case.about
    assert dropped == case.said.get("dropped", []), case.about
    sdk_types.REQUESTS[case.names[1]](document)


@pytest.mark.parametrize("case", cases(member="error"), ids=case_id)
def test_a_refused_request(case):
    with pytest.raises(BadRequest) as refused:
        case.write(case.prompt())
    assert as_fault(refused, case.said["error"]) == case.said["error"], case.about


@pytest.mark.parametrize("case", cases(member="reply"), ids=case_id)
def test_a_reply(case):
    reply = case.reply(case.prompt())
    assert matched(case.document("reply"), reply) == reply, case.about
    sdk_types.REPLIES[case.names[0]](reply)
    assert case.left_out(case.prompt()) == case.said.get("left_out", []), case.about


@pytest.mark.parametrize("case", cases(member="reply_error"), ids=case_id)
def test_a_failed_reply(case):
    with pytest.raises(ChannelFailed) as failed:
        case.reply(case.prompt())
    assert as_fault(failed, case.said["reply_error"]) == case.said["reply_error"], case.about


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("case", cases(member="stream"), ids=case_id)
def test_a_stream(case, size):
    written = case.stream(case.prompt(), size)
    found, expected = told(written), told(case.said["stream"].encode())
    assert matched(expected, found) == found, case.about
    assert written.count(b"\n\n") == len(found), "something beside the events"
    for name, data in found:
        if name != "error" and "error" not in data:
            sdk_types.EVENTS[case.names[0]](name, data)


@pytest.mark.parametrize("case", cases(member="stream"), ids=case_id)
def test_a_stream_leaves_nothing_that_a_client_would_split_at(case):
    text = case.stream(case.prompt(), CUTS[-1]).decode()
    assert not set(text) & set("\u2028\u2029\u0085\r\0"), case.about


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("case", cases(member="array"), ids=case_id)
def test_an_array(case, size):
    found = json_text.parse(case.stream(case.prompt(), size, "ArrayWriter"))
    assert matched(case.document("array"), found) == found, case.about


@pytest.mark.parametrize("case, kept", after_answers(), ids=str)
def test_the_next_request(case, kept):
    history = KEPT[kept](case)
    document, dropped = case.write(case.read(with_reply(case.document("next_request"), history)))
    assert matched(case.document("next_upstream_request"), document) == document, case.about
    assert dropped == case.said.get("next_dropped", []), case.about
    sdk_types.REQUESTS[case.names[1]](document)


def as_fault(raised, expected):
    return as_json({name: getattr(raised.value.fault, name) for name in expected})


def test_a_case_with_an_unexpected_member_would_fail():
    found = {"a": 1, "b": [{"c": 2}]}
    assert matched({"a": 1, "b": [{"c": 3}]}, found) != found
    assert matched({"a": 1}, found) != found
    assert matched({"a": 1, "b": []}, found) != found
    assert matched({"...": "", "b": [{"c": 2, "d": 1}]}, found) != found
    assert matched({"...": "", "b": [{"c": 2}]}, found) == found


def test_what_is_compared_is_all_there_is():
    assert told(b'event: a\ndata: {"b":1}\n\n: comment\n\ndata: [DONE]\n\n') == [("a", {"b": 1}), ("", "[DONE]")]
    assert len(sse.events(b"data: 1\n\n")) == 1
