"""Whole replies: Anthropic's in neutral words, and anyone's to a Messages client."""

import pytest
from anthropic.types import Message
from anthropic.types.beta import BetaMessage

from gateway import json_text
from gateway.dialects import messages
from gateway.dialects.vocabulary import Citation, Text
from gateway.errors import ChannelAnswered, ChannelFailed
from gateway.usage import Usage
from tests.dialects.messages.messages_cases import asked, build, cases, load


@pytest.mark.parametrize("case", cases("own_replies"), ids=lambda path: path.stem)
def test_a_reply_survives_its_own_dialect(case):
    document = load(case)
    assert messages.write_reply(messages.read_reply(document), asked(model="claude-opus-4-8")) == document


@pytest.mark.parametrize("case", cases("written_replies"), ids=lambda path: path.stem)
def test_a_reply_of_another_dialect(case):
    told = load(case)
    completion = build(told["completion"])
    # Ids are asked for in the order of writing: the calls' first, then the message's.
    assert messages.write_reply(completion, asked()) == told["document"]


@pytest.mark.parametrize("case", cases("written_replies") + cases("own_replies"), ids=lambda path: path.stem)
def test_the_sdk_takes_what_is_written(case):
    told = load(case)
    completion = build(told["completion"]) if "completion" in told else messages.read_reply(told)
    text = json_text.write(messages.write_reply(completion, asked()))
    kind = BetaMessage if case.stem == "compaction" else Message
    kind.model_validate_json(text, strict=True)


@pytest.mark.parametrize("case", cases("broken_replies"), ids=lambda path: path.stem)
def test_a_reply_that_is_none(case):
    told = load(case)
    with pytest.raises(ChannelFailed) as failed:
        messages.read_reply(told["document"])
    assert {name: getattr(failed.value.fault, name) for name in told["fault"]} == told["fault"]
    is_error = isinstance(told["document"], dict) and told["document"].get("type") == "error"
    assert isinstance(failed.value, ChannelAnswered) == is_error


def test_usage_counts_the_cache_in():
    usage = {"input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 4, "output_tokens": 8}
    found = messages.read_reply({"content": [], "usage": usage}).usage
    assert found == Usage(input=7, output=8, cached=2, cache_write=4, source="upstream")


def test_usage_that_was_not_said_is_unknown():
    assert messages.read_reply({"content": []}).usage == Usage()
    assert messages.read_reply({"content": [], "usage": {"input_tokens": "7"}}).usage == Usage()


def test_an_unknown_stop_reason_is_the_nearest_one_and_kept():
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    finish = messages.read_reply({"content": [call], "stop_reason": "sleepy"}).choices[0].finish
    assert (finish.reason, finish.raw) == ("tool_calls", "sleepy")


def test_a_citation_in_neutral_words():
    raw = {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "q", "encrypted_index": "E"}
    reply = messages.read_reply({"content": [{"type": "text", "text": "four", "citations": [raw]}]})
    cited = Citation(url="u", title="t", quote="q", start=0, end=4, dialect="messages", raw=raw)
    assert reply.choices[0].parts == [Text("four", [cited])]
