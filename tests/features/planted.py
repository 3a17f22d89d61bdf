"""Documents that are made up, with values planted in them that must not leave: requests of each
dialect, and the streams of a model that repeats what it was told.

Everything comes from the ``random.Random`` that is passed in: a seed tells a case.
"""

import json
import string

from gateway.dialects.registry import FACES

WORDS = """the of and invoice order please 2024 3.14 v1.2.3 <b>bold</b> a<b x_1 "quoted" back\\slash naïve Grüße 日本語
user@localhost pkg@1.2.3 DE12 1234-5678 sk- <EMAIL> {braces} [list] tab\there line\nbreak e=mc2 0x1F 12:30 50% \u2028
\U0001f600 --flag""".split(" ")
BETWEEN = ("({})", "<{}>", "“{}”,", "‘{}’", "key={};")  # so that anybody could tell where a value ends
CARDS = (("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("4", 13), ("62", 19))
DIALECTS = ("chat", "responses", "messages", "gemini")


def value(chance):
    """A value that the built-in patterns are to find."""
    return chance.choice([_email, _card, _iban, _key])(chance)


def _email(chance):
    local = "".join(chance.choices(string.ascii_letters + string.digits, k=chance.randint(1, 12)))
    middle = chance.choice(["", ".x", "+tag", "_y9", "-z"])
    return f"{local}{middle}@{chance.choice(['example.com', 'mail.example.co.uk', 'a-b.org', 'x1.dev'])}"


def _card(chance):
    prefix, length = chance.choice(CARDS)
    digits = prefix + "".join(chance.choices(string.digits, k=length - len(prefix) - 1))
    total = sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(reversed(digits + "0")))
    digits += str(-total % 10)
    sign = chance.choice(["", " ", "-"])
    return sign.join(digits[i : i + 4] for i in range(0, length, 4)) if length % 4 != 1 else digits


def _iban(chance):
    country, length = chance.choice([("DE", 22), ("GB", 22), ("NO", 15), ("FR", 27), ("MT", 31)])
    rest = "".join(chance.choices(string.digits + (string.ascii_uppercase if country != "DE" else ""), k=length - 4))
    check = 98 - int("".join(str(int(c, 36)) for c in rest + country + "00")) % 97
    text = f"{country}{check:02}{rest}"
    return text if chance.random() < 0.5 else " ".join(text[i : i + 4] for i in range(0, length, 4))


def _key(chance):
    letters = string.ascii_letters + string.digits
    return chance.choice(["sk-proj-", "sk-ant-api03-", "ghp_", "gsk_", "hf_"]) + "".join(chance.choices(letters, k=44))


def prose(chance, planted):
    """Some words, with up to two values among them, which are added to *planted*."""
    words = [chance.choice(WORDS) for _ in range(chance.randint(1, 12))]
    for _ in range(chance.choice([0, 0, 1, 1, 2])):
        planted.append(value(chance))
        words.insert(chance.randint(0, len(words)), chance.choice(BETWEEN).format(planted[-1]))
    return " ".join(words)


def arguments(chance, planted):
    """What a tool is called with."""
    found = {"note": prose(chance, planted), "deep": [{"n": 7, "x": prose(chance, planted)}]}
    if chance.random() < 0.3:
        planted.append(_card(chance).replace(" ", "").replace("-", ""))
        found["number"] = int(planted[-1])
    if chance.random() < 0.2:
        planted.append(value(chance))
        found[planted[-1]] = True
    return found


def written(document, chance):
    """The document as JSON, in one of the ways in which servers and clients write it."""
    text = json.dumps(
        document, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, None, 2]),
        separators=chance.choice([(",", ":"), (", ", ": ")]),
    )  # fmt: skip
    for plain, escape in (("@", "\\u0040"), ("<", "\\u003c"), (">", "\\u003E"), ("/", "\\/")):
        if chance.random() < 0.15:
            text = text.replace(plain, escape)
    return text


def inner(document, chance):
    """JSON inside a string."""
    return json.dumps(document, ensure_ascii=chance.random() < 0.5)


def request(dialect, chance, planted):
    """A request with a conversation in it."""

    def say():
        return prose(chance, planted)

    call = arguments(chance, planted)
    if dialect == "chat":
        tool = {"id": "call_1", "type": "function", "function": {"name": "mail", "arguments": inner(call, chance)}}
        messages = [
            {"role": "system", "content": say()},
            {"role": "user", "content": [{"type": "text", "text": say()}, {"type": "text", "text": say()}]},
            {"role": "assistant", "content": None, "tool_calls": [tool]},
            {"role": "tool", "tool_call_id": "call_1", "content": say()},
        ]
        return {"model": "m", "messages": messages, "user": say(), "temperature": 0.10, "metadata": {"a": say()}}
    if dialect == "responses":
        items = [
            {"role": "user", "content": [{"type": "input_text", "text": say()}]},
            {"type": "function_call", "call_id": "c", "name": "mail", "arguments": inner(call, chance)},
            {"type": "function_call_output", "call_id": "c", "output": inner([say()], chance)},
        ]
        return {"model": "m", "instructions": say(), "input": items}
    if dialect == "messages":
        result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": say()}]}
        messages = [
            {"role": "user", "content": say()},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "mail", "input": call}]},
            {"role": "user", "content": [result]},
        ]
        return {"model": "m", "max_tokens": 9, "system": [{"type": "text", "text": say()}], "messages": messages}
    parts = [{"text": say()}, {"functionResponse": {"name": "f", "response": arguments(chance, planted)}}]
    called = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": call}}]}
    contents = [{"role": "user", "parts": parts}, called]
    return {"contents": contents, "systemInstruction": {"parts": [{"text": say()}]}, "generationConfig": {"topK": 1}}


