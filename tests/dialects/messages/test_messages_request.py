"""Requests: what a Messages client sends, and what is sent to Anthropic for others."""

from dataclasses import fields
from decimal import Decimal

import pytest

from gateway import json_text
from gateway.dialects import messages
from gateway.dialects.vocabulary import Media, Opaque, Prompt, Reasoning, Target, Text, ToolCall, ToolResult, Turn
from gateway.errors import BadRequest
from tests.dialects.messages.messages_cases import asked, build, cases, dump, load


@pytest.mark.parametrize("case", cases("own_requests"), ids=lambda path: path.stem)
def test_a_request_survives_its_own_dialect(case):
    document = load(case)
    prompt = messages.read_request(document)
    written = messages.write_request(prompt, Target(document["model"]))
    assert written.document == document
    assert written.dropped == []
    assert load(case) == document, "the client's document was changed"


@pytest.mark.parametrize("case", cases("own_requests"), ids=lambda path: path.stem)
def test_numbers_and_texts_come_out_as_they_went_in(case):
    document = load(case)
    written = messages.write_request(messages.read_request(document), Target(document["model"]))
    again = json_text.parse(json_text.write(written.document))
    assert again == document


@pytest.mark.parametrize("case", cases("written_requests"), ids=lambda path: path.stem)
def test_a_prompt_of_another_dialect(case):
    told = load(case)
    target = Target(told["target"]["model"], frozenset(told["target"].get("traits", [])))
    written = messages.write_request(build(told["prompt"]), target)
    assert written.document == told["document"]
    assert written.dropped == told["dropped"]


@pytest.mark.parametrize("case", cases("read_requests"), ids=lambda path: path.stem)
def test_a_request_in_neutral_words(case):
    told = load(case)
    prompt = messages.read_request({"model": "m", "messages": []} | told["document"])
    neutral = dump(prompt)
    assert {name: neutral.get(name) for name in told["neutral"]} == told["neutral"]


@pytest.mark.parametrize("case", cases("refused_requests"), ids=lambda path: path.stem)
def test_a_request_that_is_refused(case):
    told = load(case)
    with pytest.raises(BadRequest) as refused:
        messages.read_request(told["document"])
    fault = refused.value.fault
    assert {name: getattr(fault, name) for name in told["fault"]} == told["fault"]


def test_the_path_names_model_and_stream():
    prompt = messages.read_request({"model": "a", "messages": []}, model="b", stream=True)
    assert (prompt.model, prompt.stream) == ("b", True)


def test_tool_results_stand_before_the_words_that_came_with_them():
    content = [{"type": "text", "text": "go"}, {"type": "tool_result", "tool_use_id": "t", "content": "r"}]
    prompt = messages.read_request({"model": "m", "messages": [{"role": "user", "content": content}]})
    assert [turn.role for turn in prompt.turns] == ["tool", "user"]
    assert prompt.turns[0].parts == [ToolResult("t", [Text("r")])]


def test_an_expired_system_message_is_not_shown_to_other_models():
    system = {"role": "system", "content": "old news", "clear_at": "next_user_message"}
    said = [{"role": "user", "content": "a"}, system, {"role": "user", "content": "b"}]
    prompt = messages.read_request({"model": "m", "messages": said})
    assert all(part != Text("old news") for turn in prompt.turns for part in turn.parts)


def test_lost_members_of_blocks_are_named_for_other_dialects():
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}, "toolset_name": "b"}
    prompt = messages.read_request({"model": "m", "messages": [{"role": "assistant", "content": [call]}]})
    assert list(prompt.rest) == ["messages.content.toolset_name"]


