"""What holds of every pair of dialects, whatever is said.

A conversation that both can say comes back as it was; a stream says the same however it was cut,
and what it says leaves at once; nothing makes a reader raise anything but its own error.
"""

import copy
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import json_text, sse
from gateway.dialects.gathering import completion_of, events_of
from gateway.dialects.registry import DIALECTS
from gateway.dialects.translation import StreamTranslation, Translation
from gateway.dialects.vocabulary import (
    Choice,
    Completion,
    Delta,
    Finish,
    Media,
    Opened,
    OutputFormat,
    Prompt,
    Reasoning,
    ReasoningWish,
    Started,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.errors import BadRequest, ChannelFailed
from gateway.usage import UPSTREAM, Usage
from tests import kept_answers
from tests.pair_cases import PAIRS, asked, cases, told

# What a dialect can say beside what all four can; chat with the vendors' words for proofs.
CAN = {
    "chat": {"image_url", "file_name", "named_format", "effort", "stop", "user", "metadata", "seed", "penalties",
             "single_calls", "signed_thinking", "encrypted_thinking", "signed_calls", "strict_false", "detail"},
    "responses": {"image_url", "file_name", "named_format", "effort", "user", "metadata", "single_calls",
                  "encrypted_thinking", "strict_false", "detail", "store"},
    "messages": {"image_url", "file_name", "stop", "user", "top_k", "single_calls", "signed_thinking", "failed_calls",
                 "closed_format"},
    "gemini": {"store", "stop", "seed", "penalties", "top_k", "signed_calls", "failed_calls", "closed_format"},
}  # fmt: skip
TRAITS = {"chat": frozenset({"reasoning_details", "extra_content"})}

WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip())
PLAIN = st.text("abcxyz", min_size=1, max_size=6)
ARGUMENTS = st.dictionaries(PLAIN, st.integers() | WORDS | st.booleans() | st.none() | st.lists(WORDS, max_size=2))
SHARE = st.decimals(0, 1, allow_nan=False, places=2)
SCHEMA = {"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"], "additionalProperties": False}
PNG, PDF = "iVBORw0KGgo=", "JVBERi0x"


def both(pair: str) -> set[str]:
    client, channel = pair.split("-")
    return CAN[client] & CAN[channel]


# --- conversations -------------------------------------------------------------------------------


@st.composite
def conversations(draw, can: set[str]) -> Prompt:
    """Turns as they follow each other in real conversations, with everything in *can*."""
    prompt = Prompt("", "up", max_tokens=draw(st.integers(1024, 9999)))
    if draw(st.booleans()):
        prompt.turns.append(Turn("system", [Text(draw(WORDS))]))
    numbers = itertools.count()
    for _ in range(draw(st.integers(1, 3))):
        prompt.turns.append(Turn("user", draw(st.lists(spoken(can), min_size=1, max_size=3))))
        for _ in range(draw(st.integers(0, 2))):
            prompt.turns += draw(rounds(can, numbers))
        prompt.turns.append(Turn("assistant", [*draw(thoughts(can)), Text(draw(WORDS))]))
    prompt.turns.append(Turn("user", [Text(draw(WORDS))]))
    draw(wishes(prompt, can))
    return prompt


def spoken(can: set[str]) -> st.SearchStrategy:
    detail = st.sampled_from(["auto", "low", "high"]) if "detail" in can else st.none()
    image = st.builds(Media, st.just("image"), detail=detail, data=st.just(PNG), media_type=st.just("image/png"))
    kinds = [st.builds(Text, WORDS), image]
    if "image_url" in can:
        kinds.append(st.builds(Media, st.just("image"), detail=detail, url=st.just("https://x.test/a.png")))
    if "file_name" in can:
        kinds.append(st.builds(Media, st.just("file"), data=st.just(PDF), media_type=st.just("application/pdf"),
                               name=PLAIN))  # fmt: skip
    return st.one_of(kinds)


def thoughts(can: set[str]) -> st.SearchStrategy:
    kinds = []
    if "signed_thinking" in can:
        kinds.append(st.builds(Reasoning, WORDS, PLAIN, dialect=st.just("messages")))
        kinds.append(st.builds(Reasoning, encrypted=PLAIN, dialect=st.just("messages")))
    if "encrypted_thinking" in can:
        kinds.append(st.builds(summarized, WORDS, PLAIN))
    return st.lists(st.one_of(kinds), max_size=1) if kinds else st.just([])


def summarized(text: str, proof: str) -> Reasoning:
    return Reasoning(text, encrypted=proof, id="rs_1", summary=True, pieces=[text], dialect="responses")