# --- streams ------------------------------------------------------------------------------------------


def cut(text, chance):
    """*text* in pieces, cut anywhere."""
    borders = sorted(chance.randint(0, len(text)) for _ in range(chance.randint(0, 8)))
    return [text[a:b] for a, b in zip([0, *borders], [*borders, len(text)], strict=True)]


def _event(document, name=""):
    data = json.dumps(document, ensure_ascii=False).replace("\u2028", "\\u2028")
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def _chat_events(said, thought, args, chance):
    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for name, text in (("reasoning_content", thought), ("content", said)):
        for piece in cut(text, chance):
            yield chunk({name: piece})
    first = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}
    yield chunk({"tool_calls": [first]})
    for piece in cut(args, chance):
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls")
    yield b"data: [DONE]\n\n"


def _messages_events(said, thought, args, chance):
    def event(kind, **more):
        return _event({"type": kind, **more}, kind)

    yield event("message_start", message={"id": "m", "type": "message", "role": "assistant", "content": []})
    blocks = (
        ({"type": "thinking", "thinking": ""}, "thinking_delta", "thinking", thought),
        ({"type": "text", "text": ""}, "text_delta", "text", said),
        ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, "input_json_delta", "partial_json", args),
    )
    for index, (block, kind, name, text) in enumerate(blocks):
        yield event("content_block_start", index=index, content_block=block)
        for piece in cut(text, chance):
            yield event("content_block_delta", index=index, delta={"type": kind, name: piece})
            if chance.random() < 0.1:
                yield event("ping")
        yield event("content_block_stop", index=index)
    yield event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 5})
    yield event("message_stop")


def _responses_events(said, thought, args, chance):
    number = iter(range(1000))

    def event(kind, **more):
        return _event({"type": kind, "sequence_number": next(number), **more}, kind)

    yield event("response.created", response={"id": "r", "status": "in_progress", "output": []})
    kinds = (
        ("response.reasoning_summary_text", {"summary_index": 0}, thought, "text"),
        ("response.output_text", {"content_index": 0, "logprobs": []}, said, "text"),
        ("response.function_call_arguments", {}, args, "arguments"),
    )
    for index, (kind, more, text, name) in enumerate(kinds):
        where = {"item_id": f"i{index}", "output_index": index} | more
        for piece in cut(text, chance):
            yield event(f"{kind}.delta", delta=piece, **where)
        yield event(f"{kind}.done", **where, **{name: text})
    message = {"type": "message", "content": [{"type": "output_text", "text": said}]}
    output = [message, {"type": "function_call", "arguments": args}]
    yield event("response.completed", response={"id": "r", "status": "completed", "output": output})


def _gemini_events(said, thought, args, chance):
    def chunk(parts, **more):
        return _event({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0, **more}]})

    for piece in cut(thought, chance):
        yield chunk([{"text": piece, "thought": True}])
    for piece in cut(said, chance):
        yield chunk([{"text": piece}])
    yield chunk([{"functionCall": {"name": "f", "args": json.loads(args)}}])
    yield chunk([{"text": ""}], finishReason="STOP")


_EVENTS = {"chat": _chat_events, "responses": _responses_events, "messages": _messages_events, "gemini": _gemini_events}


def events(dialect, said, thought, args, chance):
    """The events of a stream in which a model says *said*, thinks *thought* and calls with *args* (JSON)."""
    return list(_EVENTS[dialect](said, thought, args, chance))


def heard(dialect, stream):
    """(said, thought, arguments): what a client reads out of a stream."""
    said = {"said": "", "thought": "", "args": ""}
    for block in stream.decode().split("\n\n"):
        data = "\n".join(line[6:] for line in block.split("\n") if line.startswith("data: "))
        if data and data != "[DONE]":
            for lane, text in _HEARD[dialect](json.loads(data)):
                said[lane] += text
    assert FACES[dialect].END.seen(stream)
    return said["said"], said["thought"], said["args"]


def _hear_chat(document):
    delta = document["choices"][0]["delta"]
    yield "said", delta.get("content") or ""
    yield "thought", delta.get("reasoning_content") or ""
    for tool in delta.get("tool_calls", ()):
        yield "args", tool["function"]["arguments"]


def _hear_responses(document):
    lane = {"response.output_text.delta": "said", "response.reasoning_summary_text.delta": "thought",
            "response.function_call_arguments.delta": "args"}.get(document["type"])  # fmt: skip
    if lane:
        yield lane, document["delta"]


def _hear_messages(document):
    delta = document.get("delta", {})
    yield "said", delta.get("text", "")
    yield "thought", delta.get("thinking", "")
    yield "args", delta.get("partial_json", "")


def _hear_gemini(document):
    for part in document["candidates"][0]["content"]["parts"]:
        if "text" in part:
            yield ("thought" if part.get("thought") else "said"), part["text"]
        if "functionCall" in part:
            yield "args", json.dumps(part["functionCall"]["args"])


_HEARD = {"chat": _hear_chat, "responses": _hear_responses, "messages": _hear_messages, "gemini": _hear_gemini}
