"""The shipped policies under gunicorn, with two workers and over real sockets."""

import http.server
import json
import signal
import threading

import pytest
from live_client import Client
from live_servers import CLIENT_KEY, until

from gateway.policies import verify_files

pytestmark = pytest.mark.live

PATH = "/v1/chat/completions"
YAML = """
plugins:
  - redact
  - {{audit: {{file: audit/audit.jsonl, content: full, rotate: {{size: 20KB}}}}}}
  - {{cache: {{store: "sqlite:///replies.db"}}}}
  - {{residency: {{rules: [{{keys: [alice], any: [eu]}}]}}}}
  - {{inject: {{rules: [{{text: Be kind.}}]}}}}
  - {{webhook: {{url: "{hook}", key: "${{UPSTREAM_KEY}}", events: [complete, refused], every: {every}}}}}
  - call_log
keys: [{{name: alice, key: "${{CLIENT_KEY}}"}}]
channels:
  - {{name: up, provider: openai-compatible, key: "${{UPSTREAM_KEY}}", base_url: "{up}", models: [m], tags: [eu]}}
  - {{name: far, provider: openai-compatible, auth: none, base_url: "{up}", models: [m, far], priority: 9}}
"""  # `far` would be tried first
CHUNK = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
ENDING = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture(name="hook")
def _hook():
    """An address that notes the events it is told of."""
    events = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.headers["webhook-signature"].startswith("v1,")
            events.extend(json.loads(self.rfile.read(int(self.headers["content-length"])))["events"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", events
        server.shutdown()


@pytest.fixture(name="policed", params=["gevent", "gthread"])
def _policed(request, start, upstream, hook):
    """A gateway with all of them."""

    def begin(every=0.1):
        yaml = YAML.format(hook=hook[0], up=upstream.url, every=every)
        return start(yaml, workers=2, worker_class=request.param)

    return begin


def ask(port, said, **more):
    client = Client(port)
    return client.post(PATH, {"model": "m", "messages": [{"role": "user", "content": said}], **more})


def said_by(events):
    return "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        for line in events.decode().split("\n")
        if line.startswith("data: {")
    )


def test_only_half_a_placeholder_waits(policed, upstream):
    gateway = policed()
    with ask(gateway.port, "I am alice@example.com", stream=True) as client:
        with upstream.take() as exchange:
            assert b"alice@" not in exchange.body
            assert json.loads(exchange.body)["messages"][0] == {"role": "system", "content": "Be kind."}
            exchange.start()
            for sent, seen in (
                (b"hello ", "hello "), (b"a <", "a "), (b"b> and ", "<b> and "), (b"<EMAIL", ""), (b"_1", ""),
                (b"> so", "alice@example.com so"), (b" <EMAIL", " "),
            ):  # fmt: skip
                exchange.chunk(CHUNK % sent)
                if sent == b"hello ":
                    client.head()
                assert said_by(client.piece()) == seen  # before the next is sent
            exchange.chunk(ENDING)
            last = client.piece()
            assert last.endswith(ENDING)
            assert said_by(last) == "<EMAIL"
            exchange.last_chunk()
        assert client.rest() == (b"", True)


def test_all_of_them_together_on_two_workers(policed, upstream, hook, tmp_path):
    gateway = policed()
    upstream.answer(lambda exchange: exchange.stream(CHUNK % b"to <EMAIL_1> and more" + ENDING))
    ways = set()
    for number in range(40):
        # The same question behind redact, whoever it is about.
        with ask(gateway.port, f"write to user{number}@example.com", stream=True, temperature=0) as client:
            client.head()
            events, complete = client.rest()
        assert complete
        assert said_by(events) == f"to user{number}@example.com and more"
        ways.add(client.headers["x-gateway-cache"])
    assert ways == {"miss", "hit"}
    assert len(upstream.exchanges) == 1, "one worker's answers are the other's too"
    files = [file for file in (tmp_path / "audit").iterdir() if file.suffix != ".lock"]
    until(lambda: verify_files(files).lines >= 80, "two lines a call")
    assert len(files) > 1
    text = "".join(file.read_text() for file in files)
    assert "user1@" not in text and "<EMAIL_1>" in text and CLIENT_KEY not in text
    until(lambda: len(hook[1]) == 40, "an event for each call")
    assert {event["event"] for event in hook[1]} == {"complete"}


def test_a_refusal_and_what_is_left_at_the_end(policed, upstream, hook):
    gateway = policed(every=3600)
    with ask(gateway.port, "hi", model="far") as client:
        assert client.head().status == 403
        assert client.json()["error"]["code"] == "residency"
    assert upstream.idle()
    gateway.signal(signal.SIGTERM)
    assert gateway.exited() == 0
    until(lambda: hook[1], "the event that waited")
    assert (hook[1][0]["event"], hook[1][0]["code"]) == ("refused", "residency")
