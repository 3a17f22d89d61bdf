"""A decoder that loses a character that comes in two pieces: every_cut split_characters (line_ends)"""

from gateway import Provider, hookimpl


class Loses:
    def feed(self, piece):
        return piece.decode("utf-8", "ignore").encode()

    def close(self):
        return b""


@hookimpl
def register_providers(register):
    register(Provider("loses_characters", {"chat": ""}, "https://bad.test"))


@hookimpl
def decode_stream(media_type):
    return Loses() if media_type == "text/event-stream" else None
