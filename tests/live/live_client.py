"""A client on a bare socket: it sees the chunks, the pauses and how a reply really ended."""

import json
import socket
import struct
import threading

from live_servers import CLIENT_KEY

PATIENCE = 10.0


class Client:
    """One connection. ``status`` and ``headers`` (lower case) are those of the last head read."""

    def __init__(self, port, *, source=None, timeout=PATIENCE):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout, source_address=source)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self.sock.makefile("rb")
        self.status, self.headers = 0, {}
        self._held = b""

    def send(self, data):
        self.sock.sendall(data)
        return self

    def ask(self, method, path, body=None, **headers):
        """Sends a request, with the client's key if ``x_api_key=None`` does not take it away. A JSON
        body may be given as what it says."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway"]
        fields = {"x-api-key": CLIENT_KEY}
        if body is not None:
            fields |= {"content-type": "application/json", "content-length": str(len(body))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        return self.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    def post(self, path, body, **headers):
        return self.ask("POST", path, body, **headers)

    def head(self):
        """Reads status and headers; itself."""
        line = self._reader.readline()
        assert line.startswith(b"HTTP/1.1 "), f"no answer: {line!r}"
        self.status = int(line.split()[1])
        self.headers = {}
        while (line := self._reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        return self

    def piece(self):
        """The next chunk of a chunked body; ``b""`` is the last one. EOFError when it broke off."""
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError
        data = self._reader.read(int(line, 16) + 2)
        if not data.endswith(b"\r\n"):
            raise EOFError
        return data[:-2]

    def expect(self, data):
        """The body goes on with exactly these bytes."""
        while len(self._held) < len(data):
            piece = self.piece()
            assert piece, f"the reply ended behind {self._held!r}"
            self._held += piece
        assert self._held[: len(data)] == data
        self._held = self._held[len(data) :]

    def rest(self):
        """(all further bytes of the body, whether the reply was completed)."""
        if "content-length" in self.headers:
            length = int(self.headers["content-length"])
            try:
                data = self._reader.read(length)
            except OSError:
                return b"", False
            return data, len(data) == length
        data, self._held = self._held, b""
        try:
            while piece := self.piece():
                data += piece
        except (EOFError, OSError):
            return data, False
        return data, True

    def json(self):
        data, complete = self.rest()
        assert complete
        return json.loads(data)

    def ended(self):
        """Whether the other side has closed the connection; waits for it."""
        try:
            return self._reader.read(1) == b""
        except ConnectionResetError:
            return True

    def leave(self, *, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reader.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()


class Crowd:
    """Clients that ask at the same time, each in a thread of its own, until the end of the `with`."""

    def __init__(self, number):
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(each,), daemon=True) for each in range(number)]

    def _ask(self, number):
        """What client *number* does until ``_over`` is set."""
        raise AssertionError("each crowd asks in a way of its own")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(30)