@st.composite
def rounds(draw, can: set[str], numbers: Any) -> list[Turn]:
    """Words, calls, and the calls' results."""
    calls = [
        ToolCall(f"call_{next(numbers)}x", draw(PLAIN), json_text.write(arguments).decode())
        for arguments in draw(st.lists(ARGUMENTS, min_size=1, max_size=3))
    ]
    if "signed_calls" in can and draw(st.booleans()):
        calls[0].signature = "c2ln"
    said = [Text(draw(WORDS))] if draw(st.booleans()) else []
    failed = st.sampled_from([None, True]) if "failed_calls" in can else st.none()
    # A result that is a JSON object is one in Gemini, and comes back as JSON, spaces tidied up.
    results = [ToolResult(call.id, [Text("r" + draw(WORDS))], call.name, draw(failed)) for call in calls]
    return [Turn("assistant", [*draw(thoughts(can)), *said, *calls]), Turn("tool", results)]


@st.composite
def wishes(draw, prompt: Prompt, can: set[str]) -> None:
    """The rest of the prompt."""
    if "store" in can:  # which is said anyway where storing would be the default
        prompt.store = False
    prompt.temperature, prompt.top_p = draw(st.none() | SHARE), draw(st.none() | SHARE)
    drawn = {
        "stop": st.lists(WORDS, min_size=1, max_size=3),
        "user": PLAIN,
        "metadata": st.dictionaries(PLAIN, PLAIN, min_size=1),
        "seed": st.integers(0, 9),
        "top_k": st.integers(1, 40),
    }
    for name, values in drawn.items():
        if name in can and draw(st.booleans()):
            setattr(prompt, name, draw(values))
    if "penalties" in can:
        prompt.presence_penalty, prompt.frequency_penalty = draw(st.none() | SHARE), draw(st.none() | SHARE)
    if "effort" in can and draw(st.booleans()):
        prompt.reasoning = ReasoningWish(effort=draw(st.sampled_from(["low", "medium", "high"])))
    if "named_format" in can and draw(st.booleans()):
        prompt.output = OutputFormat("json_schema", SCHEMA, draw(PLAIN), strict=True)
    elif "closed_format" in can and draw(st.booleans()):
        prompt.output = OutputFormat("json_schema", SCHEMA)
    if draw(st.booleans()):
        strict = draw(st.booleans()) if "strict_false" in can else None
        names = draw(st.lists(PLAIN, min_size=1, max_size=3, unique=True))
        prompt.tools = [Tool(name, draw(WORDS), SCHEMA, strict) for name in names]
        prompt.tool_choice = draw(st.none() | st.sampled_from([*map(ToolChoice, ("auto", "none", "required")),
                                                               ToolChoice("named", names[:1])]))  # fmt: skip
        # Messages says it inside the choice, and has no place for it in none.
        if "single_calls" in can and prompt.tool_choice and prompt.tool_choice.mode != "none":
            prompt.parallel_tool_calls = draw(st.sampled_from([None, False]))


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=40)
@given(st.data())
def test_a_conversation_that_both_can_say_survives(pair, data):
    prompt = data.draw(conversations(both(pair)))
    client, channel = pair.split("-")
    there, back = (Target("up", TRAITS.get(name, frozenset())) for name in (channel, client))
    first = DIALECTS[client].write_request(prompt, back)
    assert first.dropped == []
    read = DIALECTS[client].read_request(wired(first.document), model="up")
    second = DIALECTS[channel].write_request(read, there)
    assert second.dropped == []
    again = DIALECTS[client].write_request(DIALECTS[channel].read_request(wired(second.document), model="up"), back)
    assert again.dropped == []
    assert wired(again.document) == wired(first.document)


def wired(document: Any) -> Any:
    return json_text.parse(json_text.write(document))


# --- answers -------------------------------------------------------------------------------------

CALLS = ARGUMENTS.map(lambda arguments: ToolCall("", "f", json_text.write(arguments).decode()))
ANSWERS = st.lists(st.builds(Text, WORDS) | CALLS, min_size=1, max_size=4)


@st.composite
def completions(draw) -> Completion:
    """Words (one text, where several would be joined) and calls; usage as all count it."""
    parts = draw(ANSWERS)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    for number, call in enumerate(calls):
        call.id = f"call_{number}x"
    words = [part for part in parts if isinstance(part, Text)][:1]
    finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length"]))
    cached = draw(st.integers(0, 99))
    usage = Usage(cached + draw(st.integers(0, 99)), draw(st.integers(1, 99)), cached, source=UPSTREAM)
    return Completion("x", "m", [Choice(words + calls, Finish(finish))], usage, 1735689600)


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=40)
@given(completions(), st.booleans(), st.integers(1, 9))
def test_an_answer_that_both_can_say_survives(pair, completion, streamed, size):
    client, channel = (DIALECTS[name] for name in pair.split("-"))
    ask = asked(Prompt("", "m", include_usage=True, stream=streamed))
    if not streamed:
        upstream = wired(channel.write_reply(completion, ask))
        found = client.read_reply(wired(Translation(client, channel).reply(upstream, ask)))
    else:
        upstream = written(channel.StreamWriter(ask), in_pieces(events_of(completion), size))
        translation = Translation(client, channel).stream(ask)
        answer = b"".join([translation.feed(event) for event in sse.events(upstream)]) + translation.close()
        found = completion_of(read(client.StreamReader(), sse.events(answer)))
    choice = found.choices[0]
    assert spoken_in(choice) == spoken_in(completion.choices[0])
    assert choice.finish.reason == completion.choices[0].finish.reason
    assert (found.usage.input, found.usage.output) == (completion.usage.input, completion.usage.output)
    assert (found.usage.cached or 0) == completion.usage.cached


