"""``gateway explain``: the route of a call that is not made."""

import json

import pytest
from click.testing import CliRunner

from gateway.cli import main

CONFIG = """
plugins: [call_log]
routing: {retries: 1}
routes: {smart: [other/claude, main/gpt]}
channels:
  - {name: main, provider: openai, key: hush-up, models: [gpt, {fast: gpt-mini}], tags: [eu], priority: 3, base_url: https://x.test}
  - {name: other, provider: anthropic, key: hush-up, models: [claude, gpt], weight: 4, base_url: https://x.test}
  - {name: third, provider: octen, key: hush-up, models: [gpt], priority: -1, base_url: https://x.test}
  - {name: "off", provider: xai, key: hush-up, models: [gpt], enabled: false}
  - {name: bare, provider: octen, key: hush-up, models: [uncounted]}
keys:
  - {name: alice, key: hush-alice, models: [gpt, smart, fast, uncounted]}
  - {name: eu, key: hush-eu, tags: [eu]}
"""


@pytest.fixture(name="explain")
def _explain(write_config, network):
    """explain(*words, input=bytes) -> click's result; nothing answers on the network."""
    path = write_config(CONFIG)

    def run(*words, **more):
        return CliRunner().invoke(main, ["explain", "--config", str(path), *words], **more)

    return run


@pytest.fixture(name="explained")
def _explained(explain):
    """explained(*words) -> the JSON document."""
    return lambda *words, **more: json.loads(explain(*words, "--json", **more).output)


def names(document):
    return [item["channel"] for item in document["candidates"]]


def test_each_channel_has_its_line_chosen_or_not(explain):
    result = explain("--key", "alice", "--model", "gpt", "--seed", "r1")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "gpt for alice, chat generate, seed r1",
        " 1  main  gpt  chat  lists the model; priority 3, weight 1",
        " 2  other  gpt  messages, translated  lists the model; priority 0, weight 4",
        " 3  third  gpt  chat  lists the model; priority -1, weight 1",
        " -  off  disabled",
        "at most 2 of them are tried (routing.retries)",
    ]


def test_the_models_name_and_dialect_there_are_told(explained):
    document = explained("--key", "alice", "--model", "fast", "--dialect", "gemini")
    assert document["candidates"] == [
        {
            "channel": "main", "provider": "openai", "model": "gpt-mini", "dialect": "chat", "translated": True,
            "priority": 3, "weight": 1, "reason": "lists the model", "standing": "awake",
        }
    ]  # fmt: skip
    assert {name: document[name] for name in ("key", "model", "dialect", "operation", "refused", "warning")} == {
        "key": "alice", "model": "fast", "dialect": "gemini", "operation": "generate", "refused": None, "warning": "",
    }  # fmt: skip


REFUSED = [
    (("--key", "alice", "--model", "claude"), 403, "model_not_allowed", []),
    (("--key", "eu", "--model", "claude"), 403, "model_not_allowed", ["other"]),
    (("--model", "nosuch"), 404, "model_not_found", []),
    (("--model", "claude", "--operation", "rerank"), 400, "unsupported_operation", ["other"]),
    (("--model", "claude", "--header", "x-gateway-channel: main"), 400, "unsupported_operation", ["other"]),
    (("--model", "gpt", "--header", "X-Gateway-Tags: mars"), 503, "no_channel", ["off", "main", "other", "third"]),
]


@pytest.mark.parametrize("words, status, code, left_out", REFUSED, ids=[" ".join(words) for words, *_ in REFUSED])
def test_a_refusal_is_told_with_exit_code_1(words, status, code, left_out, explain, explained):
    document = explained(*words)
    assert (document["refused"]["status"], document["refused"]["code"]) == (status, code)
    assert document["candidates"] == []
    assert [item["channel"] for item in document["left_out"]] == left_out
    result = explain(*words)
    assert result.exit_code == 1
    assert f"refused: {status} {code}: " in result.output


def test_a_body_brings_its_model_and_its_wishes(explained):
    provider = {"order": ["third"], "sort": {"by": "price", "partition": "none"}}
    body = {"model": "gpt", "provider": provider, "models": ["fast", "smart"]}
    document = explained("--key", "alice", "--body", "-", input=json.dumps(body).encode())
    assert names(document) == ["third", "main", "other", "main", "other"]
    assert [item["model"] for item in document["candidates"]] == ["gpt", "gpt", "gpt", "gpt-mini", "claude"]
    assert document["candidates"][0]["reason"] == "lists the model; number 1 in the client's order"
    assert document["warning"] == "provider.sort.partition: without effect"


def test_a_body_that_cannot_be_understood_is_a_usage_error(explain):
    for body in (b"{", b'{"model":"gpt","models":[1]}', b"{}"):
        assert explain("--body", "-", input=body).exit_code == 2


