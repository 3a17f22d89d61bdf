"""Requests: read, written, and there and back again."""

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from gateway import json_text
from gateway.dialects import gemini, translation
from gateway.dialects.gemini import media, proto_json, schema, signatures
from gateway.dialects.vocabulary import (
    Choice,
    Completion,
    Finish,
    Media,
    Prompt,
    Reasoning,
    Target,
    Text,
    ToolResult,
    Turn,
)
from gateway.errors import BadRequest
from tests.dialects.gemini.gemini_cases import (
    DOCUMENTS,
    NAMES,
    VALUES,
    WORDS,
    asked,
    by_name,
    damaged,
    files,
    from_data,
    load,
    to_data,
)

_CONFIG = {"temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "responseLogprobs",
           "logprobs", "presencePenalty", "frequencyPenalty", "seed", "responseMimeType", "responseSchema",
           "responseJsonSchema", "responseModalities", "mediaResolution", "speechConfig", "thinkingConfig",
           "imageConfig"}  # fmt: skip


def target(case):
    return Target(case["model"], frozenset(case["traits"]))


@pytest.mark.parametrize("path", files("own"), ids=by_name)
def test_a_request_survives_its_own_dialect(path):
    document = load(path)
    written = gemini.write_request(gemini.read_request(document, "gemini-3-flash"), Target("gemini-3-flash"))
    assert written.document == document
    assert written.dropped == []


@pytest.mark.parametrize("path", files("read"), ids=by_name)
def test_a_request_is_read(path):
    case = load(path)
    assert to_data(gemini.read_request(case["document"], "gemini-x", stream=True)) == case["expected"]


@pytest.mark.parametrize("path", files("refused"), ids=by_name)
def test_a_request_is_refused_where_it_is_wrong(path):
    case = load(path)
    with pytest.raises(BadRequest) as refusal:
        gemini.read_request(case["document"])
    assert refusal.value.fault.param == case["param"]


@pytest.mark.parametrize("path", files("write"), ids=by_name)
def test_a_neutral_prompt_is_written(path):
    case = load(path)
    written = gemini.write_request(from_data(case["prompt"]), target(case["target"]))
    assert to_data(written.document) == case["document"]
    assert written.dropped == case["dropped"]


@pytest.mark.parametrize("path", files("write"), ids=by_name)
def test_what_is_written_is_what_google_documents(path):
    document = load(path)["document"]
    for content in document["contents"]:
        assert content["parts"] and content["role"] in ("user", "model")
        types.Content.model_validate(_with_bytes(content))
    assert all(a["role"] != b["role"] for a, b in zip(document["contents"], document["contents"][1:], strict=False))
    for tool in document.get("tools", []):
        types.Tool.model_validate(tool)
    if "toolConfig" in document:
        types.ToolConfig.model_validate(document["toolConfig"])
    config = document.get("generationConfig", {})
    assert set(config) <= _CONFIG
    types.GenerateContentConfig.model_validate(config)


def _with_bytes(content):
    """The bypass value and the data of these cases are not all base64 of something."""
    parts = []
    for part in content["parts"]:
        part = dict(part)
        if "thoughtSignature" in part:
            part["thoughtSignature"] = b"x"
        if "inlineData" in part:
            part["inlineData"] = part["inlineData"] | {"data": b"x"}
        if part.get("text") == "\ud83d":
            part["text"] = "x"
        parts.append(part)
    return content | {"parts": parts}


