"""Whole replies of each dialect."""


def reply_of(dialect, said):
    """A whole reply in which a model says *said*."""
    return {
        "chat": {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]},
        "responses": {"status": "completed", "output": [
            {"type": "message", "content": [{"type": "output_text", "text": said}]}
        ]},
        "messages": {"type": "message", "content": [{"type": "text", "text": said}], "stop_reason": "end_turn"},
        "gemini": {"candidates": [{"content": {"parts": [{"text": said}]}, "finishReason": "STOP"}]},
    }[dialect]  # fmt: skip
