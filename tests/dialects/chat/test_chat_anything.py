"""Whatever comes in: readers raise only their own error, writers never."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway import json_text
from gateway.dialects import chat
from gateway.dialects.chat.schema import TRAITS
from gateway.dialects.vocabulary import (
    Failed,
    Finished,
    Media,
    Prompt,
    Reasoning,
    Target,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.errors import BadRequest, ChannelFailed
from gateway.sse import Event, events
from tests.dialects.chat.chat_cases import asked, cases, load, neutral

SCALARS = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text()
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
TARGETS = st.builds(Target, st.just("up"), st.frozensets(st.sampled_from(sorted(TRAITS))))

REQUESTS = [load(path)["document"] for folder in ("own_request", "read_request") for path in cases(folder)]
REPLIES = [load(path)["document"] for folder in ("own_reply", "read_reply") for path in cases(folder)]
STREAMS = [load(path)["chunks"] for folder in ("own_stream", "read_stream") for path in cases(folder)]


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The path of every value inside *value*."""
    found = [path]
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        found += places(member, (*path, key))
    return found


@st.composite
def spoiled(draw, documents: list) -> Any:
    """A document of the cases in which some values were replaced by anything."""
    document = [copy.deepcopy(draw(st.sampled_from(documents)))]
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places(document)[1:]))
        holder = document
        for key in path:
            holder = holder[key]
        holder[last] = draw(ANYTHING)
    return document[0]


@given(ANYTHING | spoiled(REQUESTS), TARGETS)
def test_any_request_is_understood_or_refused(document, target):
    try:
        prompt = chat.read_request(document)
    except BadRequest:
        return
    for dialect in ("chat", "messages"):
        prompt.dialect = dialect
        json_text.write(chat.write_request(prompt, target).document)
        assert isinstance(chat.to_fetch(prompt, target), list)


@given(ANYTHING | spoiled(REPLIES))
def test_any_reply_is_understood_or_fails_the_channel(document):
    try:
        completion = chat.read_reply(document)
    except ChannelFailed:
        return
    for dialect in ("chat", "messages"):
        completion.dialect = dialect
        json_text.write(chat.write_reply(completion, asked()))


@given(st.lists(ANYTHING) | spoiled(STREAMS))
def test_any_stream_ends_in_one_end(chunks):
    chunks = chunks if isinstance(chunks, list) else [chunks]
    reader, writer, seen = chat.StreamReader(), chat.StreamWriter(asked()), []
    for chunk in chunks:
        data = chunk.encode("utf-8", "replace") if isinstance(chunk, str) else json_text.write(chunk)
        seen += reader.feed(Event("", data))
    seen += reader.close()
    assert_in_order(seen)
    written = b"".join(writer.feed(event) for event in seen) + writer.close()
    failed = any(isinstance(event, Failed) for event in seen)
    assert written.endswith(b"data: [DONE]\n\n") != failed
    assert len(events(written)) == written.count(b"\n\n")


def assert_in_order(seen: list) -> None:
    """Parts open once, with growing indexes, and speak only while open; nothing comes behind an end."""
    is_open, last, ended = set(), {}, set()
    for place, event in enumerate(seen):
        kind, choice = type(event).__name__, getattr(event, "choice", 0)
        if kind in ("Opened", "Delta", "Mark", "Closed"):
            key = (choice, event.index)
            assert choice not in ended
            assert (key in is_open) == (kind != "Opened")
            if kind == "Opened":
                assert event.index > last.get(choice, -1)
                last[choice] = event.index
                is_open.add(key)
            elif kind == "Closed":
                is_open.discard(key)
        elif isinstance(event, Finished):
            assert not any(key[0] == choice for key in is_open)
            assert choice not in ended
            ended.add(choice)
        elif isinstance(event, Failed):
            assert place == len(seen) - 1


@given(st.binary())
def test_any_bytes_in_an_event(data):
    reader = chat.StreamReader()
    assert isinstance(reader.feed(Event("", data)) + reader.close(), list)


def test_every_stream_case_is_in_order():
    for chunks in STREAMS:
        reader, seen = chat.StreamReader(), []
        for chunk in chunks:
            data = chunk.encode() if isinstance(chunk, str) else json_text.write(chunk)
            seen += reader.feed(Event("", data))
        assert_in_order(seen + reader.close())


# --- any conversation that chat can say ----------------------------------------------------------

WORDS = st.text(min_size=1)
IDS = st.text("abcdefgh_0123", min_size=3, max_size=8)
PROOFS = st.sampled_from(["messages", "gemini"])
MEDIA = (
    st.builds(Media, st.just("image"), url=st.just("https://x/a.png"), detail=st.sampled_from([None, "low", "high"]))
    | st.builds(Media, st.just("image"), data=st.just("iVBORw=="), media_type=st.just("image/png"))
    | st.builds(Media, st.just("audio"), data=st.just("UklG"), media_type=st.sampled_from(["audio/wav", "audio/mpeg"]))
    | st.builds(Media, st.just("file"), data=st.just("JVBERi0="), media_type=st.just("application/pdf"), name=WORDS)
    | st.builds(Media, st.just("video"), url=st.just("https://x/v.mp4"))
)
THOUGHTS = st.lists(
    st.builds(Reasoning, WORDS, WORDS, dialect=PROOFS)
    | st.builds(Reasoning, st.just(""), encrypted=WORDS, dialect=st.just("messages"))
    | st.builds(Reasoning, WORDS, encrypted=WORDS, id=IDS, summary=st.just(True), dialect=st.just("responses")),
    max_size=3,
)


@st.composite
def conversations(draw) -> Prompt:
    """User turns, answers with thinking, words and calls, the calls' results."""
    prompt, used = Prompt("chat", "m"), set()
    for _ in range(draw(st.integers(1, 4))):
        prompt.turns.append(Turn("user", draw(st.lists(st.builds(Text, WORDS) | MEDIA, min_size=1, max_size=3))))
        parts = draw(THOUGHTS) + draw(st.lists(st.builds(Text, WORDS), max_size=2))
        calls = draw(st.lists(st.builds(ToolCall, IDS, WORDS, WORDS.filter(str.strip)), max_size=2))
        calls = [call for call in calls if call.id not in used and not used.add(call.id)]
        if parts or calls:
            prompt.turns.append(Turn("assistant", parts + calls))
        for call in calls:
            prompt.turns.append(Turn("tool", [ToolResult(call.id, [Text(draw(WORDS))], call.name)]))
    return prompt


@given(conversations())
def test_a_conversation_comes_back_as_it_was(prompt):
    written = chat.write_request(prompt, Target("m"))
    assert written.dropped == []
    assert chat.read_request(json_text.parse(json_text.write(written.document))) == prompt


def test_prompts_of_the_cases_survive_a_second_reading():
    for path in cases("write_request"):
        case = load(path)
        if "reasoning_details" in case["traits"]:
            continue  # of a chat client the words would be said in reasoning_content as well
        target = Target("up", frozenset(case["traits"]))
        assert chat.write_request(chat.read_request(case["document"]), target).document == case["document"], path.stem
        assert neutral(case["prompt"]).dialect != "chat"