def spoken_in(choice: Choice) -> list:
    """Its words, and its calls: ids, names and what the arguments mean."""
    return [
        part.text if isinstance(part, Text) else (part.id, part.name, json_text.parse(part.arguments.encode()))
        for part in choice.parts
    ]


def in_pieces(events: Any, size: int) -> list:
    """Every Delta as several, of *size* characters."""
    pieces = []
    for event in events:
        text = event.text if isinstance(event, Delta) else ""
        cut = [replace(event, text=text[start : start + size]) for start in range(0, len(text), size)]
        pieces += cut or [event]
    return pieces


def written(writer: Any, events: Any) -> bytes:
    return b"".join([writer.feed(event) for event in events]) + writer.close()


def read(reader: Any, events: list[sse.Event]) -> list:
    return [neutral for event in events for neutral in reader.feed(event)] + reader.close()


# --- proofs of thinking ----------------------------------------------------------------------------

CALL = ToolCall("call_1", "f", '{"a":1}')
# What an upstream of each dialect proves its thinking with; a chat one with OpenRouter's words.
PROOFS = {
    "chat": [lambda words: Reasoning(words, "PROOF", dialect="messages"),
             lambda words: Reasoning(encrypted="PROOF", dialect="messages"),
             lambda words: Reasoning(words, encrypted="PROOF", id="rs_1", summary=True, dialect="responses")],
    "responses": [lambda words: summarized(words, "PROOF"),
                  lambda words: Reasoning(encrypted="PROOF", id="rs_1", summary=True, dialect="responses")],
    "messages": [lambda words: Reasoning(words, "PROOF", dialect="messages"),
                 lambda words: Reasoning(encrypted="PROOF", dialect="messages")],
    "gemini": [lambda words: replace(CALL, signature="PROOFPRO"),
               lambda words: Text(words, signature="PROOFPRO")],
}  # fmt: skip
HI = {"role": "user", "content": "hi"}
# The next request of a client: what it kept of the answer, and the result of the call.
NEXT = {
    "chat": lambda kept: {"messages": [HI, *kept, {"role": "tool", "tool_call_id": "call_1", "content": "ok"}]},
    "responses": lambda kept: {
        "input": [HI, *kept, {"type": "function_call_output", "call_id": "call_1", "output": "ok"}]
    },
    "messages": lambda kept: {
        "max_tokens": 64,
        "messages": [HI, *kept, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1"}]}],
    },
    "gemini": lambda kept: {
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            *kept,
            {"role": "user", "parts": [{"functionResponse": {"id": "call_1", "name": "f", "response": {"a": 1}}}]},
        ]
    },
}


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=30)
@given(st.data(), WORDS, st.booleans())
def test_a_proof_comes_back_to_its_maker(pair, data, words, streamed):
    name, maker = pair.split("-")
    client, channel = DIALECTS[name], DIALECTS[maker]
    proof = data.draw(st.sampled_from(PROOFS[maker]))(words)
    parts = [proof] if isinstance(proof, ToolCall) else [proof, replace(CALL)]
    completion = Completion("x", "m", [Choice(parts, Finish("tool_calls"))], dialect=maker)
    # A Gemini client is shown thoughts only if it asks; a proof cannot be kept without its words.
    ask = asked(Prompt(name, "m", stream=streamed, reasoning=ReasoningWish(visible=True)))
    if streamed:
        translation = Translation(client, channel).stream(ask)
        upstream = sse.events(written(channel.StreamWriter(ask), events_of(completion)))
        answer = b"".join([translation.feed(event) for event in upstream]) + translation.close()
        kept = kept_answers.STREAMED[name](told(answer))
    else:
        upstream = wired(channel.write_reply(completion, ask))
        kept = kept_answers.WHOLE[name](wired(Translation(client, channel).reply(upstream, ask)))
    prompt = client.read_request({"model": "m", **wired(NEXT[name](kept))}, model="m")
    again = channel.write_request(prompt, Target("up", TRAITS.get(maker, frozenset())))
    assert again.dropped == []
    assert b'"PROOF' in json_text.write(again.document)


