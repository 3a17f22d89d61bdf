"""POST /v1/responses/compact on a channel that has none: a model call with a prompt of our own.

``compact_prompt`` makes the call out of the request, ``compact_reply`` the documented answer out
of what the model wrote. The compaction item in it holds the summary readably for this gateway
only (see carrier): turn_reader gives it back as context, whatever channel then serves the call.
"""

from typing import Any

from gateway.dialects.responses import carrier
from gateway.dialects.responses.item_writer import ItemWriter
from gateway.dialects.responses.request_reader import INSTRUCTIONS, read_request
from gateway.dialects.responses.response import usage_member
from gateway.dialects.responses.turn_reader import COMPACTION
from gateway.dialects.vocabulary import (
    Asked,
    Completion,
    Media,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Target,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.errors import BadRequest, ChannelFailed
from gateway.usage import Usage

# Ids of the turns of a prompt that are not the user's own words.
_ASKED = "compact"
_TOLD = "told"

_BRIEF = """\
You are handing a conversation over to someone who will carry it on without having read it. What \
you write now is all they will know of it, so keep what they need and leave out what they do not:
- what the user wants in the end, and every rule, wish and limit the user has set, as exactly as it was put;
- what was decided and why, and what was tried and given up;
- what has been done so far, with names, paths, numbers, commands and error texts as they stand;
- what is still open, and the very next step.
Do not answer the conversation and do not go on with it. Do not invent anything."""

_REQUEST = "Write the handover of the conversation above now. Write nothing but the handover."

_PREFACE = "What came before in this conversation, as a summary:\n\n"


def compact_prompt(document: Any) -> Prompt:
    """The request (``model``, ``input``, ``instructions``, ...) as a prompt for a summary. Raises
    BadRequest, so for ``previous_response_id``.

    Calls and results become words, as some upstreams refuse them without their tools, and thinking
    is left out, as its signatures do not hold in another conversation.
    """
    prompt = read_request(document)
    if not any(turn.parts for turn in prompt.turns if turn.id != INSTRUCTIONS):
        raise BadRequest("input holds nothing to compact", param="input")
    brief = _BRIEF
    if prompt.turns[0].id == INSTRUCTIONS:
        wishes = prompt.turns.pop(0).parts[0]
        brief += f"\n\nThe client adds:\n{wishes.text}" if isinstance(wishes, Text) else ""
    told = [_told(turn) for turn in prompt.turns]
    ask = Turn("user", [Text(_REQUEST)], id=_ASKED)
    prompt.turns = [Turn("system", [Text(brief)], id=INSTRUCTIONS), *(turn for turn in told if turn.parts), ask]
    prompt.tools, prompt.tool_choice, prompt.parallel_tool_calls = [], None, None
    prompt.output, prompt.stream, prompt.include_usage = None, False, None
    return prompt


def compact_reply(completion: Completion, asked: Asked) -> dict[str, Any]:
    """The summary as ``{id, object, created_at, output, usage}``: the user's own messages and a
    compaction item (openai.types.responses.CompactedResponse). Raises ChannelFailed when the model
    wrote nothing, as the conversation would be lost."""
    parts = completion.choices[0].parts if completion.choices else []
    summary = "".join(part.text for part in parts if isinstance(part, Text)).strip()
    if not summary:
        raise ChannelFailed("the model wrote no summary of the conversation")
    item = {
        "id": asked.new_id("cmp_"),
        "type": "compaction",
        "encrypted_content": carrier.pack({"compaction": _PREFACE + summary}),
    }
    return {
        "id": completion.id if completion.id.startswith("resp_") else asked.new_id("resp_"),
        "object": "response.compaction",
        "created_at": asked.created if completion.created is None else completion.created,
        "output": [*_user_messages(asked), item],
        "usage": usage_member(completion.usage) or usage_member(Usage(0, 0)),
    }


def _told(turn: Turn) -> Turn:
    parts = [word for part in turn.parts for word in _words(part)]
    return Turn("user", parts, id=_TOLD) if turn.role == "tool" else Turn(turn.role, parts, id=turn.id)


def _words(part: Part) -> list[Part]:
    if isinstance(part, ToolCall):
        return [Text(f"[called {part.name} with {part.arguments or '{}'}]")]
    if isinstance(part, ToolResult):
        inner = [word for each in part.parts for word in _words(each)]
        return [Text(f"[{part.name or part.call_id} answered:]"), *inner]
    if isinstance(part, Refusal):
        return [Text(part.text)]
    if isinstance(part, Text):
        return [Text(part.text)] if part.text else []
    if isinstance(part, Reasoning):
        return []
    return [part] if isinstance(part, Media) and part.extra_dialect == "" else []


def _user_messages(asked: Asked) -> list[dict]:
    """What the user said, word for word; results of tools and earlier summaries are in the new one."""
    said = []
    for turn in asked.prompt.turns:
        if turn.role == "user" and turn.id not in (_ASKED, _TOLD, COMPACTION):
            for item in ItemWriter(asked.prompt, Target(asked.model)).write([turn]):
                said.append({"id": asked.new_id("msg_"), **item, "status": "completed"})
    return said