def test_losses_are_named_for_the_other_dialects():
    document = {
        "contents": [{"role": "user", "parts": [{"text": "x", "partMetadata": {"a": 1}}]}],
        "cachedContent": "cachedContents/1",
        "safety_settings": [],
        "generationConfig": {"speechConfig": {}, "thinkingConfig": {"new": 1}},
        "tools": [{"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}],
    }
    prompt = gemini.read_request(document)
    assert sorted(translation.unsaid(prompt, {"tools": "tools"})) == [
        "cachedContent",
        "contents[0].parts[0].partMetadata",
        "generationConfig.speechConfig",
        "generationConfig.thinkingConfig.new",
        "safety_settings",
        "tools[0].functionDeclarations[0].behavior",
    ]


def test_the_model_of_the_path_wins_and_the_documents_own_serves_without_one():
    document = {"contents": "x", "model": "models/b"}
    assert gemini.read_request(document, "a").model == "a"
    assert gemini.read_request(document).model == "models/b"
    assert gemini.read_request(document).include_usage is None


ADDRESSES = {
    "https://x.org/a.png": True,
    "http://x.org/a.png": True,
    "HTTPS://x.org/a.png": True,
    "https://evil.org/files/abc": True,
    "https://evil.org/generativelanguage.googleapis.com/files/abc": True,
    "gs://bucket/a.png": False,
    "https://www.youtube.com/watch?v=a": False,
    "https://youtu.be/a": False,
    "https://youtube.com.evil.org/a": True,
    "https://generativelanguage.googleapis.com/v1beta/files/abc": False,
    "data:image/png;base64,AAAA": False,
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_ordinary_addresses_have_to_be_fetched(address):
    outside, inside = Media("image", url=address), Media("image", url=address)
    prompt = Prompt("chat", "m", [Turn("user", [Text("x"), outside]), Turn("tool", [ToolResult("1", [inside])])])
    found = gemini.to_fetch(prompt, Target("gemini-3-flash"))
    assert [id(one) for one in found] == ([id(outside), id(inside)] if ADDRESSES[address] else [])


def test_nothing_is_fetched_that_is_there_already():
    parts = [Media("image", url="https://x.org/a", data="AAAA"), Media("file", text="", url="https://x.org/a")]
    assert gemini.to_fetch(Prompt("chat", "m", [Turn("user", parts)]), Target("g")) == []


def test_an_upstream_that_opens_addresses_gets_them():
    named, unnamed = Media("image", url="https://x.org/a.png"), Media("image", url="https://x.org/a")
    plain = Media("image", url="http://x.org/a.png")
    prompt = Prompt("chat", "m", [Turn("user", [named, unnamed, plain])])
    found = gemini.to_fetch(prompt, Target("g", frozenset(["file_url"])))
    assert [one.url for one in found] == ["https://x.org/a", "http://x.org/a.png"]


def test_fetched_bytes_are_sent_in_place_of_the_address():
    assert media.write(Media("image", url="https://x.org/a.png", data="AAAA", media_type="image/png")) == {
        "inlineData": {"mimeType": "image/png", "data": "AAAA"}
    }


@pytest.mark.parametrize("streamed", [False, True])
def test_a_proof_of_another_dialect_comes_back_to_it(streamed):
    thought = Reasoning("Let me see. Yes", signature="sig", encrypted="e", id="rs", summary=True, dialect="messages")
    completion = Completion("id", "m", [Choice([thought, Text("Hi")], Finish("stop"))])
    parts = gemini.write_reply(completion, asked())["candidates"][0]["content"]["parts"]
    if streamed:
        signature = parts[0]["thoughtSignature"]
        words = [{"text": piece, "thought": True} for piece in ("Let me", " see. ", "Yes")]
        parts = [{"text": "other", "thought": True}, *words,
                 {"text": "", "thought": True, "thoughtSignature": signature}, parts[1]]  # fmt: skip
    # Google's SDK decodes what it got and encodes it in the other alphabet.
    content = types.Content.model_validate({"role": "model", "parts": parts})
    sent = json_text.parse(content.model_dump_json(exclude_none=True, by_alias=True).encode())
    turn = gemini.read_request({"contents": [sent]}).turns[0]
    assert turn.parts[-2] == thought
    assert len(turn.parts) == (3 if streamed else 2)


def test_a_proof_is_void_when_the_words_are_others():
    signature = signatures.encode(Reasoning("before", signature="sig", dialect="messages"))
    part = {"text": "after", "thought": True, "thoughtSignature": signature}
    turn = gemini.read_request({"contents": [{"role": "model", "parts": [part]}]}).turns[0]
    assert turn.parts == [Reasoning("after", dialect="messages")]


def test_a_gemini_upstream_never_gets_a_packed_proof():
    signature = signatures.encode(Reasoning("hm", signature="sig", dialect="messages"))
    parts = [{"text": "hm", "thought": True, "thoughtSignature": signature}]
    prompt = gemini.read_request({"contents": [{"role": "model", "parts": parts}]})
    prompt.dialect = "chat"
    assert gemini.write_request(prompt, Target("gemini-3-flash")).document["contents"] == [
        {"role": "model", "parts": [{"text": "hm", "thought": True}]}
    ]


@pytest.mark.parametrize("tail", ["", "!!", "e30=", "AAAA"])
def test_a_signature_that_only_looks_packed_is_geminis(tail):
    assert signatures.decode(signatures._PREFIX + tail) is None


def test_ids_of_calls_stay_as_the_conversation_grows():
    turns = [
        {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
    ]
    calls = [part.id for turn in gemini.read_request({"contents": turns * 3}).turns for part in turn.parts[:1]
             if turn.role == "assistant"]  # fmt: skip
    assert calls == ["call_0", "call_1", "call_2"]
    assert gemini.read_request({"contents": turns}).turns[0].parts[0].id == calls[0]


def test_a_schema_deeper_than_any_is_left_alone():
    deep = {"type": "object"}
    for _ in range(400):
        deep = {"type": "OBJECT", "properties": {"a": deep}}
    assert schema.from_openapi(deep)["properties"]["a"]["type"] == "object"
    assert schema.for_gemini(deep)


@pytest.mark.parametrize("path, fits", [("a.b", True), ("list[0].b", True), ("list[1].b", False), ("new[0].b", False),
                                        ("text.b", False), ("", False), ("list[0]", False)])  # fmt: skip
def test_members_are_put_where_their_path_leads(path, fits):
    assert proto_json.put({"list": [{}], "text": "x"}, path, 1) is fits


# Documents that get past the first check.
PARTS = st.lists(st.dictionaries(NAMES, DOCUMENTS, max_size=3), max_size=3)
CONTENTS = st.lists(st.fixed_dictionaries({"parts": PARTS | DOCUMENTS}, optional={"role": WORDS}), max_size=3)
REQUESTS = st.fixed_dictionaries(
    {"contents": CONTENTS},
    optional=dict.fromkeys(("tools", "toolConfig", "generationConfig", "systemInstruction", "store"), DOCUMENTS),
)


@given(DOCUMENTS | REQUESTS)
def test_no_document_makes_the_reader_raise_anything_else(document):
    try:
        prompt = gemini.read_request(document, "gemini-x")
    except BadRequest:
        return
    for dialect in ("gemini", "chat"):
        prompt.dialect = dialect
        for model in ("gemini-3-flash", "gemini-2.5-pro"):
            gemini.write_request(prompt, Target(model))
            gemini.to_fetch(prompt, Target(model))


@pytest.mark.parametrize("path", files("own"), ids=by_name)
def test_no_damage_to_a_document_makes_the_reader_raise_anything_else(path):
    for document in damaged(load(path)):
        try:
            prompt = gemini.read_request(document, "gemini-x")
        except BadRequest:
            continue
        for dialect in ("gemini", "chat"):
            prompt.dialect = dialect
            gemini.write_request(prompt, Target("gemini-3-flash"))


@pytest.mark.parametrize("depth", [2000])
def test_a_document_too_deep_is_refused(depth):
    deep = {}
    for _ in range(depth):
        deep = {"functionResponse": {"name": "f", "parts": [deep]}}
    with pytest.raises(BadRequest):
        gemini.read_request({"contents": [{"parts": [deep]}]})


LINES = st.text(min_size=1, max_size=8)
SAID = st.builds(lambda text: {"text": text}, LINES)
TURNS = st.lists(st.tuples(st.lists(SAID, min_size=1, max_size=2), st.lists(SAID, min_size=1, max_size=2)), min_size=1)


@given(TURNS, st.dictionaries(LINES, VALUES, max_size=2), LINES)
def test_any_conversation_survives_the_neutral_words(turns, args, words):
    contents = []
    for asked_for, said in turns:
        contents += [{"role": "user", "parts": asked_for}, {"role": "model", "parts": said}]
    contents[-1]["parts"] = [*contents[-1]["parts"], {"functionCall": {"id": "a", "name": "f", "args": args}}]
    response = {"functionResponse": {"id": "a", "name": "f", "response": {"result": words}}}
    document = {"contents": [*contents, {"role": "user", "parts": [response]}]}
    prompt = gemini.read_request(json_text.parse(json_text.write(document)))
    written = gemini.write_request(prompt, Target("gemini-2.5-pro")).document
    assert written == json_text.parse(json_text.write(document))
    prompt.dialect = "messages"  # nothing here that only Gemini can say
    again = gemini.read_request(gemini.write_request(prompt, Target("gemini-2.5-pro")).document)
    assert again.turns == prompt.turns
