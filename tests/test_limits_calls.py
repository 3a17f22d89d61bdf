"""What a call may need, and what it came to."""

import base64
import json
from datetime import UTC, datetime

import pytest

from gateway.allowances.ends import amounts_of, billed
from gateway.allowances.needs import micro_usd, needs_of, worst_micro_usd
from gateway.allowances.plans import plan_of
from gateway.bodies import JsonBody
from gateway.config.settings import Budget, ChannelSettings, KeySettings, Limits
from gateway.domain import Attempt, Call, Candidate, Channel, Endpoint, Principal, Provider, Record
from gateway.prices import read_prices
from gateway.usage import Usage

NOW = 1795269968.0
AT = datetime(2026, 11, 21, tzinfo=UTC)


def call(document, dialect="chat", operation="generate", method="POST"):
    body = JsonBody(json.dumps(document).encode())
    return Call("c", Endpoint(dialect, operation, ""), method, "", {}, body, "m", False)


# --- needs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "document", "output", "said"),
    [
        ("chat", {}, 500, False),
        ("chat", {"max_tokens": 7}, 7, True),
        ("chat", {"max_completion_tokens": 7}, 7, True),
        ("chat", {"max_completion_tokens": 7, "max_tokens": 9}, 9, True),  # which one holds is the vendor's
        ("chat", {"max_tokens": 7, "n": 3}, 21, True),
        ("chat", {"n": 3}, 1500, False),
        ("chat", {"max_tokens": None}, 500, False),
        ("chat", {"max_tokens": 7.0}, 7, True),
        ("chat", {"max_tokens": 6.5}, 7, True),
        ("gemini", {"generationConfig": {"maxOutputTokens": "7"}}, 7, True),  # as protobuf's JSON may have it
        ("chat", {"max_tokens": "7a"}, 500, False),
        ("chat", {"max_tokens": 1e300}, 500, False),
        ("chat", {"max_tokens": -0.5}, 500, False),
        ("chat", {"max_tokens": True}, 500, False),
        ("chat", {"max_tokens": -1}, 500, False),
        ("chat", {"tools": [{"max_tokens": 1}]}, 500, False),  # not the call's own
        ("responses", {"max_output_tokens": 7}, 7, True),
        ("responses", {"max_tokens": 7}, 500, False),
        ("messages", {"max_tokens": 7}, 7, True),
        ("gemini", {"generationConfig": {"maxOutputTokens": 7}}, 7, True),
        ("gemini", {"generation_config": {"max_output_tokens": 7, "candidate_count": 2}}, 14, True),
        ("gemini", {"generationConfig": []}, 500, False),
    ],
)
def test_the_most_output(dialect, document, output, said):
    needs = needs_of(call(document, dialect), 500)
    assert (needs.output, needs.said) == (output, said)


@pytest.mark.parametrize("operation", ["embeddings", "moderations", "rerank"])
def test_what_only_reads_writes_nothing(operation):
    needs = needs_of(call({"input": "words " * 100}, operation=operation), 500)
    assert needs.output == 0 < needs.input


@pytest.mark.parametrize("operation", ["count_tokens", "files", "stored_responses"])
def test_free_operations_need_nothing(operation):
    assert needs_of(call({"input": "words"}, operation=operation), 500).tokens == 0


def test_looking_needs_nothing():
    assert needs_of(call({}, operation="batches", method="GET"), 500).tokens == 0


@pytest.mark.parametrize("text", ["The quick brown fox jumps over the lazy dog. " * 200, "你好世界" * 300])
def test_the_input_is_estimated_on_the_high_side(text):
    document = {"messages": [{"role": "user", "content": text}]}
    body = JsonBody(json.dumps(document, ensure_ascii=False).encode())
    needs = needs_of(Call("c", Endpoint("chat", "generate", ""), "POST", "", {}, body, "m", False), 1)
    true = len(text.split()) * 1.12 if " " in text else len(text) * 0.8
    assert true < needs.input < 2.5 * true


def test_a_picture_is_no_text():
    picture = base64.b64encode(bytes(range(256)) * 8000).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    needs = needs_of(call({"messages": [{"role": "user", "content": [part]}]}), 1)
    assert needs.input < 3000


# --- prices ------------------------------------------------------------------------------------------


