"""A small forward proxy, as companies have them: CONNECT for TLS, absolute addresses for the rest."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class ForwardProxy:
    """``seen`` holds the heads of the requests made to it. ``refuse`` makes it say no."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.seen = []
        self.refuse = False
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1)
            self.seen.append(head.decode("latin-1"))
            method, target, _ = self.seen[-1].split("\r\n")[0].split(" ")
            if self.refuse:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
                return
            tunnel = method == "CONNECT"
            parts = urlsplit(f"//{target}" if tunnel else target)
            with socket.create_connection((parts.hostname, parts.port), 5) as server:
                if tunnel:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    server.sendall(head)
                there = threading.Thread(target=_pump, args=(client, server), daemon=True)
                there.start()
                _pump(server, client)
                there.join(5)


def _pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for sock in (source, target):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