def test_proofs_of_others_go_through_a_messages_client():
    """What write_reply seals for the client, read_request opens when it comes back."""
    proofs = [
        Reasoning("why", encrypted="ENC", id="rs_1", summary=True, pieces=["why"], dialect="responses"),
        Reasoning("", encrypted="ENC", id="rs_2", dialect="responses"),
        Reasoning("hm", signature="SIG", dialect="gemini"),
        ToolCall("c1", "f", '{"a":1}', signature="CALLSIG"),
        ToolCall("c2", "f", "{}"),
    ]
    completion = build({"is": "Completion", "id": "x", "model": "m", "choices": [], "dialect": "gemini"})
    completion.choices = [build({"is": "Choice", "parts": []})]
    completion.choices[0].parts = proofs
    content = messages.write_reply(completion, asked())["content"]
    assert all(block["type"] in ("thinking", "tool_use") for block in content)
    back = messages.read_request({"model": "m", "messages": [{"role": "assistant", "content": content}]})
    assert back.turns[0].parts == proofs


@pytest.mark.parametrize(
    "signature", ["gateway1.", "gateway1.!!!", "gateway1.bnVsbA==", "gateway1.eyJvZiI6ImNhbGwiLCJzaWduYXR1cmUiOjF9"]
)
def test_a_made_up_seal_is_a_signature_like_any_other(signature):
    block = {"type": "thinking", "thinking": "", "signature": signature}
    back = messages.read_request({"model": "m", "messages": [{"role": "assistant", "content": [block]}]})
    assert back.turns[0].parts == [Reasoning("", signature=signature, dialect="messages")]


def test_what_must_be_fetched():
    pdf, page = Media("file", url="https://x/a.pdf"), Media("file", url="https://x/a", media_type="text/html")
    image, inner = Media("image", url="https://x/i"), Media("image", url="http://x/j")
    local = [Media("image", url="file:///etc/passwd"), Media("audio", url="https://x/s"), Media("image", file_id="f")]
    turns = [Turn("user", [pdf, page, image, *local]), Turn("tool", [ToolResult("t", [Text("a"), inner])])]
    prompt = Prompt("chat", "m", turns)
    assert messages.to_fetch(prompt, Target("m")) == [page]
    assert messages.to_fetch(prompt, Target("m", frozenset({"no_image_url"}))) == [page, image, inner]
    everything = messages.to_fetch(prompt, Target("m", frozenset({"no_image_url", "no_file_url"})))
    assert everything == [pdf, page, image, inner]


def test_writing_does_not_change_the_prompt():
    case = next(path for path in cases("written_requests") if path.stem == "output_schema_is_closed")
    prompt, twin = (build(load(case)["prompt"]) for _ in range(2))
    messages.write_request(prompt, Target("claude-opus-4-8"))
    assert prompt == twin


def test_opaque_parts_of_a_nested_kind_do_not_crash():
    deep: dict = {"type": "tool_result", "tool_use_id": "t", "content": "x"}
    for _ in range(300):
        deep = {"type": "tool_result", "tool_use_id": "t", "content": [deep]}
    prompt = messages.read_request({"model": "m", "messages": [{"role": "user", "content": [deep]}]})
    assert isinstance(prompt.turns[0].parts[0].parts[0], Opaque)


def test_every_field_is_a_field_of_the_prompt():
    assert messages.FIELDS.keys() <= {field.name for field in fields(Prompt)}


@pytest.mark.parametrize("depth", [100, 400, 900, 5000])
def test_deep_nesting_is_refused_or_carried(depth):
    """What can be read can be written; the parser itself draws the line."""
    text = b'{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":'
    try:
        document = json_text.parse(text + b'{"a":' * depth + b"1" + b"}" * depth + b"}]}]}")
    except json_text.NotJson:
        return
    try:
        prompt = messages.read_request(document)
    except BadRequest as refused:
        assert "nesting" in str(refused)
        return
    messages.write_request(prompt, Target("claude-opus-4-8"))


def test_members_of_media_that_only_others_know_are_named():
    clip = Media("image", url="https://x", extra={"fps": 2}, extra_dialect="gemini")
    prompt = Prompt("gemini", "m", [Turn("user", [clip])])
    assert messages.write_request(prompt, Target("claude-opus-4-8")).dropped == ["part.image.fps"]


def test_numbers_too_large_to_calculate_with():
    prompt = Prompt("chat", "m", temperature=Decimal("9e999999"), top_p=Decimal("9e999999"))
    written = messages.write_request(prompt, Target("claude-3-5-haiku"))
    assert (written.document["temperature"], written.dropped) == (1, ["temperature"])