# --- streams -------------------------------------------------------------------------------------

STREAMS = [(case.channel, case.said["upstream_stream"].encode()) for case in cases(member="upstream_stream")]


@given(st.data())
def test_a_stream_cut_anywhere_gives_the_same_events(data):
    channel, stream = data.draw(st.sampled_from(STREAMS))
    stream = stream.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    splitter, found = sse.Splitter(), []
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        found += sse.events(splitter.feed(stream[start:end]))
    found += sse.events(splitter.rest())
    assert read(channel.StreamReader(), found) == read(channel.StreamReader(), sse.events(stream))


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=30)
@given(st.lists(PLAIN, min_size=1, max_size=8))
def test_words_leave_with_the_event_that_brings_them(pair, words):
    client, channel = (DIALECTS[name] for name in pair.split("-"))
    upstream = channel.StreamWriter(asked(Prompt("", "m")))
    translation = StreamTranslation(channel.StreamReader(), client.StreamWriter(asked(Prompt("", "m"))))
    events = sse.events(upstream.feed(Started("x", "m")) + upstream.feed(Opened(0, Text(""))))
    for event in events:
        translation.feed(event)
    for word in words:
        said = upstream.feed(Delta(0, word))
        given = b"".join([translation.feed(event) for event in sse.events(said)])
        assert b'"' + word.encode() + b'"' in given


# --- anything ------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text()
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
REQUESTS: dict[str, list] = {name: [] for name in DIALECTS}
REPLIES: dict[str, list] = {name: [] for name in DIALECTS}
EVENTS: dict[str, list] = {name: [] for name in DIALECTS}
for _case in cases():
    for _member in {"request", "next_request"} & _case.said.keys():
        REQUESTS[_case.names[0]].append(_case.document(_member))
    if "upstream_reply" in _case:
        REPLIES[_case.names[1]].append(_case.document("upstream_reply"))
    if "upstream_stream" in _case:
        _stream = sse.events(_case.said["upstream_stream"].encode())
        EVENTS[_case.names[1]].append([json_text.parse(e.data) for e in _stream if e.data != b"[DONE]"])


@st.composite
def spoiled(draw, documents: list) -> Any:
    """A document of the cases in which one to three values were replaced by anything."""
    document = [copy.deepcopy(draw(st.sampled_from(documents)))]
    for _ in range(draw(st.integers(1, 3))):
        holder, key = document, 0
        while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 5)):
            holder = holder[key]
            key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        holder[key] = draw(ANYTHING)
    return document[0]


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=60)
@given(st.data())
def test_any_request_is_translated_or_refused(pair, data):
    client, channel = pair.split("-")
    translation = Translation(DIALECTS[client], DIALECTS[channel])
    document = data.draw(ANYTHING | spoiled(REQUESTS[client]))
    try:
        prompt = translation.read(document, model="m")
    except BadRequest:
        return
    target = Target("up", data.draw(st.sampled_from([frozenset(), TRAITS["chat"], frozenset({"reasoning_content"})])))
    written = translation.write(prompt, target)
    assert json_text.parse(json_text.write(written.document))
    assert all(isinstance(name, str) for name in written.dropped)
    assert isinstance(DIALECTS[channel].to_fetch(prompt, target), list)


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=60)
@given(st.data())
def test_any_reply_is_translated_or_fails_the_channel(pair, data):
    client, channel = pair.split("-")
    document = data.draw(ANYTHING | spoiled(REPLIES[channel]))
    try:
        reply = Translation(DIALECTS[client], DIALECTS[channel]).reply(document, asked(Prompt(client, "m")))
    except ChannelFailed:
        return
    assert isinstance(wired(reply), dict)


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=60)
@given(st.data())
def test_any_stream_is_translated_or_fails_the_channel(pair, data):
    client, channel = pair.split("-")
    documents = data.draw(st.lists(ANYTHING, max_size=4) | spoiled(EVENTS[channel]))
    translation = Translation(DIALECTS[client], DIALECTS[channel]).stream(asked(Prompt(client, "m")))
    written = b""
    for document in documents if isinstance(documents, list) else [documents]:
        try:
            written += translation.feed(sse.Event("", json_text.write(document)))
        except ChannelFailed:
            break
    written += translation.close()
    assert written.endswith(b"\n\n")
    assert len(sse.events(written)) == written.count(b"\n\n")


def test_the_properties_speak_of_what_they_should():
    assert {kind for pair in PAIRS for kind in both(pair)} == set().union(*CAN.values())
    assert all(REQUESTS.values()) and all(REPLIES.values()) and all(EVENTS.values())
