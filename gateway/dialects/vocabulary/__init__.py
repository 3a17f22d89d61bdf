"""The neutral vocabulary between the dialects: what a conversation, an answer and a stream are.

Every dialect reads its own JSON into these words and writes them out in its own; no dialect
knows another. Pure values: no socket, no clock, no Flask. ``None`` always means "not said".

A word that only one dialect has is kept in ``rest`` (whole documents) or as an ``Opaque`` part,
marked with the dialect it came from: the same dialect writes it back, any other names it as
dropped. Nothing disappears in silence.
"""

from gateway.dialects.vocabulary.completion import FINISHES, Choice, Completion, Finish
from gateway.dialects.vocabulary.parts import (
    Citation,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.dialects.vocabulary.prompt import OutputFormat, Prompt, ReasoningWish, Tool, ToolChoice, Turn
from gateway.dialects.vocabulary.stream import (
    Closed,
    Delta,
    Failed,
    Finished,
    Mark,
    Opened,
    Started,
    StreamEvent,
    UsageSeen,
)
from gateway.dialects.vocabulary.writing import Asked, Target, Written

__all__ = [
    "Asked", "Choice", "Citation", "Closed", "Completion", "Delta", "FINISHES", "Failed", "Finish", "Finished",
    "Mark", "Media", "Opaque", "Opened", "OutputFormat", "Part", "Prompt", "Reasoning", "ReasoningWish", "Refusal",
    "Started", "StreamEvent", "Target", "Text", "Tool", "ToolCall", "ToolChoice", "ToolResult", "Turn", "UsageSeen",
    "Written",
]  # fmt: skip
