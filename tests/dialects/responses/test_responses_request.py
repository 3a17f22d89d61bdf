"""Requests: a client's document as a Prompt, a Prompt as an upstream's document."""

import pytest

from gateway.dialects.responses import FIELDS, read_request, to_fetch, write_request
from gateway.dialects.vocabulary import Media, Prompt, Target, Text, ToolResult, Turn
from gateway.errors import BadRequest
from tests.dialects.responses.responses_cases import build, load, names, plain


@pytest.mark.parametrize("name", names("own_request"))
def test_a_document_of_its_own_comes_back_equal(name):
    document = load("own_request", name)["document"]
    written = write_request(read_request(document), Target(document["model"]))
    assert written.document == document
    assert written.dropped == []


@pytest.mark.parametrize("name", names("read_request"))
def test_a_document_is_read(name):
    case = load("read_request", name)
    assert plain(read_request(case["document"])) == case["prompt"]


@pytest.mark.parametrize("name", names("refused"))
def test_a_document_is_refused_naming_the_member(name):
    case = load("refused", name)
    with pytest.raises(BadRequest) as refused:
        read_request(case["document"])
    assert (refused.value.fault.param, refused.value.fault.code) == (case["param"], case["code"])
    assert refused.value.status == 400


@pytest.mark.parametrize("name", names("write_request"))
def test_a_prompt_of_another_dialect_is_written(name):
    case = load("write_request", name)
    written = write_request(build(case["prompt"]), Target("up", frozenset(case["traits"])))
    assert written.document == case["document"]
    assert written.dropped == case["dropped"]


def test_the_model_may_come_from_outside_the_document():
    assert read_request({"model": "a", "input": "x"}, model="b", stream=True).model == "b"
    assert read_request({"input": "x"}, model="b", stream=True).stream


def test_what_codex_sends_loses_nothing_in_name():
    """Its include, store and cache key must not turn up in x-gateway-dropped of each call. (It gives
    a phase back only to the models that gave it one.)"""
    assert read_request(load("own_request", "codex")["document"]).rest == {"input.phase": True}


def test_fields_name_members_that_are_read():
    members = {"tools": [], "tool_choice": "auto", "include": [], "reasoning": {}, "text": {}}
    for member in FIELDS.values():
        document = {"model": "m", "input": "x", **members}
        document.setdefault(member.partition(".")[0], None)
        assert read_request(document).rest == {}


def test_media_are_fetched_only_where_a_trait_says_so():
    image, file = Media("image", url="https://e.org/a.png"), Media("file", url="https://e.org/a.pdf")
    result = Turn("tool", [ToolResult("c", [Media("file", url="https://e.org/b.pdf"), Text("x")])])
    prompt = Prompt("messages", "m", turns=[Turn("user", [image, file, Media("file", url="u", data="AA")]), result])
    assert to_fetch(prompt, Target("m")) == []
    assert to_fetch(prompt, Target("m", frozenset({"no_file_url"}))) == [file, result.parts[0].parts[0]]
    assert to_fetch(prompt, Target("m", frozenset({"no_image_url"}))) == [image]
