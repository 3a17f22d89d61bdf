"""Whatever comes, a reader raises its own error or none, and a writer raises nothing."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway import json_text, sse
from gateway.dialects import messages
from gateway.dialects.messages.tokens import estimate_tokens
from gateway.dialects.vocabulary import Target
from gateway.errors import BadRequest, ChannelFailed
from tests.dialects.messages.messages_cases import asked, cases, load

TYPES = [
    "text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result", "compaction", "base64",
    "url", "file", "content", "custom", "tool", "any", "enabled", "adaptive", "json_schema", "message_start",
    "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "error",
    "text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta", "create",
]  # fmt: skip
KEYS = [
    "type", "text", "source", "data", "url", "file_id", "media_type", "thinking", "signature", "id", "name", "input",
    "content", "tool_use_id", "is_error", "citations", "cited_text", "role", "index", "delta", "content_block", "usage",
    "message", "stop_reason", "stop_sequence", "input_tokens", "output_tokens", "cache_creation", "error", "details",
    "partial_json", "citation", "model", "service_tier", "schema", "format", "effort", "budget_tokens", "display",
    "messages", "system", "tools", "tool_choice", "metadata", "output_config", "max_tokens", "temperature", "thread",
    "clear_at", "title", "input_schema", "container",
]  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2000), st.sampled_from([Decimal("0.5"), Decimal("1e400")]),
    st.text(max_size=5), st.sampled_from(TYPES + ["user", "assistant", "system", "next_user_message"]),
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=6),
    max_leaves=25,
)
MODELS = st.sampled_from(["claude-opus-4-8", "claude-opus-5-5", "claude-sonnet-4-5", "claude-3-opus", "kimi"])
REQUESTS = st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5).map(lambda d: {"model": "m"} | d)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": ANYTHING}), max_size=4
)


@st.composite
def spoiled(draw, documents):
    """One of *documents* with one value somewhere in it replaced by anything."""
    document = json_text.parse(json_text.write(draw(st.sampled_from(documents))))
    holder = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return document
        key = draw(st.sampled_from(keys))
        if not isinstance(holder[key], (dict, list)) or draw(st.integers(0, 3)) == 0:
            holder[key] = draw(ANYTHING)
            return document
        holder = holder[key]


OWN_REQUESTS = spoiled([load(path) for path in cases("own_requests")])
OWN_REPLIES = spoiled([load(path) for path in cases("own_replies")])
OWN_EVENTS = spoiled(
    [json_text.parse(event.data) for path in cases("own_streams", ".sse") for event in sse.events(path.read_bytes())]
)


def check_request(document, model):
    try:
        prompt = messages.read_request(document)
    except BadRequest:
        return
    for dialect in ("messages", "chat"):
        prompt.dialect = dialect
        written = messages.write_request(prompt, Target(model))
        json_text.write(written.document)
        messages.to_fetch(prompt, Target(model))
    assert estimate_tokens(prompt) >= 0


@given(ANYTHING | REQUESTS, MODELS)
def test_any_request(document, model):
    check_request(document, model)


@given(REQUESTS, MESSAGES, MODELS)
def test_any_conversation(document, said, model):
    check_request(document | {"messages": said}, model)


@given(OWN_REQUESTS, MODELS)
def test_any_request_with_one_thing_wrong(document, model):
    check_request(document, model)


@given(ANYTHING | OWN_REPLIES | ANYTHING.map(lambda content: {"content": content}))
def test_any_reply(document):
    try:
        completion = messages.read_reply(document)
    except ChannelFailed:
        return
    for dialect in ("messages", "chat"):
        completion.dialect = dialect
        json_text.write(messages.write_reply(completion, asked()))


@given(st.lists(ANYTHING | OWN_EVENTS, max_size=8))
def test_any_stream(documents):
    reader, writer = messages.StreamReader(), messages.StreamWriter(asked())
    written = b""
    for document in documents:
        try:
            events = reader.feed(sse.Event("", json_text.write(document)))
        except ChannelFailed:
            continue
        written += b"".join([writer.feed(event) for event in events])
    written += b"".join([writer.feed(event) for event in reader.close()]) + writer.close()
    names = [event.name for event in sse.events(written)]
    assert names.count("message_stop") + names.count("error") == 1
    assert names[-1] in ("message_stop", "error")
