"""Limits and budgets on the road: what a client gets, what an upstream sees, what the state is told."""

import json
import time

import pytest
from click.testing import CliRunner

from gateway.allowances.plans import budgets_of, limits_of
from gateway.cli import main
from gateway.domain import Principal
from gateway.state import StateAway, open_state

PATHS = {
    "chat": ("/v1/chat/completions", {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}),
    "responses": ("/v1/responses", {"model": "m", "max_output_tokens": 50, "input": "hi"}),
    "messages": ("/v1/messages", {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}),
    "gemini": (
        "/v1beta/models/m:generateContent",
        {"generationConfig": {"maxOutputTokens": 50}, "contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    ),
}
each_dialect = pytest.mark.parametrize("dialect", PATHS)
YAML = """
state: memory://
prices: prices.yaml
plugins: [{{limits: {options}}}]
teams: [{{name: search, {team}}}]
keys:
  - {{name: alice, key: alice-key, team: search, {key}}}
  - {{name: bob, key: bob-key}}
channels:
  - {{name: acme, provider: acme, auth: none, base_url: https://acme.test, models: [m]}}
  - {{name: dear, provider: dear, auth: none, base_url: https://dear.test, models: [both, odd], priority: 1}}
  - {{name: odd, provider: odd, auth: none, base_url: https://odd.test, models: [both, odd]}}
providers:
  acme: {{dialects: [chat, responses, messages, gemini], operations: [embeddings, files, count_tokens, batches]}}
  dear: {{dialects: [chat]}}
  odd: {{dialects: [chat]}}
"""
PRICES = """
providers:
  acme: {m: {input: 10, output: 1000}, "*": {input: 10, output: 1000}}
  dear: {both: {input: 10, output: 1000}}
"""
REPLY = {
    "choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60},  # 0.0501 USD
}


@pytest.fixture(name="serve")
def _serve(app_of, tmp_path, network):
    """serve(key=..., team=..., options=...) -> a client of a gateway that serves, of a scripted upstream."""
    begun = []
    for host in ("acme", "dear", "odd"):
        network.add("POST", f"https://{host}.test/v1/chat/completions", json=REPLY)

    def start(key="limits: {}", team="limits: {}", options="{}"):
        (tmp_path / "prices.yaml").write_text(PRICES)
        app = app_of(YAML.format(key=key, team=team, options=options))
        current = app.extensions["gateway"]
        current.begin()
        begun.append(current)
        return app.test_client()

    yield start
    for current in begun:
        current.end()


@pytest.fixture(name="ask")
def _ask(network):
    """ask(client, dialect) -> the answer to a call of alice's."""

    def ask(client, dialect="chat", *, key="alice-key", **members):
        path, body = PATHS[dialect]
        return client.post(path, json=body | members, headers={"x-api-key": key})

    return ask


def gateway_of(client):
    return client.application.extensions["gateway"].gateway


def level(client, word, name="alice"):
    """How much of a limit or a budget is used now, by its name in the configuration."""
    gateway = gateway_of(client)
    key = next(key for key in gateway.settings.keys if key.name == name)
    team = next(team for team in gateway.settings.teams)
    allowances = Principal.of(key, team if key.team else None).allowances
    meters = {
        f"{meter.scope.partition(':')[0]} {meter.word}": meter
        for each in allowances
        for meter in (*limits_of(each), *budgets_of(each))
    }
    meter = meters[word]
    claim = meter.purse(time.time()) if meter.per else meter.claim(0)
    return gateway.services.state.levels([claim])[0].used


def until(condition, what):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, f"not within 20 seconds: {what}"
        time.sleep(0.01)


# --- limits ------------------------------------------------------------------------------------------


def test_so_many_calls_and_no_more_reach_the_upstream(serve, ask, network):
    client = serve("limits: {rpm: 3}")
    answers = [ask(client) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0", "0"]
    assert len(network.calls) == 3


@each_dialect
def test_a_refusal_speaks_the_dialect(dialect, serve, ask):
    client = serve("limits: {rpm: 0}")
    answer = ask(client, dialect)
    assert answer.status_code == 429
    error = answer.json["error"]
    assert error["message"] == "the limit of 0 requests a minute of key 'alice' is reached"
    words = {"messages": "rate_limit_error", "gemini": "RESOURCE_EXHAUSTED"}
    assert words.get(dialect, "rate_limit_error") in (error.get("type"), error.get("status"))
    prefix = "anthropic-ratelimit-requests-limit" if dialect == "messages" else "x-ratelimit-limit-requests"
    assert answer.headers[prefix] == "0"


def test_a_refused_client_knows_when_to_come_back(serve, ask):
    client = serve("limits: {rpm: 1}")
    ask(client)
    answer = ask(client)
    assert 1 <= int(answer.headers["retry-after"]) <= 61
    milliseconds = int(answer.headers["retry-after-ms"])
    assert int(answer.headers["retry-after"]) == -(-milliseconds // 1000)
    details = answer.json["error"]["details"]
    assert details == {"scope": "key:alice", "limit": "rpm", "most": 1, "used": 1}


def test_a_refused_call_costs_nothing(serve, ask):
    client = serve("limits: {rpm: 5, tpm: 1000}")
    assert ask(client, max_tokens=5000).status_code == 429
    assert (level(client, "key rpm"), level(client, "key tpm")) == (0, 0)


def test_a_call_larger_than_its_limit_is_not_to_be_tried_again(serve, ask):
    answer = ask(serve("limits: {tpm: 1000}"), max_tokens=5000)
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    assert "more than the limit of 1000 tokens a minute of key 'alice' allows at all" in answer.json["error"]["message"]


def test_a_call_that_says_no_most_fits_a_small_limit(serve, ask):
    client = serve("limits: {tpm: 1000}")
    assert ask(client, max_tokens=None).status_code == 200
    assert ask(client, max_tokens=None).status_code == 429


def test_a_teams_limit_names_the_team_and_nobody_else(serve, ask):
    client = serve(team="limits: {rpm: 1}")
    ask(client)
    text = ask(client).get_data(as_text=True)
    assert "of team 'search'" in text
    assert "alice" not in text


def test_others_are_not_held(serve, ask):
    client = serve("limits: {rpm: 0}")
    assert ask(client, key="bob-key").status_code == 200


def test_a_models_limit(serve, ask):
    client = serve('limits: {models: {"m*": {rpm: 1}}}', options="{unpriced: allow}")
    assert [ask(client).status_code, ask(client).status_code] == [200, 429]
    assert "for models 'm*'" in ask(client).json["error"]["message"]
    assert ask(client, model="odd").status_code == 200


def test_a_failed_upstream_keeps_the_request_and_gives_the_tokens_back(serve, ask, network):
    client = serve("limits: {rpm: 9, tpm: 9000}")
    network.replace("POST", "https://acme.test/v1/chat/completions", status=500, json={"error": {"message": "x"}})
    assert ask(client).status_code == 500
    assert (level(client, "key rpm"), level(client, "key tpm")) == (1, 0)


def test_slots_come_back_however_a_call_ends(serve, ask, network):
    client = serve("limits: {concurrency: 1}")
    assert [ask(client).status_code for _ in range(3)] == [200, 200, 200]
    network.replace("POST", "https://acme.test/v1/chat/completions", status=400, json={"error": {"message": "x"}})
    assert [ask(client).status_code for _ in range(3)] == [400, 400, 400]
    assert level(client, "key concurrency") == 0


def test_free_calls_use_no_tokens(serve, network):
    client = serve("limits: {rpm: 9, tpm: 0}, budget: {usd: 0}")
    network.add("GET", "https://acme.test/v1/files", json={"data": []})
    assert client.get("/v1/files", headers={"x-api-key": "alice-key"}).status_code == 200
    assert level(client, "key rpm") == 1


def test_a_call_without_limits_touches_no_state(serve, ask, shaky):
    client = serve("limits: {rpm: 1}")
    shaky(client).away = True
    assert ask(client, key="bob-key").status_code == 200


# --- observing ---------------------------------------------------------------------------------------


def test_observed_limits_only_report(serve, ask, caplog):
    client = serve("limits: {rpm: 1, mode: observe}, budget: {usd: 0, mode: observe}", "limits: {rpm: 100}")
    ask(client)
    answer = ask(client)
    assert answer.status_code == 200
    assert answer.headers["x-gateway-would-refuse"] == "key:alice usd, key:alice rpm"
    assert "alice would be refused: key:alice usd, key:alice rpm" in caplog.text
    assert answer.headers["x-ratelimit-limit-requests"] == "100"  # the team's, which is meant
    assert level(client, "key rpm") == 2


# --- budgets -----------------------------------------------------------------------------------------


@each_dialect
def test_a_spent_budget_speaks_the_dialect(dialect, serve, ask, network):
    answer = ask(serve("budget: {usd: 0}"), dialect)
    assert answer.status_code == 402
    error = answer.json["error"]
    assert error["message"].startswith("the budget of 0.00 USD a month of key 'alice' is spent until ")
    words = {"messages": "billing_error", "gemini": "FAILED_PRECONDITION"}
    assert words.get(dialect, "insufficient_quota") in (error.get("type"), error.get("status"))
    assert "budget_exceeded" in json.dumps(error).lower()
    assert len(network.calls) == 0


def test_a_call_that_may_cost_too_much_says_so(serve, ask):
    answer = ask(serve("budget: {usd: 0.01, per: day}"))  # 50 tokens for 0.05 USD
    assert answer.status_code == 402
    message = answer.json["error"]["message"]
    assert message.startswith("this call may cost 0.050")
    assert "of the budget of 0.01 USD a day of key 'alice' 0.01 USD is left until " in message


def test_what_was_used_takes_the_estimates_place(serve, ask):
    client = serve("budget: {usd: 1}, limits: {tpm: 9000}", "budget: {tokens: 10000}")
    assert ask(client, max_tokens=500).status_code == 200
    assert ask(client, max_tokens=None).status_code == 200  # might have cost all of it
    assert level(client, "key usd") == 2 * 50_100
    assert level(client, "team tokens") == level(client, "key tpm") == 2 * 60


def test_a_stream_is_settled_by_what_it_said(serve, ask, network):
    chunks = [{"choices": REPLY["choices"]}, {"choices": [], "usage": REPLY["usage"]}]
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    network.replace(
        "POST", "https://acme.test/v1/chat/completions", body=stream.encode(), content_type="text/event-stream"
    )
    client = serve("budget: {usd: 1}, limits: {concurrency: 1}")
    for number in (1, 2):
        answer = ask(client, stream=True)
        assert level(client, "key concurrency") == 1
        assert level(client, "key usd") > (number - 1) * 50_100
        assert b"[DONE]" in answer.data
        answer.close()
        assert (level(client, "key concurrency"), level(client, "key usd")) == (0, number * 50_100)


def test_a_failed_call_costs_nothing(serve, ask, network):
    client = serve("budget: {usd: 1}")
    network.replace("POST", "https://acme.test/v1/chat/completions", status=500, json={})
    assert ask(client).status_code == 500
    assert level(client, "key usd") == 0


def test_a_channel_without_a_price_is_passed_over(serve, ask, network):
    client = serve("budget: {usd: 1}")
    assert ask(client, model="both").headers["x-gateway-channel"] == "dear"
    assert len(network.calls) == 1


def test_a_model_without_any_price_is_refused(serve, ask, network):
    client = serve("budget: {usd: 1}, limits: {rpm: 5}")
    answer = ask(client, model="odd")
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "price_unknown")
    assert len(network.calls) == 0
    assert level(client, "key rpm") == 0


def test_a_model_without_a_price_may_be_allowed(serve, ask):
    client = serve("budget: {usd: 1}", options="{unpriced: allow}")
    assert ask(client, model="odd").status_code == 200
    assert level(client, "key usd") == 0


def test_an_observed_budget_needs_no_price(serve, ask):
    client = serve("budget: {usd: 1, mode: observe}")
    answer = ask(client, model="odd")
    assert answer.status_code == 200
    assert answer.headers["x-gateway-would-refuse"] == "price_unknown"


def test_a_budget_in_tokens_needs_no_price(serve, ask):
    assert ask(serve("budget: {tokens: 1000}"), model="odd").status_code == 200


# --- warnings ----------------------------------------------------------------------------------------


def test_warnings_are_logged_once(serve, ask, plugin_of, caplog):
    client = serve("budget: {usd: 0.12}")
    assert [ask(client).status_code for _ in range(2)] == [200, 200]  # 83 %
    assert ask(client).status_code == 402
    until(lambda: "80% spent" in caplog.text, "a warning")
    assert ask(client).status_code == 402
    plugin_of(client, "limits")._catch_up()
    assert caplog.text.count("% spent") == 1


# --- batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "options", "status"),
    [
        ("budget: {usd: 1}", "{}", 403),
        ("budget: {tokens: 1000000}", "{}", 403),
        ("budget: {tokens: 1000000, mode: observe}", "{}", 200),
        ("budget: {usd: 1}", "{unpriced: allow}", 200),
        ("budget: {tokens: 1000000}", "{unpriced: allow}", 200),
        ("limits: {rpm: 9, tpm: 9000}", "{}", 200),
    ],
)
def test_a_batch_of_any_size_does_not_slip_through_a_budget(key, options, status, serve, network):
    """Whatever has a price: what a batch uses nobody sees."""
    network.add("POST", "https://acme.test/v1/batches", json={"id": "batch_1"})
    client = serve(key, options=options)
    answer = client.post("/v1/batches", json={"input_file_id": "file-1"}, headers={"x-api-key": "alice-key"})
    assert answer.status_code == status
    if status == 403:
        assert answer.json["error"]["code"] == "price_unknown"
        assert len(network.calls) == 0
    assert ("observe" in key) == ("x-gateway-would-refuse" in answer.headers)


# --- without the state -------------------------------------------------------------------------------


class Shaky:
    """A state that is away whenever ``away`` is set."""

    def __init__(self, state):
        self._state = state
        self.away = False

    def __getattr__(self, name):
        if self.away:
            raise StateAway("the shared state is away")
        return getattr(self._state, name)


@pytest.fixture(name="shaky")
def _shaky(serve, tmp_path):
    """shaky(client) -> the state behind it, which can be taken away."""

    states = []

    def put(client):
        services = gateway_of(client).services
        services._state = Shaky(open_state("memory://", tmp_path))
        states.append(services._state)
        return services._state

    yield put
    for state in states:
        state.away = False


def test_without_its_state_a_limited_key_is_refused(serve, ask, shaky, network):
    client = serve("limits: {rpm: 5}")
    shaky(client).away = True
    answer = ask(client)
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "state_unavailable")
    assert len(network.calls) == 0


def test_or_let_through(serve, ask, shaky, caplog):
    client = serve("limits: {rpm: 5}", options="{without_state: allow}")
    shaky(client).away = True
    assert [ask(client).status_code for _ in range(7)] == [200] * 7
    assert caplog.text.count("calls of limited keys are let through") == 1


def test_a_state_that_goes_away_meanwhile_gets_its_slots_back(serve, ask, shaky, network):
    client = serve("limits: {concurrency: 1, tpm: 9000}")
    state = shaky(client)

    def answer(_):
        state.away = True
        return 200, {}, json.dumps(REPLY)

    network.remove("POST", "https://acme.test/v1/chat/completions")
    network.add_callback("POST", "https://acme.test/v1/chat/completions", answer)
    assert ask(client).status_code == 200
    state.away = False
    until(lambda: level(client, "key concurrency") == 0, "the slot's return")


# --- looking only ------------------------------------------------------------------------------------


def test_explaining_claims_nothing(serve, ask, tmp_path):
    client = serve("limits: {rpm: 1}")
    for _ in range(3):
        result = CliRunner().invoke(
            main, ["explain", "--config", str(tmp_path / "gateway.yaml"), "--key", "alice", "--model", "m"]
        )
        assert result.exit_code == 0
    assert ask(client).status_code == 200


def test_a_reload_keeps_what_is_counted(serve, ask, tmp_path):
    client = serve("limits: {rpm: 2}")
    ask(client)
    path = tmp_path / "gateway.yaml"
    path.write_text(path.read_text().replace("rpm: 2", "rpm: 3"))
    assert client.application.extensions["gateway"].reload()
    assert [ask(client).status_code for _ in range(3)] == [200, 200, 429]
