"""An upstream that does exactly what a test says, and remembers exactly what it was sent.

A test either gives it an ``answer(function)``, called with each Exchange in a thread of its own, or
takes the exchanges out itself (``take()``) and plays the upstream step by step.
"""

import contextlib
import queue
import select
import socket
import struct
import threading
from dataclasses import dataclass, field

PATIENCE = 10.0


@dataclass
class Exchange:
    """One request, its bytes as they came, and the connection to answer on."""

    head: bytes = field(repr=False)
    body: bytes = field(repr=False)
    sock: socket.socket = field(repr=False)

    def __post_init__(self):
        line, *lines = self.head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = line.split(" ")
        pairs = (text.split(":", 1) for text in lines if text)
        self.headers = {name.lower(): value.strip() for name, value in pairs}
        self.ended = threading.Event()
        self.open = True

    def send(self, data):
        self.sock.sendall(data)
        return self

    def start(self, *headers, status="200 OK", framing="Transfer-Encoding: chunked", kind="text/event-stream"):
        """The head of an answer."""
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *([framing] if framing else []), *headers]
        return self.send("\r\n".join([*lines, "", ""]).encode())

    def chunk(self, data):
        return self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def last_chunk(self):
        return self.send(b"0\r\n\r\n")

    def reply(self, body, *headers, status="200 OK", kind="application/json"):
        """A whole answer."""
        self.start(*headers, status=status, framing=f"Content-Length: {len(body)}", kind=kind)
        return self.send(body)

    def stream(self, body, *headers):
        """A whole stream in one chunk."""
        return self.start(*headers).chunk(body).last_chunk()

    def close(self):
        """The end of the connection, in good order."""
        if self.open:
            self.open = False
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
        self.ended.set()

    def reset(self):
        """The end of the connection with RST."""
        self.open = False
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.ended.set()

    def left_within(self, seconds):
        """Whether the gateway closes the connection within that time."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
        try:
            return self.sock.recv(1) == b""
        except OSError:
            return True

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.close()
        self.ended.set()


class Upstream:
    """The server. ``exchanges`` are all that came since ``forget()``."""

    def __init__(self, context=None):
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self.connections = 0
        self._idle = set()  # connections whose next request is awaited
        self.forget()
        self._listen()

    def forget(self):
        """Everything of the test before: its answers, its requests, its open exchanges."""
        for exchange in getattr(self, "exchanges", ()):
            if not exchange.ended.is_set():
                exchange.close()
        self.exchanges = []
        self._waiting = queue.Queue()
        self._answer = None

    def answer(self, function):
        """From now on *function* answers each Exchange."""
        self._answer = function

    def take(self, seconds=PATIENCE):
        """The next Exchange, to be answered by the test itself."""
        try:
            return self._waiting.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError("the upstream got no request") from None

    def idle(self):
        """Whether no request waits to be taken."""
        return self._waiting.empty()

    def stop(self):
        self.forget()
        self._listener.close()

    def refuse(self):
        """From now on nobody is here: kept connections are closed, new ones refused."""
        if self._listener.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # else accept() would go on
            self._listener.close()
            for sock in list(self._idle):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def be_here(self):
        """The end of that, on the same port."""
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
            self._listen()

    def _listen(self):
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), sock:
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            with sock, sock.makefile("rb") as reader:
                while (exchange := self._next(reader, sock)) is not None:
                    self._exchange(exchange)
                    if not exchange.open:
                        return

    def _next(self, reader, sock):
        self._idle.add(sock)
        try:
            return _read(reader, sock)
        finally:
            self._idle.discard(sock)

    def _exchange(self, exchange):
        self.exchanges.append(exchange)
        if self._answer is None:
            self._waiting.put(exchange)
            exchange.ended.wait()
            return
        with exchange:
            self._answer(exchange)


def _read(reader, sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            return None
        head += line
    exchange = Exchange(head, b"", sock)
    exchange.body = reader.read(int(exchange.headers.get("content-length", "0")))
    return exchange
