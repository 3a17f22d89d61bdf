"""Replies that a plugin gives itself, and the filters of others over them."""

import gzip

import pytest

PLUGINS = {
    "outer": "class Plugin:\n    @hookimpl\n    def filter_reply(self):\n        return Shout()\n",
    "inner": "class Plugin:\n    @hookimpl\n    def filter_reply(self):\n        return Shout()\n",
    "answers": (
        "class Pieces:\n"
        "    def __init__(self, plugin):\n        self.plugin, self.left = plugin, list(plugin.pieces)\n"
        "    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n"
        "        if not self.left:\n            raise StopIteration\n"
        "        piece = self.left.pop(0)\n"
        "        if isinstance(piece, Exception):\n            raise piece\n"
        "        return piece\n"
        "    def close(self):\n        self.plugin.closed += 1\n\n\n"
        "class Plugin:\n"
        "    pieces, kind, closed = (), 'text/event-stream', 0\n\n"
        "    @hookimpl\n    def answer_call(self):\n"
        "        return Answered(200, {'content-type': self.kind}, Pieces(self))\n"
    ),
}  # fmt: skip
HEAD = (
    "from gateway import Answered, hookimpl\n\n\n"
    "class Shout:\n"
    "    def __init__(self):\n        self.seen = []\n"
    "    def feed(self, events):\n        assert events.endswith(b'\\n\\n')\n        return events.upper()\n"
    "    def close(self):\n        return b'data: END\\n\\n'\n"
    "    def whole(self, response):\n        response.body = response.body.upper()\n\n\n"
)
PATH, ASKED = "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(name="served")
def _served(client_of, tmp_path, plugin_of):
    """served(plugins, pieces, media type) -> a client, and the plugin that answers."""

    def make(names, pieces=(), kind="text/event-stream"):
        for name, text in PLUGINS.items():
            (tmp_path / f"{name}.py").write_text(HEAD + text)
        channel = "{name: x, provider: openai, key: k, models: [m], base_url: 'https://x.test'}"
        client = client_of(f"plugins_dir: {tmp_path}\nplugins: [{', '.join(names)}]\nchannels: [{channel}]")
        if "answers" not in names:
            return client, None
        plugin = plugin_of(client, "answers")
        plugin.pieces, plugin.kind = pieces, kind
        return client, plugin

    return make


@pytest.mark.parametrize("names, expected", [
    (["answers"], b"data: a\n\ndata: b\n\n"),
    (["answers", "inner"], b"data: a\n\ndata: b\n\n"),
    (["outer", "answers", "inner"], b"DATA: A\n\nDATA: B\n\ndata: END\n\n"),
])  # fmt: skip
def test_an_answer_goes_through_the_filters_of_those_before(names, expected, served, sent):
    client, plugin = served(names, (b"data: a\n", b"\nda", b"ta: b\n\n"))
    answer = sent(client, PATH, ASKED)
    assert answer.data == expected
    answer.close()
    assert plugin.closed == 1


def test_a_document_in_pieces_is_filtered_whole(served, sent):
    client, plugin = served(["outer", "answers"], (b'{"a', b'":1}'), "application/json")
    answer = sent(client, PATH, ASKED)
    assert (answer.data, plugin.closed) == (b'{"A":1}', 1)


def test_what_a_plugins_pieces_hold_is_closed_though_nobody_read(served, sent):
    client, plugin = served(["answers"], (b"data: a\n\n",))
    sent(client, PATH, ASKED, buffered=False).close()
    assert plugin.closed == 1


@pytest.mark.parametrize("bad", [ValueError("oops"), "text"])
def test_an_answer_that_fails_midway_names_its_plugin_and_breaks(bad, served, sent):
    client, plugin = served(["answers"], (b"data: a\n\n", bad))
    answer = sent(client, PATH, ASKED)
    got = []
    with pytest.raises(ConnectionError):
        for piece in answer.iter_encoded():
            got.append(piece)
    answer.close()
    assert b"plugin 'answers'" in got[-1] or b"plugin_error" in got[-1]
    assert b"oops" not in b"".join(got)
    assert plugin.closed == 1


def test_a_document_that_fails_midway_ends_without_an_event_in_it(served, sent):
    client, _ = served(["answers"], (b'{"a', ValueError("oops")), "application/json")
    answer, got = sent(client, PATH, ASKED), []
    with pytest.raises(ConnectionError):
        for piece in answer.iter_encoded():
            got.append(piece)
    assert got == [b'{"a']


def test_a_packed_reply_is_no_way_around_a_filter(served, network, sent):
    client, _ = served(["outer"])
    network.post("https://x.test/v1/chat/completions", body=gzip.compress(b'{"secret":1}'),
                 headers={"content-encoding": "gzip", "content-type": "application/json"})  # fmt: skip
    answer = sent(client, PATH, ASKED)
    assert answer.status_code == 502
    assert "packed its reply" in answer.json["error"]["message"]
