"""What an address is told of how calls end, over real sockets."""

import base64
import hashlib
import hmac
import http.server
import json
import logging
import threading
import time
from datetime import UTC, datetime

import pytest
from model_replies import reply_of

from gateway.errors import ConfigError
from gateway.policies import Outbox

KEY = "whsec_" + base64.b64encode(b"CANARY-secret").decode()
KEYS = "keys: [{name: alice, key: key-CANARY-a}]"


class Receiver(http.server.ThreadingHTTPServer):
    """Notes what is posted; ``statuses`` are those of the next answers, then 200."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts, self.statuses = [], []
        self.came = threading.Condition()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/CANARY-path"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def events(self, number, seconds=10.0):
        """Waits for so many events; all that came."""
        with self.came:
            found = self.came.wait_for(lambda: len(self._events()) >= number, seconds)
            assert found, f"only {self._events()}"
            return self._events()

    def _events(self):
        return [event for _, body, status in self.posts if status == 200 for event in json.loads(body)["events"]]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.came:
            status = self.server.statuses.pop(0) if self.server.statuses else 200
            self.server.posts.append((dict(self.headers.items()), body, status))
            self.server.came.notify_all()
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture(name="receiver")
def _receiver():
    with Receiver() as server:
        yield server
        server.shutdown()


def test_a_call_that_failed_is_told_of(serving, channels, ask, receiver):
    events = "events: [failed, refused, attempt_failed]"
    client = serving(f"[{{webhook: {{url: '{receiver.url}', every: 0.05, {events}}}}}]")
    channels.say("chat", b'{"error":{"message":"secret words"}}', status=500)
    answer = ask(client, said="secret words")
    tried, failed = receiver.events(2)
    assert (tried["event"], tried["channel"], tried["status"]) == ("attempt_failed", "chat", 500)
    assert (failed["event"], failed["call"], failed["model"]) == ("failed", answer.headers["x-request-id"], "gpt")
    assert failed["attempts"][0].startswith("chat#")
    assert b"secret" not in b"".join(body for _, body, _ in receiver.posts)


def test_only_what_was_asked_for_is_told(serving, channels, ask, receiver):
    told = f"{{webhook: {{url: '{receiver.url}', every: 0.05, codes: [model_not_found]}}}}"
    client = serving(f"[{{redact: {{mode: refuse}}}}, {told}]")
    channels.say("chat", reply_of("chat", "ok"))
    ask(client)
    ask(client, said="alice@example.com")
    ask(client, model="nosuch")
    assert [event["code"] for event in receiver.events(1)] == ["model_not_found"]


def test_posts_are_signed(serving, ask, receiver):
    client = serving(f"[{{webhook: {{url: '{receiver.url}', key: {KEY}, every: 0.05}}}}]", KEYS)
    ask(client, model="nosuch", headers={"X-Api-Key": "key-CANARY-a"})
    assert receiver.events(1)[0]["key"] == "alice"
    headers, body, _ = receiver.posts[0]
    headers = {name.lower(): value for name, value in headers.items()}
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"CANARY-secret", said, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert b"CANARY" not in body


def test_what_would_be_refused_is_told(serving, channels, ask, receiver):
    events = f"url: '{receiver.url}', every: 0.05, events: [would_refuse]"
    client = serving(f"[{{residency: {{rules: [{{any: [eu]}}], mode: observe}}}}, {{webhook: {{{events}}}}}]")
    channels.say("chat", reply_of("chat", "ok"))
    assert ask(client).status_code == 200
    assert receiver.events(1)[0]["code"] == "residency"


BUDGET = """
state: memory://
keys: [{name: alice, key: key-CANARY-a, budget: {tokens: 100, per: day}}]
"""
SPENT = reply_of("chat", "ok") | {"usage": {"prompt_tokens": 60, "completion_tokens": 23, "total_tokens": 83}}


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_a_budget_that_comes_to_its_end_is_told_of(mode, serving, channels, ask, receiver, caplog):
    caplog.set_level(logging.INFO)
    client = serving(f"[{{webhook: {{url: '{receiver.url}', every: 0.05, mode: {mode}}}}}]", BUDGET)
    channels.say("chat", SPENT)
    assert ask(client, headers={"X-Api-Key": "key-CANARY-a"}).status_code == 200
    if mode == "observe":
        until(lambda: "would tell: budget of 100 tokens a day of key 'alice'" in caplog.text)
        assert receiver.posts == []
        return
    (told,) = receiver.events(1)
    assert (told["event"], told["scope"], told["percent"], told["spent"]) == ("budget", "key:alice", 80, 83)
    assert (told["measure"], told["unit"], told["budget"], told["per"]) == ("tokens", "tokens", 100, "day")
    assert "80% spent" in told["text"]
    assert told["at"] < datetime.fromtimestamp(told["resets"], UTC).isoformat()


def test_whoever_wants_no_budgets_is_not_told_of_them(serving, channels, ask, receiver, caplog):
    client = serving(f"[{{webhook: {{url: '{receiver.url}', every: 0.05, events: [complete]}}}}]", BUDGET)
    channels.say("chat", SPENT)
    ask(client, headers={"X-Api-Key": "key-CANARY-a"})
    until(lambda: "80% spent" in caplog.text)
    ask(client, headers={"X-Api-Key": "key-CANARY-a"})
    ask(client, headers={"X-Api-Key": "key-CANARY-a"}, model="nosuch")
    assert [event["event"] for event in receiver.events(1)] == ["complete"]


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_address_that_does_not_answer_is_in_nobodys_way(serving, channels, ask, caplog):
    client = serving("[{webhook: {url: 'http://127.0.0.1:9/CANARY-path', every: 0.05, events: [complete]}}]")
    channels.say("chat", reply_of("chat", "ok"))
    assert ask(client).status_code == 200
    until(lambda: "not delivered on try 1" in caplog.text)
    assert "CANARY" not in caplog.text


def test_what_waits_is_sent_when_the_configuration_goes(serving, ask, receiver):
    client = serving(f"[{{webhook: {{url: '{receiver.url}', every: 3600}}}}]")
    ask(client, model="nosuch")
    client.application.extensions["gateway"].reload()
    assert len(receiver.events(1)) == 1


def test_observing_posts_nothing(serving, ask, receiver, caplog):
    caplog.set_level(logging.INFO)
    client = serving(f"[{{webhook: {{url: '{receiver.url}', every: 0.05, mode: observe}}}}]")
    ask(client, model="nosuch")
    assert "would tell: refused" in caplog.text
    assert receiver.posts == []


@pytest.mark.parametrize("options, complaint", [
    ("{url: 'ftp://x'}", "url: expected an http or https address"), ("{}", "key 'url' is missing"),
    ("{url: 'http://x', events: [died]}", "found 'died'"),
    ("{url: 'http://x', key: whsec_%}", "key: expected base64"),
])  # fmt: skip
def test_complaints(options, complaint, serving):
    with pytest.raises(ConfigError) as caught:
        serving(f"[{{webhook: {options}}}]")
    assert complaint in str(caught.value)


# --- the outbox ---------------------------------------------------------------------------------------


def outbox(receiver, most=100, batch=10, tries=3):
    return Outbox(receiver.url, b"", most, batch, tries)


def test_events_leave_in_batches_and_in_order(receiver):
    box = outbox(receiver)
    for number in range(25):
        box.put({"n": number})
    box.send()
    assert [event["n"] for event in receiver.events(25)] == list(range(25))
    assert len(receiver.posts) == 3
    assert len(box) == 0


def test_a_batch_is_tried_again_under_the_same_id(receiver):
    receiver.statuses = [500, 503]
    box = outbox(receiver)
    box.put({"n": 1})
    box.send()
    box.send()  # it is not time yet
    assert len(receiver.posts) == 1
    box.send(now=True)
    box.put({"n": 2})
    box.send(now=True)
    assert [event["n"] for event in receiver.events(2)] == [1, 2]
    ids = [headers["Webhook-Id"] for headers, _, _ in receiver.posts]
    assert len(ids) == 4 and len(set(ids[:3])) == 1 and ids[3] != ids[0]


@pytest.mark.parametrize("statuses, posts", [([500, 500, 500], 3), ([410], 1)])
def test_what_cannot_be_delivered_is_dropped_and_counted(statuses, posts, receiver, caplog):
    receiver.statuses = statuses
    box = outbox(receiver)
    box.put({"n": 1})
    for _ in range(3):
        box.send(now=True)
    assert len(receiver.posts) == posts
    assert (len(box), box.dropped) == (0, 1)
    box.put({"n": 2})
    box.send(now=True)
    assert json.loads(receiver.posts[-1][1])["dropped"] == 1
    assert box.dropped == 0
    assert "1 events were dropped" in caplog.text


def test_the_oldest_go_when_too_many_wait(receiver):
    box = outbox(receiver, most=5)
    for number in range(8):
        box.put({"n": number})
    assert (len(box), box.dropped_in_all) == (5, 3)
    box.send()
    assert [event["n"] for event in receiver.events(5)] == [3, 4, 5, 6, 7]


def test_redirects_are_not_followed(receiver):
    receiver.statuses = [302]
    box = outbox(receiver, tries=1)
    box.put({"n": 1})
    box.send()
    assert len(receiver.posts) == 1
    assert box.dropped == 1