@pytest.fixture(name="prices")
def _prices(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("""
providers:
  acme:
    cheap: {input: 1, output: 2}
    dear: {input: 3, output: 15, cache_write_1h: 6}
    asked: {request: 0.01}
    pictures: {image: 0.04}
    free: {input: 0, output: 0}
""")
    return read_prices(path)


def candidate(model):
    settings = ChannelSettings(name="a", provider="acme")
    channel = Channel("a", Provider("acme", {"chat": ""}), "https://acme.test", (), (), settings)
    return Candidate(channel, model, "", "chat")


@pytest.mark.parametrize(
    ("model", "document", "operation", "cost"),
    [
        ("cheap", {"max_tokens": 1000}, "generate", 2000),
        ("dear", {"max_tokens": 1000}, "generate", 15000),
        ("asked", {"max_tokens": 1000}, "generate", 10000),
        ("pictures", {"n": 2}, "images", 80000),
        ("free", {"max_tokens": 1000}, "generate", 0),
        ("unheard-of", {"max_tokens": 1000}, "generate", None),
    ],
)
def test_what_a_call_may_cost(model, document, operation, cost, prices):
    needs = needs_of(call(document, operation=operation), 500)
    found = micro_usd(needs, candidate(model), prices, AT)
    assert found is cost is None or cost <= found <= cost + 30


def test_without_any_prices_nothing_is_known():
    assert micro_usd(needs_of(call({}), 500), candidate("cheap"), None, AT) is None


def test_the_worst_call_is_of_the_dearest_kind(prices):
    channel = candidate("dear").channel
    assert worst_micro_usd(channel, "dear", 1_000_000, 100_000, prices, AT) == 6_000_000 + 1_500_000
    assert worst_micro_usd(channel, "unheard-of", 1, 1, prices, AT) is None


# --- ends --------------------------------------------------------------------------------------------


def attempt(outcome="ok", status=200):
    return Attempt("a", 0, "m", status, outcome, 0.1)


def record(*attempts, usage=None, cost=None, outcome="complete"):
    return Record(200, outcome, "a", attempts, usage or Usage(), None, 1.0, 0, cost=cost)


@pytest.fixture(name="wants")
def _wants():
    who = Principal.of(
        KeySettings(name="a", limits=Limits(rpm=9, tpm=900, concurrency=4), budget=Budget(usd=1, tokens=999))
    )
    return plan_of(who).wants(["m"], needs_of(call({"max_tokens": 50}), 1), 777, False, NOW)


NAMES = {
    "rpm": "limits/key:a/rpm", "tpm": "limits/key:a/tpm", "usd": "budget/key:a/usd/2026-11",
    "tokens": "budget/key:a/tokens/2026-11",
}  # fmt: skip
ESTIMATE = 55  # tokens: 5 of the body and 50 that may be written
KEPT = {"tpm": ESTIMATE, "usd": 777, "tokens": ESTIMATE}
NOTHING_BUT_THE_REQUEST = {"tpm": 0, "usd": 0, "tokens": 0}
NOTHING = NOTHING_BUT_THE_REQUEST | {"rpm": 0}


@pytest.mark.parametrize(
    ("ended", "amounts"),
    [
        # what was said counts
        (record(attempt(), usage=Usage(5, 7), cost=33), {"tpm": 12, "tokens": 12, "usd": 33}),
        (record(attempt(), usage=Usage(5, None), cost=33), {"tpm": 5, "tokens": 5, "usd": 33}),
        (record(attempt(), usage=Usage(0, 0), cost=0), {"tpm": 0, "tokens": 0, "usd": 0}),
        (record(attempt(), usage=Usage(5, 7, source="partial"), cost=9, outcome="truncated"),
         {"tpm": 12, "tokens": 12, "usd": 9}),
        # what nobody said stays as estimated, where a vendor may charge for it
        (record(attempt()), KEPT),
        (record(attempt(), usage=Usage(5, 7)), {"tpm": 12, "tokens": 12, "usd": 777}),
        (record(attempt("abandoned", 0), outcome="client_closed"), KEPT),
        (record(attempt("upstream_first_event_timeout", 0), outcome="failed"), KEPT),
        (record(attempt("upstream_error", 504), outcome="failed"), KEPT),
        (record(attempt("upstream_total_timeout", 0), attempt("upstream_error", 500), outcome="failed"), KEPT),
        (record(attempt("upstream_not_json", 200), outcome="failed"), KEPT),
        (record(attempt("upstream_stream_cut", 200), outcome="failed"), KEPT),
        # nor what was given up before another attempt answered
        (record(attempt("upstream_first_event_timeout", 0), attempt(), usage=Usage(5, 7), cost=33),
         {"tpm": 12 + ESTIMATE, "tokens": 12 + ESTIMATE, "usd": 33 + 777}),
        (record(attempt("abandoned", 0), attempt(), usage=Usage(5, 7), cost=33),
         {"tpm": 12 + ESTIMATE, "tokens": 12 + ESTIMATE, "usd": 33 + 777}),
        (record(attempt("abandoned", 0), attempt()), {"tpm": 2 * ESTIMATE, "tokens": 2 * ESTIMATE, "usd": 2 * 777}),
        (record(attempt("rate_limit_exceeded", 429), attempt("vendor_says_no", 200), attempt(), usage=Usage(5, 7),
                cost=33), {"tpm": 12, "tokens": 12, "usd": 33}),
        # a filter refused the answer that was paid for
        (record(attempt(), usage=Usage(5, 7), cost=33, outcome="refused"), {"tpm": 12, "tokens": 12, "usd": 33}),
        # nobody charges for a failure
        (record(attempt("upstream_error", 500), outcome="failed"), NOTHING_BUT_THE_REQUEST),
        (record(attempt("rate_limit_exceeded", 429), outcome="failed"), NOTHING_BUT_THE_REQUEST),
        (record(attempt("upstream_unreachable", 0), outcome="failed"), NOTHING_BUT_THE_REQUEST),
        (record(attempt("upstream_connect_timeout", 0), outcome="failed"), NOTHING_BUT_THE_REQUEST),
        # a refused call costs nothing
        (record(outcome="refused"), NOTHING),
        (record(outcome="failed"), NOTHING),
        (record(outcome="client_closed"), NOTHING),
        (record(attempt("not_translatable", 0), outcome="refused"), NOTHING),
    ],
)  # fmt: skip
def test_what_a_call_came_to(ended, amounts, wants):
    found = amounts_of(wants, ended)
    reserved = {f"{NAMES['usd']}/reserved": 0, f"{NAMES['tokens']}/reserved": 0}
    assert found == reserved | {NAMES[word]: amount for word, amount in amounts.items()}


def test_slots_are_never_settled_by_amount(wants):
    assert "limits/key:a/concurrency" in {want.claim.name for want in wants}
    assert "limits/key:a/concurrency" not in amounts_of(wants, record(attempt(), usage=Usage(1, 1), cost=1))


def test_a_later_success_pays_for_an_earlier_failure_not():
    assert not billed([attempt("upstream_error", 500)])
    assert billed([attempt("upstream_error", 500), attempt()])
