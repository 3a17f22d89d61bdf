"""Cassettes: recorded once, played back, and without a secret in them."""

import base64
import json

import pytest

from gateway.testing import CUT, Cassette, CassetteRefused, Client, Samples, ScriptedUpstream, cut, document, stream
from gateway.testing.masking import Masker

SAMPLES = Samples()
KEY = "sk-vendor-CANARY-4711"


@pytest.fixture(name="vendor")
def _vendor():
    with ScriptedUpstream() as vendor:
        yield vendor


def asked(cassette, key, **more):
    """The answers of a gateway whose channel's upstream is the cassette."""
    channel = {"name": "a", "provider": "openai-compatible", "key": key, "base_url": cassette.url}
    with Client({"channels": [channel]}) as client:
        named = {"x-request-id": "req-1"}
        answers = [client.ask("chat", text, "m", headers=named, **more) for text in ("one", "two")]
        return [(answer.status, answer.body, answer.broken) for answer in answers]


def recorded(path, vendor, monkeypatch, *answers, **more):
    """What the client got while the cassette was recorded."""
    monkeypatch.setenv("VENDOR_KEY", KEY)
    vendor.say(*answers)
    with Cassette(path, vendor.url, live=True) as cassette:
        return asked(cassette, cassette.key("VENDOR_KEY"), **more)


def played(path, vendor, **more):
    with Cassette(path, vendor.url) as cassette:
        return asked(cassette, cassette.key("VENDOR_KEY"), **more)


def test_what_is_played_is_what_was_recorded(tmp_path, vendor, monkeypatch):
    path = tmp_path / "cassettes" / "two.json"
    said = [document(SAMPLES.reply("chat")), document({"error": {"message": "no"}}, 400)]
    first = recorded(path, vendor, monkeypatch, *said)
    assert [sent.headers["authorization"] for sent in vendor.sent] == [f"Bearer {KEY}"] * 2
    vendor.close()
    assert played(path, vendor) == first
    assert [status for status, _, _ in first] == [200, 400]


def test_streams_keep_their_pieces_and_their_break(tmp_path, vendor, monkeypatch):
    path = tmp_path / "streams.json"
    whole = SAMPLES.stream("chat")
    said = [stream(*cut(whole, 333)), stream(whole[:500], CUT)]
    first = recorded(path, vendor, monkeypatch, *said, stream=True)
    vendor.close()
    assert played(path, vendor, stream=True) == first
    assert [broken for _, _, broken in first] == [False, True]
    assert len(json.loads(path.read_text())["exchanges"][0]["response"]["pieces"]) > 3


def test_no_secret_is_written_down(tmp_path, vendor, monkeypatch):
    path = tmp_path / "masked.json"
    token = {"access_token": "tok-CANARY-99", "kept": 1.50}
    answer = document(token, headers={"set-cookie": "sid=CANARY-cookie", "x-api-key": "CANARY-echo"})
    recorded(path, vendor, monkeypatch, answer, answer)
    text = path.read_text()
    assert "CANARY" not in text
    said = json.loads(text)["exchanges"][0]
    assert said["request"]["headers"]["authorization"] == "***"
    assert said["response"]["headers"]["set-cookie"] == "***"
    assert said["response"]["pieces"] == ['{"access_token": "***", "kept": 1.5}']


@pytest.mark.parametrize("form", [KEY, base64.b64encode(KEY.encode()).decode()])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_secret_in_an_answer_is_refused_and_nothing_is_written(form, streamed, tmp_path, vendor, monkeypatch):
    path = tmp_path / "refused.json"
    document_ = {"choices": [{"message": {"content": f"your key is {form}"}, "finish_reason": "stop"}]}
    body = json.dumps(document_).encode()
    answer = stream(*cut(b"data: " + body + b"\n\n", 40)) if streamed else document(body)
    with pytest.raises(CassetteRefused, match="exchange 1 .POST /v1/chat/completions.") as refused:
        recorded(path, vendor, monkeypatch, answer, answer, stream=streamed)
    assert KEY not in str(refused.value)
    assert not path.exists()


def test_what_was_not_recorded_fails_the_test(tmp_path, vendor, monkeypatch):
    path = tmp_path / "other.json"
    answer = document(SAMPLES.reply("chat"))
    recorded(path, vendor, monkeypatch, answer, answer)
    with pytest.raises(AssertionError, match="has no answer to: POST /v1/chat/completions"):
        played(path, vendor, temperature=1)


def test_a_cassette_that_is_not_there_says_how_to_record_it(tmp_path):
    with pytest.raises(AssertionError, match="not recorded yet: run pytest --live once"):
        Cassette(tmp_path / "none.json", "https://vendor.test")


@pytest.mark.parametrize(
    "body, masked",
    [
        (b'{"client_secret": "CANARY-1234", "n": 1e400}', b'{"client_secret": "***", "n": 1e400}'),
        (b'{"a": [{"id_token":"CANARY-1234"}], "logprobs": [{"token": "Hi"}]}',
         b'{"a": [{"id_token":"***"}], "logprobs": [{"token": "Hi"}]}'),
        (b"grant_type=x&client_secret=CANARY-1234", b"grant_type=x&client_secret=***"),
        (b"grant_type=x&scope=y", b"grant_type=x&scope=y"),
        (b"\x00binary=\xff", b"\x00binary=\xff"),
    ],
)  # fmt: skip
def test_bodies_are_masked_by_their_members(body, masked):
    masker = Masker()
    assert masker.body(body) == masked
    assert masker.found_in("CANARY-1234") == (body != masked)


def test_queries_and_headers_are_masked_by_their_names():
    masker = Masker()
    assert masker.target("/v1/x?key=CANARY-1234&alt=sse") == "/v1/x?key=***&alt=sse"
    kept = [("x-ratelimit-remaining-tokens", "7"), ("content-type", "text/plain")]
    assert masker.headers([("Api-Key", "CANARY-5678"), *kept]) == [("Api-Key", "***"), *kept]
    assert masker.found_in("... CANARY-5678 ...")
