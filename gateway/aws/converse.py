"""Anthropic Messages said in the words of Bedrock's Converse API, which all of its models understand.

Source: "Converse" in the Amazon Bedrock API reference. Pure: dict -> dict;
the way back is converse_reply's.
"""

import base64
import re
from typing import Any

_ODD_IN_NAMES = re.compile(r"[^A-Za-z0-9 \-()\[\]]+")
_DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
}  # fmt: skip
_SAMPLING = {
    "max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP", "stop_sequences": "stopSequences",
}  # fmt: skip
# Members that have no word in Converse; Claude takes them beside it.
_CLAUDES = ("thinking", "top_k", "output_config")
_READ = frozenset({"model", "messages", "system", "stream", "tools", "tool_choice", *_SAMPLING})


def to_converse(document: dict[str, Any], claude: bool) -> tuple[dict[str, Any], list[str]]:
    """A Messages request as a Converse request, and what of it could not be said. *claude*: the
    model is one of Anthropic's and takes their members, too."""
    dropped: list[str] = []
    written: dict[str, Any] = {"messages": [_turn(turn, dropped) for turn in document.get("messages") or ()]}
    written["messages"] = [turn for turn in written["messages"] if turn["content"]]
    system = document.get("system") or []
    system = [{"type": "text", "text": system}] if isinstance(system, str) else system
    if blocks := _blocks(system, dropped):
        written["system"] = blocks
    config = {theirs: document[ours] for ours, theirs in _SAMPLING.items() if document.get(ours) is not None}
    if config:
        written["inferenceConfig"] = config
    if document.get("tools"):
        _write_tools(written, document, dropped)
    more = {name: document[name] for name in _CLAUDES if claude and document.get(name) is not None}
    if more:
        written["additionalModelRequestFields"] = more
    dropped += [name for name, value in document.items() if name not in _READ | set(more) and value is not None]
    return written, list(dict.fromkeys(dropped))


def _turn(turn: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    content = turn.get("content") or []
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {"role": turn.get("role"), "content": _blocks(blocks, dropped)}


def _blocks(blocks: list[Any], dropped: list[str]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        made = _WRITERS[kind](block, dropped) if kind in _WRITERS else None
        if made is None:
            dropped.append(f"part.{kind}")
        elif made:
            written.append(made)
            written += _cache_point(block)
    return written


def _cache_point(holder: dict[str, Any]) -> list[dict[str, Any]]:
    mark = holder.get("cache_control")
    if not isinstance(mark, dict):
        return []
    ttl = {"ttl": mark["ttl"]} if mark.get("ttl") in ("5m", "1h") else {}
    return [{"cachePoint": {"type": "default"} | ttl}]


# Each gives the block, {} for one that says nothing, or None for one that cannot be said.


def _text(block: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    text = block.get("text") or ""
    return {"text": text} if text.strip() else {}  # a blank one is refused


def _image(block: dict[str, Any], dropped: list[str]) -> dict[str, Any] | None:
    source = block.get("source") or {}
    if source.get("type") != "base64":
        return None
    kind = str(source.get("media_type")).rpartition("/")[2].lower()
    return {"image": {"format": {"jpg": "jpeg"}.get(kind, kind), "source": {"bytes": source.get("data")}}}


def _document(block: dict[str, Any], dropped: list[str]) -> dict[str, Any] | None:
    source = block.get("source") or {}
    data = source.get("data")
    if source.get("type") == "text" and isinstance(data, str):
        data = base64.b64encode(data.encode("utf-8", "replace")).decode()
    elif source.get("type") != "base64":
        return None
    form = _DOCUMENTS.get(source.get("media_type"))
    if form is None:
        return None
    name = " ".join(_ODD_IN_NAMES.sub(" ", str(block.get("title") or "document")).split())[:200]
    return {"document": {"format": form, "name": name or "document", "source": {"bytes": data}}}


def _tool_use(block: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": block.get("id"), "name": block.get("name"), "input": block.get("input") or {}}}


def _tool_result(block: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    content = block.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    written = [part for part in _blocks(parts, dropped) if "cachePoint" not in part]
    status = {"status": "error"} if block.get("is_error") else {}
    return {"toolResult": {"toolUseId": block.get("tool_use_id"), "content": written or [{"text": "(empty)"}]} | status}


def _thinking(block: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    signature = {"signature": block["signature"]} if block.get("signature") else {}
    return {"reasoningContent": {"reasoningText": {"text": block.get("thinking") or ""} | signature}}


def _redacted(block: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    return {"reasoningContent": {"redactedContent": block.get("data")}}


_WRITERS = {
    "text": _text, "image": _image, "document": _document, "tool_use": _tool_use, "tool_result": _tool_result,
    "thinking": _thinking, "redacted_thinking": _redacted,
}  # fmt: skip


def _write_tools(written: dict[str, Any], document: dict[str, Any], dropped: list[str]) -> None:
    tools: list[dict[str, Any]] = []
    for tool in document["tools"]:
        if tool.get("type") not in (None, "custom"):
            dropped.append(f"tools.{tool['type']}")
            continue
        spec = {"name": tool.get("name"), "inputSchema": {"json": tool.get("input_schema") or {"type": "object"}}}
        if tool.get("description"):
            spec["description"] = tool["description"]
        tools += [{"toolSpec": spec}, *_cache_point(tool)]
    choice = document.get("tool_choice") or {}
    kind = choice.get("type")
    if choice.get("disable_parallel_tool_use"):
        dropped.append("tool_choice.disable_parallel_tool_use")
    if kind == "none":
        # There is no such word. Without tools none is called, but calls made before need theirs.
        if not _used(document):
            return
        dropped.append("tool_choice")
    if tools:
        config: dict[str, Any] = {"tools": tools}
        if kind in ("auto", "any"):
            config["toolChoice"] = {kind: {}}
        elif kind == "tool":
            config["toolChoice"] = {"tool": {"name": choice.get("name")}}
        written["toolConfig"] = config


def _used(document: dict[str, Any]) -> bool:
    parts = (part for turn in document.get("messages") or () if isinstance(turn.get("content"), list)
             for part in turn["content"])  # fmt: skip
    return any(isinstance(part, dict) and part.get("type") in ("tool_use", "tool_result") for part in parts)
