"""An upstream that does exactly what a test says, over a real socket, and keeps what it was sent."""

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

_PATIENCE = 10.0  # seconds; only ever used up by a failure


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing for so many seconds, or until the other end has gone."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing until ``gate`` is set or released (a threading Event or Semaphore), at most *seconds*.
    ``missed`` counts the times when that was too long."""

    gate: Any
    seconds: float = _PATIENCE
    missed: list[int] = field(default_factory=list)


CUT = object()  # the connection ends in good order, in the middle of the answer
RESET = object()  # the connection ends with a RST


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer. Each piece of ``pieces`` that is bytes is sent at once, as one HTTP chunk; the
    others are Stall, Wait, CUT or RESET. Given as bytes, the body is sent whole, with its length."""

    pieces: bytes | Iterable[Any] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What the gateway sent: ``headers`` by lower-case name, ``body`` as it came."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        return json.loads(self.body)


def document(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Scripted:
    """A whole JSON answer: *body* is any value that JSON can say, or its bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Scripted(data, status, {"content-type": "application/json"} | dict(headers or {}))


def stream(*pieces: Any, media_type: str = "text/event-stream", headers: Mapping[str, str] | None = None) -> Scripted:
    """A streamed answer; see Scripted for its pieces."""
    return Scripted(pieces, 200, {"content-type": media_type} | dict(headers or {}))


def cut(data: bytes, size: int) -> list[bytes]:
    """*data* in pieces of *size* bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]


class ScriptedUpstream:
    """Answers with what ``say`` was given, one after the other, then with ``otherwise``.

    ``sent`` holds every request since ``forget()``; ``left`` how many answers were left by the
    other end before their last piece. Use it as a context manager, or call ``close()``.
    """

    def __init__(self, otherwise: Scripted | Callable[[Sent], Scripted] | None = None):
        self.otherwise = otherwise or document({"error": {"message": "the script has no answer left"}}, 500)
        self.sent: list[Sent] = []
        self.left = 0
        self._next: list[Scripted | Callable[[Sent], Scripted]] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def say(self, *answers: Scripted | Callable[[Sent], Scripted]) -> None:
        """What to answer to the next requests; a function is asked with the Sent."""
        self._next += answers

    def forget(self) -> None:
        """Drop what was said and what was sent."""
        self._next.clear()
        self.sent.clear()
        self.left = 0

    def close(self) -> None:
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "ScriptedUpstream":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        self._open.add(sock)
        with contextlib.suppress(OSError, _Ended), sock, sock.makefile("rb") as reader:
            while (sent := _read(reader)) is not None:
                self.sent.append(sent)
                answer = self._next.pop(0) if self._next else self.otherwise
                self._answer(sock, answer(sent) if callable(answer) else answer)
        self._open.discard(sock)

    def _answer(self, sock: socket.socket, answer: Scripted) -> None:
        whole = isinstance(answer.pieces, bytes)
        framing = {"content-length": str(len(answer.pieces))} if whole else {"transfer-encoding": "chunked"}
        lines = [f"{name}: {value}" for name, value in {**answer.headers, **framing}.items()]
        reason = http.client.responses.get(answer.status, "Unknown")
        head = "\r\n".join([f"HTTP/1.1 {answer.status} {reason}", *lines, "", ""]).encode("latin-1")
        if whole:
            sock.sendall(head + answer.pieces)
            return
        try:
            sock.sendall(head)
            for piece in answer.pieces:
                _act(sock, piece)
            sock.sendall(b"0\r\n\r\n")
        except OSError:
            self.left += 1
            raise


class _Ended(Exception):
    """The script has ended the connection."""


def _act(sock: socket.socket, piece: Any) -> None:
    if isinstance(piece, Stall):
        _stall(sock, piece.seconds)
    elif isinstance(piece, Wait):
        waited = piece.gate.wait(piece.seconds) if hasattr(piece.gate, "wait") else piece.gate.acquire(
            timeout=piece.seconds
        )  # fmt: skip
        if not waited:
            piece.missed.append(1)
    elif piece is CUT:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        raise _Ended
    elif piece is RESET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The reader still holds the descriptor: only detaching closes it now, and so sends the RST.
        socket.close(sock.detach())
        raise _Ended
    elif piece:
        sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))


def _stall(sock: socket.socket, seconds: float) -> None:
    """Raises OSError when the other end leaves meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            gone = not sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            break
        finally:
            sock.settimeout(None)
        if gone:
            raise ConnectionResetError("the other end has gone")
        time.sleep(0.01)


def _read(reader: BinaryIO) -> Sent | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) < 3:
        return None
    headers = {name.lower(): value for name, value in http.client.parse_headers(reader).items()}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join(_chunks(reader))
    else:
        body = reader.read(int(headers.get("content-length", "0")))
    return Sent(line[0], line[1], headers, body)


def _chunks(reader: BinaryIO) -> Iterable[bytes]:
    while size := int(reader.readline().partition(b";")[0] or b"0", 16):
        yield reader.read(size)
        reader.readline()
    reader.readline()
