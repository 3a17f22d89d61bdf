"""The vendors' own SDKs, each as a conversation: ``ask`` and ``answer`` give what the model Said.

The history is kept as their users keep it: the SDK's own objects go back in.
"""

import base64
from dataclasses import dataclass, field

import anthropic
import openai
from google import genai
from google.genai import types
from live_servers import CLIENT_KEY

# One red pixel.
IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
_DATA_URL = "data:image/png;base64," + base64.b64encode(IMAGE).decode()
_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOL = {"name": "get_weather", "description": "Tells the weather"}


@dataclass
class Said:
    text: str = ""
    calls: list = field(default_factory=list)  # (id, name, arguments as a string or a dict)
    pieces: int = 0  # text deltas, of a stream


class ChatTalk:
    dialect = "chat"
    failures = (openai.APIError,)

    def __init__(self, url, model, stream, key=CLIENT_KEY):
        self.client = openai.OpenAI(api_key=key, base_url=url, max_retries=0, timeout=20)
        self._model, self._stream, self._history = model, stream, []

    def ask(self, text, image=False, tool=False):
        content = [{"type": "text", "text": text}]
        if image:
            content.append({"type": "image_url", "image_url": {"url": _DATA_URL}})
        self._history.append({"role": "user", "content": content})
        self._more = {"tools": [{"type": "function", "function": _TOOL | {"parameters": _PARAMETERS}}]} if tool else {}
        return self._send()

    def answer(self, call, result):
        self._history.append({"role": "tool", "tool_call_id": call[0], "content": result})
        return self._send()

    def _send(self):
        create = self.client.chat.completions.create
        if self._stream:
            return self._read(create(model=self._model, messages=self._history, stream=True, **self._more))
        message = create(model=self._model, messages=self._history, **self._more).choices[0].message
        self._history.append(message)
        calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
        return Said(message.content or "", calls)

    def _read(self, stream):
        said, calls = Said(), {}
        for chunk in stream:
            for choice in chunk.choices:
                if choice.delta.content:
                    said.text += choice.delta.content
                    said.pieces += 1
                for part in choice.delta.tool_calls or ():
                    call = calls.setdefault(part.index, ["", "", ""])
                    call[0] += part.id or ""
                    call[1] += part.function.name or ""
                    call[2] += part.function.arguments or ""
        said.calls = [tuple(call) for call in calls.values()]
        asked = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in said.calls]
        own = {"role": "assistant", "content": said.text or None}
        self._history.append(own | ({"tool_calls": asked} if asked else {}))
        return said


class ResponsesTalk:
    dialect = "responses"
    failures = (openai.APIError,)

    def __init__(self, url, model, stream, key=CLIENT_KEY):
        self.client = openai.OpenAI(api_key=key, base_url=url, max_retries=0, timeout=20)
        self._model, self._stream, self._history = model, stream, []

    def ask(self, text, image=False, tool=False):
        content = [{"type": "input_text", "text": text}]
        if image:
            content.append({"type": "input_image", "image_url": _DATA_URL, "detail": "auto"})
        self._history.append({"role": "user", "content": content})
        tools = [{"type": "function", "strict": False, **_TOOL, "parameters": _PARAMETERS}]
        self._more = {"tools": tools} if tool else {}
        return self._send()

    def answer(self, call, result):
        self._history.append({"type": "function_call_output", "call_id": call[0], "output": result})
        return self._send()

    def _send(self):
        create, said = self.client.responses.create, Said()
        if self._stream:
            for event in create(model=self._model, input=self._history, stream=True, **self._more):
                if event.type == "response.output_text.delta":
                    said.text += event.delta
                    said.pieces += 1
                if event.type == "response.completed":
                    reply = event.response
            assert said.text == reply.output_text
        else:
            reply = create(model=self._model, input=self._history, **self._more)
            said.text = reply.output_text
        said.calls = [(i.call_id, i.name, i.arguments) for i in reply.output if i.type == "function_call"]
        self._history += [item.model_dump(exclude_none=True) for item in reply.output]
        return said


class MessagesTalk:
    dialect = "messages"
    failures = (anthropic.APIError,)

    def __init__(self, url, model, stream, key=CLIENT_KEY):
        self.client = anthropic.Anthropic(api_key=key, base_url=url, max_retries=0, timeout=20)
        self._model, self._stream, self._history = model, stream, []

    def ask(self, text, image=False, tool=False):
        content = [{"type": "text", "text": text}]
        if image:
            source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(IMAGE).decode()}
            content.append({"type": "image", "source": source})
        self._history.append({"role": "user", "content": content})
        self._more = {"tools": [_TOOL | {"input_schema": _PARAMETERS}]} if tool else {}
        return self._send()

    def answer(self, call, result):
        block = {"type": "tool_result", "tool_use_id": call[0], "content": result}
        self._history.append({"role": "user", "content": [block]})
        return self._send()

    def _send(self):
        given, said = {"model": self._model, "max_tokens": 500, "messages": self._history, **self._more}, Said()
        if self._stream:
            with self.client.messages.stream(**given) as stream:
                for piece in stream.text_stream:
                    said.text += piece
                    said.pieces += 1
                reply = stream.get_final_message()
        else:
            reply = self.client.messages.create(**given)
            said.text = "".join(block.text for block in reply.content if block.type == "text")
        said.calls = [(block.id, block.name, block.input) for block in reply.content if block.type == "tool_use"]
        self._history.append({"role": "assistant", "content": reply.content})
        return said


class GeminiTalk:
    dialect = "gemini"
    failures = (genai.errors.APIError,)

    def __init__(self, url, model, stream, key=CLIENT_KEY, version=None):
        options = types.HttpOptions(base_url=url, timeout=20_000, **({"api_version": version} if version else {}))
        self.client = genai.Client(api_key=key, http_options=options)
        self._model, self._stream, self._history = model, stream, []

    def ask(self, text, image=False, tool=False):
        parts = [types.Part.from_text(text=text)]
        if image:
            parts.append(types.Part.from_bytes(data=IMAGE, mime_type="image/png"))
        self._history.append(types.Content(role="user", parts=parts))
        function = types.FunctionDeclaration(**_TOOL, parameters_json_schema=_PARAMETERS)
        tools = [types.Tool(function_declarations=[function])] if tool else None
        self._config = types.GenerateContentConfig(tools=tools)
        return self._send()

    def answer(self, call, result):
        part = types.Part.from_function_response(name=call[1], response={"output": result})
        part.function_response.id = call[0]
        self._history.append(types.Content(role="user", parts=[part]))
        return self._send()

    def _send(self):
        given, said, parts = {"model": self._model, "contents": self._history, "config": self._config}, Said(), []
        models = self.client.models
        replies = models.generate_content_stream(**given) if self._stream else [models.generate_content(**given)]
        for reply in replies:
            for part in reply.candidates[0].content.parts if reply.candidates and reply.candidates[0].content else ():
                parts.append(part)
                if part.text and not part.thought:
                    said.text += part.text
                    said.pieces += 1
                if part.function_call:
                    said.calls.append((part.function_call.id, part.function_call.name, part.function_call.args))
        self._history.append(types.Content(role="model", parts=parts))
        return said


TALKS = {talk.dialect: talk for talk in (ChatTalk, ResponsesTalk, MessagesTalk, GeminiTalk)}


def talk_to(door, dialect, model, stream=True, **options):
    """A conversation at the usual address of *dialect*'s SDK."""
    url = door.url + "/v1" if dialect in ("chat", "responses") else door.url
    return TALKS[dialect](url, model, stream, **options)
