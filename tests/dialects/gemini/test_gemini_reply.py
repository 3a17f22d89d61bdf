"""Whole replies: read, written, and there and back again."""

import pytest
from google.genai import types
from hypothesis import given

from gateway import json_text
from gateway.dialects import gemini
from gateway.dialects.gemini import faults, finishes
from gateway.dialects.vocabulary import FINISHES
from gateway.errors import ChannelFailed, Fault
from gateway.usage import Usage
from tests.dialects.gemini.gemini_cases import DOCUMENTS, asked, by_name, damaged, files, from_data, load, to_data


@pytest.mark.parametrize("path", files("reply_own"), ids=by_name)
def test_a_reply_survives_its_own_dialect(path):
    document = load(path)["document"]
    assert gemini.write_reply(gemini.read_reply(document), asked()) == document


@pytest.mark.parametrize("path", files("reply_read"), ids=by_name)
def test_a_reply_is_read(path):
    case = load(path)
    if "completion" in case:
        assert to_data(gemini.read_reply(case["document"])) == case["completion"]
        return
    with pytest.raises(ChannelFailed) as failure:
        gemini.read_reply(case["document"])
    assert to_data(failure.value.fault) | {"class": type(failure.value).__name__} == case["fault"]


@pytest.mark.parametrize("path", files("reply_write"), ids=by_name)
def test_a_neutral_completion_is_written(path):
    case = load(path)
    asked_for = asked()
    asked_for.prompt.reasoning = from_data(case.get("reasoning"))
    written = gemini.write_reply(from_data(case["completion"]), asked_for)
    assert written == case["document"]
    reply = types.GenerateContentResponse.model_validate_json(json_text.write(written))
    assert reply.candidates[0].finish_reason in types.FinishReason.__members__.values()
    # What the SDK's chat asks of an answer before it keeps it.
    assert all(part != types.Part() for part in reply.candidates[0].content.parts)


@given(DOCUMENTS)
def test_no_document_makes_the_reader_raise_anything_else(document):
    for reply in (document, {"candidates": [document]}, {"candidates": [{"content": {"parts": [document]}}]}):
        try:
            completion = gemini.read_reply(reply)
        except ChannelFailed:
            continue
        gemini.write_reply(completion, asked())
        completion.dialect = "chat"
        gemini.write_reply(completion, asked())


@pytest.mark.parametrize("path", files("reply_own") + files("reply_read"), ids=by_name)
def test_no_damage_to_a_reply_makes_the_reader_raise_anything_else(path):
    for document in damaged(load(path)["document"]):
        try:
            completion = gemini.read_reply(document)
        except ChannelFailed:
            continue
        for dialect in ("gemini", "chat"):
            completion.dialect = dialect
            gemini.write_reply(completion, asked())


def test_every_neutral_finish_has_a_word_of_googles():
    for reason in FINISHES:
        written = finishes.write(from_data({"$": "Finish", "reason": reason, "raw": "theirs"}))
        assert written["finishReason"] in types.FinishReason.__members__


def test_every_finish_that_the_sdk_knows_is_read():
    for word in types.FinishReason.__members__:
        finish = finishes.read(word, calls=False)
        if word == "FINISH_REASON_UNSPECIFIED":
            assert finish is None
        else:
            assert word in finishes._REASONS and finish.reason in FINISHES and finish.raw == word


def test_usage_is_the_same_after_a_round_trip():
    usage = Usage(input=10, output=9, cached=4, input_audio=3, output_audio=1, reasoning=5, source="upstream")
    assert gemini.reply.token_counts.read(gemini.reply.token_counts.write(usage)) == usage


@given(DOCUMENTS)
def test_any_error_is_a_fault_and_any_fault_an_error(error):
    fault = faults.read(error)
    assert isinstance(fault, Fault) and 400 <= fault.status <= 599 and isinstance(fault.message, str)
    assert list(faults.write(fault)) == ["error"]


def test_words_of_an_error_are_kept():
    fault = Fault(429, "rate_limited", "slow", code="rate_limit", type="RESOURCE_EXHAUSTED", retry_after=1.5)
    again = faults.read(faults.write(fault)["error"])
    assert (again.status, again.message, again.code, again.type, again.retry_after) == (
        429, "slow", "rate_limit", "RESOURCE_EXHAUSTED", 1.5,
    )  # fmt: skip
