"""Chat requests: a client's document to a Prompt, a Prompt to an upstream's document."""

import pytest
from openai.types.chat import (
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ChatCompletionMessageToolCallUnionParam,
    ChatCompletionToolUnionParam,
)
from pydantic import TypeAdapter

from gateway.dialects import chat
from gateway.dialects.chat.schema import TRAITS
from gateway.dialects.vocabulary import Media, Prompt, Target, ToolResult, Turn
from gateway.errors import BadRequest
from tests.dialects.chat.chat_cases import CASES, cases, load, neutral, plain

# What OpenAI's own types do not know: vendors' parts and members.
EXTENSIONS = ("video_url",)


@pytest.mark.parametrize("path", cases("read_request"), ids=lambda path: path.stem)
def test_a_document_is_read(path):
    case = load(path)
    assert plain(chat.read_request(case["document"])) == case["prompt"], case["why"]


@pytest.mark.parametrize("path", cases("write_request"), ids=lambda path: path.stem)
def test_a_prompt_is_written(path):
    case = load(path)
    written = chat.write_request(neutral(case["prompt"]), Target("up", frozenset(case["traits"])))
    assert (written.document, written.dropped) == (case["document"], case["dropped"]), case["why"]
    assert set(case["traits"]) <= TRAITS


@pytest.mark.parametrize("path", cases("own_request"), ids=lambda path: path.stem)
def test_a_chat_document_comes_out_as_it_went_in(path):
    document = load(path)["document"]
    written = chat.write_request(chat.read_request(document), Target(document["model"]))
    assert written.document == document
    assert written.dropped == []


@pytest.mark.parametrize("path", cases("refused_request"), ids=lambda path: path.stem)
def test_a_document_that_cannot_be_meant_is_refused_by_name(path):
    case = load(path)
    with pytest.raises(BadRequest) as caught:
        chat.read_request(case["document"])
    assert caught.value.fault.param == case["param"], case["why"]


def openais_own(path) -> bool:
    return not any(name in path.read_text() for name in EXTENSIONS)


OPENAIS_OWN = [path for path in cases("write_request") if openais_own(path)]


@pytest.mark.parametrize("path", OPENAIS_OWN, ids=lambda path: path.stem)
def test_what_is_written_is_what_openai_documents(path):
    document = load(path)["document"]
    TypeAdapter(list[ChatCompletionMessageParam]).validate_python(document["messages"])
    for message in document["messages"]:  # its iterables are validated only when walked
        parts = message["content"] if isinstance(message["content"], list) else []
        TypeAdapter(list[ChatCompletionContentPartParam]).validate_python(parts, strict=True)
        TypeAdapter(list[ChatCompletionMessageToolCallUnionParam]).validate_python(message.get("tool_calls", []))
    TypeAdapter(list[ChatCompletionToolUnionParam]).validate_python(document.get("tools", []))


def test_the_url_may_say_model_and_stream():
    prompt = chat.read_request({"messages": [{"role": "user", "content": "hi"}]}, model="m", stream=True)
    assert (prompt.model, prompt.stream) == ("m", True)


def test_losses_of_a_chat_client_are_named_where_other_writers_look():
    document = {"model": "m", "messages": [{"role": "user", "content": "hi", "weight": 1}], "min_p": 0.1}
    assert chat.read_request(document).rest == {"messages.weight": True, "min_p": 0.1}


def test_every_field_has_its_own_member():
    assert len(set(chat.FIELDS.values())) == len(chat.FIELDS)
    assert chat.FIELDS["max_tokens"] == "max_completion_tokens"


def media_prompt(dialect="messages"):
    kinds = [Media(kind, url=f"https://x/{kind}") for kind in ("image", "audio", "video", "file")]
    local = [Media("file", url="gs://bucket/x"), Media("file", url="https://x/y", data="QQ=="), Media("file", text="t")]
    return Prompt(dialect, "m", [Turn("user", [*kinds[:2], *local, ToolResult("t", kinds[2:])])])


@pytest.mark.parametrize(
    "traits, urls",
    [
        ([], ["https://x/audio", "https://x/file"]),
        (["file_url"], ["https://x/audio"]),
        (["no_image_url"], ["https://x/image", "https://x/audio", "https://x/file"]),
    ],
)
def test_only_what_must_be_bytes_is_fetched(traits, urls):
    assert [media.url for media in chat.to_fetch(media_prompt(), Target("up", frozenset(traits)))] == urls


def test_media_of_a_chat_client_are_never_fetched():
    assert chat.to_fetch(media_prompt("chat"), Target("up")) == []


def test_fetched_media_are_written_as_bytes():
    prompt = Prompt("messages", "m", [Turn("user", [Media("file", url="https://x/a.pdf")])])
    for media in chat.to_fetch(prompt, Target("up")):
        media.data, media.media_type = "JVBERi0=", "application/pdf"
    written = chat.write_request(prompt, Target("up"))
    assert written.document["messages"][0]["content"] == [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "file.pdf"}}
    ]
    assert written.dropped == []


def test_there_are_cases():
    assert all(len(cases(folder)) >= 10 for folder in ("read_request", "write_request", "own_request"))
    assert CASES.is_dir()
