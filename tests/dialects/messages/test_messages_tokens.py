"""The estimate: near enough, additive, and nothing left out."""

import pytest

from gateway.dialects.messages.generations import abilities
from gateway.dialects.messages.tokens import PER_IMAGE, TokenCounter, estimate_tokens
from gateway.dialects.vocabulary import Media, OutputFormat, Prompt, Text, Tool, ToolCall, ToolResult, Turn

# Texts with the range of what current tokenizers count for them.
COUNTED = [
    ("The quick brown fox jumps over the lazy dog. " * 20, 180, 300),
    ("def add(a, b):\n    return a + b\n\n" * 20, 200, 420),
    ("人工智能正在改变世界。" * 20, 150, 330),
    ("1234567890 " * 20, 60, 140),
    ("Привет, как у тебя дела сегодня? " * 20, 160, 360),
    ("", 0, 0),
]


def count(text: str) -> int:
    counter = TokenCounter()
    counter.add(text)
    return counter.total


@pytest.mark.parametrize(("text", "least", "most"), COUNTED)
def test_texts_are_about_right(text, least, most):
    assert least <= count(text) <= most


def test_pieces_count_as_the_whole():
    text = "".join(text for text, _, _ in COUNTED) + "😀\ud83d"
    counter = TokenCounter()
    for start in range(0, len(text), 3):
        counter.add(text[start : start + 3])
    assert abs(counter.total - count(text)) <= 1


def test_everything_counts():
    words = "several words here"
    prompt = Prompt("chat", "m")
    sizes = [estimate_tokens(prompt)]
    prompt.turns = [Turn("user", [Text(words)])]
    sizes.append(estimate_tokens(prompt))
    prompt.turns.append(Turn("assistant", [ToolCall("c", "f", '{"a": "b"}')]))
    sizes.append(estimate_tokens(prompt))
    prompt.turns.append(Turn("tool", [ToolResult("c", [Text(words), Media("image", data="AA==")])]))
    sizes.append(estimate_tokens(prompt))
    assert sizes[-1] - sizes[-2] > PER_IMAGE
    prompt.tools = [Tool("f", "does things", {"type": "object", "properties": {"a": {"type": "string"}}})]
    sizes.append(estimate_tokens(prompt))
    prompt.output = OutputFormat("json_schema", {"type": "object", "properties": {"x": {"type": "string"}}})
    sizes.append(estimate_tokens(prompt))
    prompt.turns.append(Turn("user", [Media("file", data="A" * 4_000_000)]))
    sizes.append(estimate_tokens(prompt))
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("model", "twin"),
    [
        ("anthropic/claude-opus-4.8", "claude-opus-4-8"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1"),
        ("claude-opus-4@20250514", "claude-opus-4-0"),
        ("claude-4.7-opus", "claude-opus-4-7"),
        ("claude-3-7-sonnet-20250219", "claude-sonnet-3.7"),
        ("claude-latest", "claude-sonnet-5"),
        ("claude-opus-9", "claude-opus-5-5"),
        ("glm-5", "kimi-k3"),
    ],
)
def test_model_names_in_all_their_spellings(model, twin):
    assert abilities(model) == abilities(twin)
