"""Whole chat replies: an upstream's to a Completion, a Completion to the client's."""

import pytest
from openai.types.chat import ChatCompletion

from gateway import json_text
from gateway.dialects import chat
from gateway.dialects.vocabulary import Prompt, Reasoning, Target, Turn
from gateway.errors import ChannelFailed
from tests.dialects.chat.chat_cases import asked, cases, load, neutral, plain


@pytest.mark.parametrize("path", cases("read_reply"), ids=lambda path: path.stem)
def test_a_reply_is_read(path):
    case = load(path)
    assert plain(chat.read_reply(case["document"])) == case["completion"], case["why"]


@pytest.mark.parametrize("path", cases("write_reply"), ids=lambda path: path.stem)
def test_a_completion_is_written(path):
    case = load(path)
    written = chat.write_reply(neutral(case["completion"]), asked(neutral(case["prompt"])))
    assert written == case["document"], case["why"]


@pytest.mark.parametrize("path", cases("own_reply"), ids=lambda path: path.stem)
def test_a_chat_reply_comes_out_as_it_went_in(path):
    document = load(path)["document"]
    assert chat.write_reply(chat.read_reply(document), asked()) == document


@pytest.mark.parametrize("path", cases("failed_reply"), ids=lambda path: path.stem)
def test_a_reply_that_is_none_fails_the_channel(path):
    case = load(path)
    with pytest.raises(ChannelFailed) as caught:
        chat.read_reply(case["document"])
    fault = caught.value.fault
    assert {name: getattr(fault, name) for name in case["fault"]} == case["fault"], case["why"]


@pytest.mark.parametrize("path", cases("write_reply"), ids=lambda path: path.stem)
def test_what_is_written_is_openais_own_type(path):
    case = load(path)
    document = chat.write_reply(neutral(case["completion"]), asked(neutral(case["prompt"])))
    ChatCompletion.model_validate_json(json_text.write(document), strict=True)


@pytest.mark.parametrize("path", cases("read_reply"), ids=lambda path: path.stem)
def test_any_vendors_reply_becomes_openais_own_type(path):
    completion = chat.read_reply(load(path)["document"])
    completion.dialect = "messages"  # so that what only the vendor said is left out
    completion.service_tier = None
    for choice in completion.choices:
        for part in choice.parts:
            for citation in getattr(part, "citations", []):
                citation.dialect = "messages"
    ChatCompletion.model_validate_json(json_text.write(chat.write_reply(completion, asked())), strict=True)


@pytest.mark.parametrize("name", ["tool_calls", "redacted", "thinking_several", "thinking_summary"])
def test_a_client_that_sends_the_answer_back_unchanged_keeps_every_proof(name):
    case = load(next(path for path in cases("write_reply") if path.stem == name))
    completion = neutral(case["completion"])
    message = chat.write_reply(completion, asked())["choices"][0]["message"]
    history = [{"role": "user", "content": "hi"}, message, {"role": "user", "content": "go on"}]
    turn = chat.read_request({"model": "m", "messages": history}).turns[1]
    thoughts = [part for part in completion.choices[0].parts if isinstance(part, Reasoning)]
    assert [part for part in turn.parts if isinstance(part, Reasoning)] == thoughts != []


def test_a_proof_is_not_sent_to_an_upstream_that_does_not_know_the_member():
    prompt = Prompt("messages", "m", [Turn("assistant", [Reasoning("hm", "S", dialect="messages")])])
    assert chat.write_request(prompt, Target("up")).dropped == ["part.reasoning"]


def test_ids_that_the_upstream_did_not_give_are_made_by_the_gateway():
    document = {"choices": [{"message": {"tool_calls": [{"function": {"name": "f"}}]}, "finish_reason": "stop"}]}
    written = chat.write_reply(chat.read_reply(document), asked(Prompt("chat", "m")))
    call = written["choices"][0]["message"]["tool_calls"][0]
    assert (written["id"], call["id"], call["function"]["arguments"]) == ("chatcmpl-1", "call_2", "{}")