def test_a_key_that_is_not_there_is_a_usage_error_with_the_near_miss(explain):
    result = explain("--key", "alic", "--model", "gpt")
    assert result.exit_code == 2
    assert "no key is called 'alic', did you mean 'alice'?" in result.output


def test_a_count_that_no_channel_makes_is_the_gateways_own(explain, explained):
    words = ("--model", "uncounted", "--dialect", "messages", "--operation", "count_tokens")
    assert explained(*words)["by_itself"] is True
    assert explain(*words).output.splitlines()[-1] == "the gateway counts by itself: an estimate"


def test_no_secret_is_shown(explain):
    for words in (("--key", "alice", "--model", "gpt", "--json"), ("--key", "eu", "--model", "gpt")):
        result = explain(*words)
        assert result.exit_code == 0
        assert "hush" not in result.output


TWINS = "channels: [{}]".format(", ".join(f"{{name: c{n}, provider: echo, models: [m]}}" for n in range(6)))


def test_a_live_calls_draw_is_made_again_from_its_request_id(write_config, client_of, sent):
    path, client = write_config(TWINS), client_of(TWINS)
    for n in range(20):
        words = ["explain", "--config", str(path), "--model", "m", "--seed", f"req-{n}", "--json"]
        first = names(json.loads(CliRunner().invoke(main, words).output))[0]
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        answer = sent(client, "/v1/chat/completions", body, {"x-request-id": f"req-{n}"})
        assert answer.headers["x-gateway-channel"] == first


def test_plugins_arrange_the_channels_as_they_would(write_config, tmp_path):
    (tmp_path / "reverse.py").write_text(
        "from gateway import hookimpl\n\n\n@hookimpl\ndef arrange_channels(route):\n"
        "    route.candidates.reverse()\n    route.drop(route.candidates[0], 'the last is not wanted')\n"
    )
    words = ["explain", "--model", "m", "--seed", "s", "--json", "--config"]
    drawn = names(json.loads(CliRunner().invoke(main, [*words, str(write_config(TWINS))]).output))
    with_plugin = write_config(f"plugins_dir: {tmp_path}\nplugins: [reverse]\n{TWINS}")
    arranged = json.loads(CliRunner().invoke(main, [*words, str(with_plugin)]).output)
    assert names(arranged) == drawn[::-1][1:]
    assert arranged["left_out"] == [{"channel": drawn[-1], "reason": "the last is not wanted", "model": "m"}]


STORED = """
store: sqlite:///%s/gateway.db
state: sqlite:///%s/state.db
channels: [{name: main, provider: echo, models: [m, n]}]
teams: [{name: search, limits: {rph: 9}}]
keys:
  - name: bounded
    key: hush-b
    team: search
    limits: {rpm: 5, models: {n: {rpm: 2}}}
    budget: {tokens: 1000, per: day}
"""


@pytest.fixture(name="with_store")
def _with_store(write_config, tmp_path):
    """with_store(command, *words) -> click's result, for a configuration with a store."""
    path = write_config(STORED % (tmp_path, tmp_path))

    def run(*words):
        return CliRunner().invoke(main, [*words, "--config", str(path)])

    return run


def test_keys_of_the_store_are_known_too(with_store):
    made = with_store("keys", "create", "stored", "--model", "m", "--team", "search")
    assert made.exit_code == 0, made.output
    assert with_store("explain", "--key", "stored", "--model", "m").output.splitlines()[0].startswith("m for stored,")
    refused = with_store("explain", "--key", "stored", "--model", "n")
    assert (refused.exit_code, "model_not_allowed" in refused.output) == (1, True)
    near = with_store("explain", "--key", "store", "--model", "m")
    assert "no key is called 'store', did you mean 'stored'?" in near.output
    assert with_store("keys", "revoke", "stored").exit_code == 0
    revoked = with_store("explain", "--key", "stored", "--model", "m")
    assert (revoked.exit_code, "401 invalid_api_key: the key is revoked" in revoked.output) == (1, True)


def test_what_the_call_would_count_against_is_told(with_store):
    lines = with_store("explain", "--key", "bounded", "--model", "n").output.splitlines()
    assert [line for line in lines if line.startswith("counts against")] == [
        "counts against 5 requests a minute of key 'bounded': 0 used, 5 left",
        "counts against 9 requests an hour of team 'search': 0 used, 9 left",
        "counts against 1000 calls at once of key 'bounded': 0 used, 1000 left",
        "counts against 2 requests a minute of key 'bounded' for models 'n': 0 used, 2 left",
        "counts against 1000 tokens a day of key 'bounded': 0 used, 1000 left",
    ]
    document = json.loads(with_store("explain", "--key", "bounded", "--model", "m", "--json").output)
    assert [each["left"] for each in document["limits"]] == [5, 9, 1000, 1000]
