"""/v1/responses/compact made with a model call."""

import json

import pytest
from openai.types.responses import CompactedResponse, ResponseCompactionItem, ResponseUsage

from gateway import json_text
from gateway.dialects.responses import read_request, write_request
from gateway.dialects.responses.compact import compact_prompt, compact_reply
from gateway.dialects.vocabulary import Choice, Completion, Finish, Reasoning, Target, Text
from gateway.errors import BadRequest, ChannelFailed
from gateway.usage import Usage
from tests.dialects.responses.responses_cases import asked

DOCUMENT = {
    "model": "gpt",
    "instructions": "Keep the decisions.",
    "input": [
        {"role": "user", "content": "Build me a page."},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hmm"}]},
        {"role": "assistant", "content": "Reading first."},
        {"type": "function_call", "call_id": "c", "name": "read", "arguments": '{"path":"a"}'},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "hello"}]},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Blue."}, {"type": "input_image", "image_url": "u"}],
        },
    ],
    "tools": [{"type": "function", "name": "read"}],
    "parallel_tool_calls": True,
}
SUMMARY = Completion("c1", "up", [Choice([Reasoning("hm"), Text("They want a blue page.")], Finish("stop"))],
                     Usage(100, 20, source="upstream"))  # fmt: skip


def _texts(turn):
    return [part.text for part in turn.parts if isinstance(part, Text)]


def test_the_prompt_tells_the_conversation_in_words():
    prompt = compact_prompt(DOCUMENT)
    brief, *told, ask = prompt.turns
    assert brief.role == "system" and _texts(brief)[0].endswith("Keep the decisions.")
    assert [turn.role for turn in told] == ["user", "assistant", "user", "user"]
    assert _texts(told[1]) == ["Reading first.", '[called read with {"path":"a"}]']
    assert _texts(told[2]) == ["[read answered:]", "hello"]
    assert ask.role == "user"
    assert (prompt.tools, prompt.tool_choice, prompt.stream, prompt.parallel_tool_calls) == ([], None, False, None)


def test_without_instructions_there_is_still_a_brief():
    prompt = compact_prompt({"model": "gpt", "input": "Build me a page."})
    assert [turn.role for turn in prompt.turns] == ["system", "user", "user"]


@pytest.mark.parametrize(
    ("member", "value"), [("previous_response_id", "resp_1"), ("input", None), ("input", []), ("input", 3)]
)
def test_what_cannot_be_compacted_is_refused(member, value):
    with pytest.raises(BadRequest) as refused:
        compact_prompt({**DOCUMENT, member: value})
    assert refused.value.fault.param == member


def test_the_reply_has_the_documented_shape():
    reply = compact_reply(SUMMARY, asked(compact_prompt(DOCUMENT)))
    assert reply.keys() == {"id", "object", "created_at", "output", "usage"}
    assert reply["object"] == "response.compaction"
    assert [item["type"] for item in reply["output"]] == ["message", "message", "compaction"]
    assert [item["content"][0]["text"] for item in reply["output"][:-1]] == ["Build me a page.", "Blue."]
    plain = json.loads(json_text.write(reply))
    ResponseCompactionItem.model_validate(plain["output"][-1])
    ResponseUsage.model_validate(plain["usage"])
    # The SDK's type has no user messages in ``output``, though it says that they are there.
    CompactedResponse.model_validate({**plain, "output": plain["output"][-1:]})


def test_usage_is_there_even_when_unknown():
    unknown = Completion("c", "up", SUMMARY.choices)
    assert compact_reply(unknown, asked(compact_prompt(DOCUMENT)))["usage"]["total_tokens"] == 0


def test_the_output_is_context_of_the_next_call():
    reply = compact_reply(SUMMARY, asked(compact_prompt(DOCUMENT)))
    following = {"model": "gpt", "input": [*reply["output"], {"role": "user", "content": "Go on."}]}
    turns = read_request(following).turns
    assert [turn.role for turn in turns] == ["user"] * 4
    assert _texts(turns[2])[0].endswith("They want a blue page.")
    written = write_request(read_request(following), Target("m")).document["input"]
    assert written[2]["content"][0]["text"].endswith("They want a blue page.")


def test_a_compaction_can_be_compacted_again():
    first = compact_reply(SUMMARY, asked(compact_prompt(DOCUMENT)))
    again = compact_prompt({"model": "gpt", "input": [*first["output"], {"role": "user", "content": "Go on."}]})
    reply = compact_reply(SUMMARY, asked(again))
    said = [item["content"][0]["text"] for item in reply["output"][:-1]]
    assert said == ["Build me a page.", "Blue.", "Go on."]
    assert sum(item["type"] == "compaction" for item in reply["output"]) == 1


def test_an_empty_summary_would_lose_the_conversation():
    with pytest.raises(ChannelFailed):
        compact_reply(Completion("c", "up", [Choice([Text(" \n")])]), asked(compact_prompt(DOCUMENT)))
    with pytest.raises(ChannelFailed):
        compact_reply(Completion("c", "up", []), asked(compact_prompt(DOCUMENT)))
