"""A mock LLM API that streams: ``python -m benchmarks.upstream PORT``.

The model's name says what to send: ``mock-100x0`` is 100 events at once, ``mock-200x50`` is 200
events 50 ms apart. /v1/chat/completions answers in chat, /v1/messages in Messages. Every event is
one write to the socket, as it is with a real model. Paced events carry the moment they were sent
(this machine's monotonic clock), so that whoever reads them can tell how long they were under way.
"""

import asyncio
import gc
import logging
import os
import re
import signal
import socket
import sys
from time import monotonic_ns

PROCESSES = 2

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model": ?"mock-(\d+)x(\d+)"')
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\nx-request-id: req_mock\r\n\r\n"
)

_CHUNK = (
    b'data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1735689600,"model":"gpt-4o",'
    b'"choices":[{"index":0,"delta":%s,"finish_reason":%s}]%s}\n\n'
)
_CHAT = (
    b"",
    _CHUNK % (b'{"content":"t=%019d|"}', b"null", b""),
    _CHUNK % (b"{}", b'"stop"', b',"usage":{"prompt_tokens":26,"completion_tokens":100,"total_tokens":126}')
    + b"data: [DONE]\n\n",
)
_MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_mock","type":"message",'
    b'"role":"assistant","model":"claude-mock","content":[],"stop_reason":null,"stop_sequence":null,'
    b'"usage":{"input_tokens":26,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"t=%019d|"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
    b'"stop_sequence":null},"usage":{"output_tokens":100}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)


def _chunk(data: bytes) -> bytes:
    """One HTTP chunk; a stamp that is filled in later is 19 digits where its place takes 5."""
    size = len(data) + (14 if b"%019d" in data else 0)
    return b"%x\r\n%b\r\n" % (size, data) if data else b""


class _Scene:
    """One dialect's stream as HTTP chunks, made once."""

    def __init__(self, first: bytes, event: bytes, last: bytes):
        self.begin = _HEAD + _chunk(first)
        self.event = _chunk(event)
        self.unstamped = self.event % 0
        self.end = _chunk(last) + b"0\r\n\r\n"


_SCENES = {b"/v1/chat/completions": _Scene(*_CHAT), b"/v1/messages": _Scene(*_MESSAGES)}


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:
        # asyncio does this only for sockets whose protocol number was spelt out.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if not found or len(body) < size:
            return
        self._held = body[size:]
        model = _MODEL.search(body)
        scene = _SCENES.get(head.split(b" ", 2)[1].partition(b"?")[0])
        if model is None or scene is None:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        else:
            self._answer(scene, int(model[1]), int(model[2]) / 1000)

    def _answer(self, scene: _Scene, events: int, pause: float) -> None:
        write = self._transport.write
        write(scene.begin)
        if pause:
            self._pace(scene, events, pause, asyncio.get_running_loop().time())
            return
        event = scene.unstamped
        for _ in range(events):
            write(event)
        write(scene.end)

    def _pace(self, scene: _Scene, left: int, pause: float, due: float) -> None:
        self._transport.write(scene.event % monotonic_ns())
        if left == 1:
            self._transport.write(scene.end)
        else:
            call_at = asyncio.get_running_loop().call_at
            self._timer = call_at(due + pause, self._pace, scene, left - 1, pause, due + pause)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()


async def _serve(port: int) -> None:
    # The kernel deals connections out to the processes.
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    server = await asyncio.get_running_loop().create_server(_Connection, sock=listener, backlog=4096)
    await server.serve_forever()


def main() -> None:
    gc.disable()  # a collection would show up as a late event
    logging.disable(logging.WARNING)  # asyncio's, at each write to a client that has left
    children = []
    for _ in range(PROCESSES):
        child = os.fork()
        if not child:
            asyncio.run(_serve(int(sys.argv[1])))
        children.append(child)

    def stop(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGKILL)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.pause()


if __name__ == "__main__":
    main()
