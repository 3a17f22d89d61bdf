"""The events of a Messages stream, as bytes."""

from typing import Any

from gateway import json_text, sse


def event(document: dict[str, Any]) -> bytes:
    """The event that *document* is; its ``type`` is its name."""
    return sse.write_event(json_text.write(document), document["type"])


def block_start(number: int, block: dict[str, Any]) -> bytes:
    return event({"type": "content_block_start", "index": number, "content_block": block})


def block_delta(number: int, delta: dict[str, Any]) -> bytes:
    return event({"type": "content_block_delta", "index": number, "delta": delta})


def delta_head(number: int, kind: str, member: str) -> bytes:
    """What every delta of a block begins with whose words stand in *member*: they follow as a JSON string,
    and ``}}`` and an empty line behind them."""
    head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,' % number
    return head + b'"delta":{"type":"%s","%s":' % (kind.encode(), member.encode())


def block_stop(number: int) -> bytes:
    return event({"type": "content_block_stop", "index": number})


def thinking_block() -> dict[str, Any]:
    """An empty one, to begin with."""
    return {"type": "thinking", "thinking": "", "signature": ""}
