"""Whole replies, and what a conversation keeps when a client sends them back."""

import pytest

from gateway import json_text
from gateway.dialects.responses import read_reply, read_request, write_reply
from gateway.dialects.responses.carrier import PREFIX, pack, unpack
from gateway.dialects.vocabulary import (
    Choice,
    Citation,
    Completion,
    Finish,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from gateway.errors import ChannelFailed
from gateway.usage import Usage
from tests.dialects.responses.responses_cases import asked, load, names, plain


def _completion(*parts, finish="stop", **members):
    return Completion("chatcmpl-1", "up", [Choice(list(parts), Finish(finish))], **members)


def _history(*parts) -> list:
    """The parts of the assistant's turn when a client sends back what *parts* were written as."""
    reply = write_reply(_completion(*parts), asked())
    document = {"model": "m", "input": [{"role": "user", "content": "hi"}, *reply["output"]]}
    turns = read_request(json_text.parse(json_text.write(document))).turns
    assert [turn.role for turn in turns] == ["user", "assistant"]
    return turns[1].parts


@pytest.mark.parametrize("name", names("read_reply"))
def test_a_reply_is_read(name):
    case = load("read_reply", name)
    assert plain(read_reply(case["document"])) == case["completion"]


@pytest.mark.parametrize("name", names("failed_reply"))
def test_a_reply_that_is_none_is_the_channels_failure(name):
    case = load("failed_reply", name)
    with pytest.raises(ChannelFailed) as failed:
        read_reply(case["document"])
    assert (failed.value.fault.status, failed.value.fault.code) == (case["status"], case["code"])


@pytest.mark.parametrize("name", names("own_reply"))
def test_a_reply_of_its_own_comes_back_equal(name):
    case = load("own_reply", name)
    reply = write_reply(read_reply(case["reply"]), asked(read_request(case["prompt"])))
    assert json_text.parse(json_text.write(reply)) == case["reply"]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("stop_sequence", "completed", None),
        ("tool_calls", "completed", None),
        ("refusal", "incomplete", "content_filter"),
        ("length", "incomplete", "max_output_tokens"),
        ("context_length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("pause", "incomplete", None),
        ("error", "failed", None),
    ],
)
def test_each_finish_has_its_status(finish, status, reason):
    reply = write_reply(_completion(Text("x"), finish=finish), asked())
    assert reply["status"] == status
    assert (reply["incomplete_details"] or {}).get("reason") == reason
    assert (reply["completed_at"] is not None) == (status == "completed")
    assert (reply["error"] is not None) == (status == "failed")


def test_usage_holds_its_details_and_is_null_when_unknown():
    usage = Usage(10, 5, cached=4, cache_write=3, reasoning=2, source="upstream")
    assert write_reply(_completion(Text("x"), usage=usage), asked())["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }
    assert write_reply(_completion(Text("x")), asked())["usage"] is None


def test_the_client_sees_the_model_it_named_and_ids_of_this_protocol():
    reply = write_reply(_completion(Text("x"), created=5, service_tier="standard"), asked())
    assert (reply["model"], reply["id"], reply["created_at"], reply["service_tier"]) == ("gpt", "resp_1", 5, "default")
    kept = write_reply(Completion("resp_up", "up", []), asked())
    assert (kept["id"], kept["output"], kept["status"]) == ("resp_up", [], "completed")


def test_hosted_tools_that_the_upstream_never_saw_are_not_repeated():
    prompt = read_request(
        {"model": "m", "input": "x", "tools": [{"type": "web_search"}, {"type": "custom", "name": "p"}]}
    )
    assert write_reply(_completion(Text("x")), asked(prompt))["tools"] == [{"type": "custom", "name": "p"}]


# --- proofs of other dialects survive a round trip through a client ------------------------------


def test_anthropics_signature_comes_back():
    parts = _history(Reasoning("let me \u2028 think \ud83d\ude00", signature="SIG==", dialect="messages"), Text("ok"))
    thought = parts[0]
    assert (thought.signature, thought.dialect, thought.encrypted) == ("SIG==", "messages", None)
    assert thought.text == "let me \u2028 think \U0001f600"


def test_redacted_thinking_comes_back():
    thought = _history(Reasoning(encrypted="RED", dialect="messages"), Text("ok"))[0]
    assert (thought.text, thought.encrypted, thought.dialect) == ("", "RED", "messages")


def test_thought_signatures_come_back_to_their_parts():
    call, second = ToolCall("c1", "f", "{}", signature="S2"), ToolCall("c2", "f", "{}", signature="S3")
    parts = _history(Text("x", signature="S1"), call, second, Text("", signature="S4"))
    assert [(type(part).__name__, part.signature) for part in parts] == [
        ("Text", "S1"),
        ("ToolCall", "S2"),
        ("ToolCall", "S3"),
        ("Text", "S4"),
    ]


def test_its_own_encrypted_thinking_stays_as_it_is():
    thought = _history(Reasoning("t", encrypted="gAAA", id="rs_9", summary=True, dialect="responses"), Text("ok"))[0]
    assert (thought.encrypted, thought.id, thought.dialect) == ("gAAA", "rs_9", "responses")


def test_unproven_thinking_comes_back_without_a_proof():
    thought = _history(Reasoning("hmm"), Text("ok"))[0]
    assert (thought.text, thought.encrypted, thought.signature) == ("hmm", None, None)


def test_images_come_back():
    parts = _history(Text("see"), Media("image", data="AAAA", media_type="image/webp"))
    assert (parts[1].kind, parts[1].data, parts[1].media_type) == ("image", "AAAA", "image/webp")


def test_words_calls_and_citations_come_back():
    cited = Text("abc", citations=[Citation(url="https://e.org", title="t", dialect="messages", raw={"x": 1})])
    parts = _history(
        cited, Refusal("no"), ToolCall("toolu_1", "f", ""), Opaque("messages", {"type": "server_tool_use"})
    )
    assert [type(part).__name__ for part in parts] == ["Text", "Refusal", "ToolCall"]
    assert (parts[0].citations[0].url, parts[0].citations[0].end) == ("https://e.org", 3)
    assert (parts[2].id, parts[2].arguments) == ("toolu_1", "{}")


@pytest.mark.parametrize("text", ["", "gAAA", PREFIX, PREFIX + "?", PREFIX + "AAAA", PREFIX + "bnVsbA==", PREFIX + "é"])
def test_what_is_not_ours_is_not_unpacked(text):
    assert unpack(text) is None


def test_what_is_ours_is():
    assert unpack(pack({"a": "\ud83d", "b": [1, None]})) == {"a": "\ud83d", "b": [1, None]}


def test_a_forged_carrier_does_no_harm():
    for packed in ({"call": 3}, {"said": []}, {"compaction": {}}, {"dialect": 5, "signature": [], "text": {}}):
        item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": pack(packed)}
        read_request({"model": "m", "input": [item]})
