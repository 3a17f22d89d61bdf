"""Free-text tools on targets that know functions only: out as a function, back as free text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import chat, messages, responses
from gateway.dialects.custom_tools import UnwrappingReader, lacking, unwrapped, wrapped
from gateway.dialects.translation import Translation
from gateway.dialects.vocabulary import (
    Choice,
    Closed,
    Completion,
    Delta,
    Opened,
    Prompt,
    Target,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)

PATCH = "*** Begin Patch\n*** End Patch"
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: PATCH"}


def prompt(tools, turns=()):
    return Prompt("responses", "m", list(turns), tools)


class Upstream:
    """A stream reader that gives the events it was made of, one list a feed."""

    def __init__(self, steps):
        self._steps = iter(steps)

    def feed(self, event):
        return next(self._steps)

    def close(self):
        return []


def streamed(arguments, cuts):
    """What a client's writer sees of a wrapped call whose arguments arrive cut at *cuts*."""
    steps = [[Opened(0, ToolCall("c", "patch"))]]
    edges = sorted({0, len(arguments), *(cut % (len(arguments) + 1) for cut in cuts)})
    steps += [[Delta(0, arguments[a:b])] for a, b in zip(edges, edges[1:], strict=False)]
    steps += [[Closed(0)]]
    reader = UnwrappingReader(Upstream(steps), frozenset({"patch"}))
    return [event for _ in steps for event in reader.feed(None)]


def test_a_custom_tool_goes_out_as_a_function_with_one_string():
    asked, names = wrapped(prompt([Tool("patch", "Edits files.", kind="custom", raw={"format": GRAMMAR})]))
    (tool,) = asked.tools
    assert names == {"patch"}
    assert (tool.kind, tool.parameters["required"]) == ("function", ["input"])
    assert "lark" in tool.description and "start: PATCH" in tool.description


def test_earlier_calls_and_results_take_the_same_form():
    turns = [
        Turn("assistant", [ToolCall("c", "patch", PATCH, "custom")]),
        Turn("tool", [ToolResult("c", [Text("done")], kind="custom")]),
    ]
    asked, _ = wrapped(prompt([Tool("patch", kind="custom")], turns))
    call, result = asked.turns[0].parts[0], asked.turns[1].parts[0]
    assert (call.kind, json.loads(call.arguments)) == ("function", {"input": PATCH})
    assert result.kind == "function"
    assert turns[0].parts[0].kind == "custom"  # the client's own prompt is not touched


def test_a_prompt_without_custom_tools_is_the_same_object():
    asked = prompt([Tool("f", parameters={})])
    assert wrapped(asked) == (asked, frozenset()) and wrapped(asked)[0] is asked


def test_a_whole_answer_comes_back_as_free_text():
    calls = [ToolCall("c", "patch", json.dumps({"input": PATCH})), ToolCall("d", "other", '{"input":"x"}')]
    unwrapped(Completion("", "", [Choice(calls)]), frozenset({"patch"}))
    assert [(call.kind, call.arguments) for call in calls] == [("custom", PATCH), ("function", '{"input":"x"}')]


@given(st.text(st.characters(), max_size=40), st.booleans(), st.lists(st.integers(0, 400), max_size=30))
def test_a_streamed_input_is_the_same_however_it_is_cut(text, ascii_only, cuts):
    events = streamed(json.dumps({"input": text}, ensure_ascii=ascii_only), cuts)
    said = "".join(event.text for event in events if isinstance(event, Delta))
    assert said.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")
    assert events[0].part.kind == "custom"


def test_streamed_input_leaves_before_the_call_is_over():
    events = streamed(json.dumps({"input": "abcdef"}), [13, 15])
    assert [type(event) for event in events].count(Delta) > 1


def test_arguments_of_another_form_are_handed_on_as_they_are():
    events = streamed('{"patch": "x", "more": 1}', [3])
    assert "".join(event.text for event in events if isinstance(event, Delta)) == '{"patch": "x", "more": 1}'


def test_a_model_that_renames_the_one_string_is_understood():
    events = streamed('{"patch": "x"}', [3])
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "x"


def test_who_lacks_custom_tools():
    assert lacking("messages", frozenset()) and lacking("gemini", frozenset())
    assert lacking("chat", frozenset({"no_custom_tools"})) and not lacking("chat", frozenset())
    assert not lacking("responses", frozenset())


def test_codex_keeps_its_patch_tool_on_claude():
    document = {"model": "m", "input": "fix it", "tools": [{"type": "custom", "name": "apply_patch"}]}
    translation = Translation(responses, messages)
    written = translation.write(translation.read(document), Target("claude-x"))
    assert [tool["name"] for tool in written.document["tools"]] == ["apply_patch"]
    reply = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "tool_use",
             "content": [{"type": "tool_use", "id": "t1", "name": "apply_patch", "input": {"input": PATCH}}],
             "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    (call,) = translation.read_reply(reply).choices[0].parts
    assert (call.kind, call.arguments) == ("custom", PATCH)


def test_a_chat_vendor_with_custom_tools_gets_them_as_they_are():
    translation = Translation(responses, chat)
    asked = translation.read({"model": "m", "input": "x", "tools": [{"type": "custom", "name": "apply_patch"}]})
    assert translation.write(asked, Target("m")).document["tools"][0]["type"] == "custom"
