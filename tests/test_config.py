"""gateway.yaml, read and checked. A case is a file in cases/config with what is said of it beside it
(NAME.expected: complaints, and warnings where it is accepted)."""

import dataclasses
import datetime
import ipaddress
import logging
import pickle
import pprint
from pathlib import Path

import jsonschema
import pytest
import yaml

from gateway.config import read_settings
from gateway.config.checker import Checker, option
from gateway.config.document import Complaints, read_document, read_text
from gateway.config.json_schema import json_schema
from gateway.config.kinds import Secret
from gateway.config.settings import Settings, Timeouts
from gateway.errors import ConfigError
from gateway.loading import load

CASES = sorted((Path(__file__).parent / "cases" / "config").glob("*.yaml"))
DEMO = Path(__file__).parent.parent / "conf" / "gateway.yaml"
SECRETS = {"OPENAI_API_KEY": "hush-openai", "SECRET_TEXT": "hush-text", "SECRET_ODD": "hush-\u00e4"}


@pytest.fixture(name="environment")
def _environment(cases, monkeypatch):
    values = {"NAME_A": "alpha", "NUMBER": "7", "TRUTH": "true", "EMPTY": "", "FILES": str(cases / "config" / "files")}
    for name, value in (SECRETS | values).items():
        monkeypatch.setenv(name, value)
    for name in ("NOT_SET", "NOT_SET_KEY", "NOT_SET_URL"):
        monkeypatch.delenv(name, raising=False)
    return values


def said_of(case):
    """Every complaint and warning, with the case's file name only."""
    try:
        said = [f"warning: {line}" for line in load(case).warnings]
    except ConfigError as error:
        said = error.complaints
    return "".join(f"{line}\n" for line in said).replace(f"{case.parent}/", "")


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_file_is_accepted_or_every_complaint_is_made(case, environment):
    assert said_of(case) == case.with_suffix(".expected").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_no_complaint_shows_a_secret(case, environment):
    assert not [secret for secret in [*SECRETS.values(), "geheim", "file-secret"] if secret in said_of(case)]


def test_the_whole_sample_has_its_values(environment, cases):
    sample = cases / "config" / "sample.yaml"
    settings, _ = read_settings(sample, sample.read_text())
    main, alice = settings.channels[0], settings.keys[0]
    assert settings.max_body == 64_000_000
    assert settings.trusted_proxies == [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
    assert [use.name for use in settings.plugins] == ["limits", "ledger", "redact"]
    assert settings.routing.commit_after == 20
    assert settings.providers["acme"].dialects == {"chat": "/llm/v2/chat"}
    assert settings.routes == {"smart": ("anthropic-main/claude-opus-4.8", "openai-main/gpt-5.5")}
    assert main.keys == [Secret("hush-openai")]
    assert main.models == (("gpt-4o", None), ("gpt-5*", None))
    assert main.timeout == Timeouts(connect=5, first_event=60, idle=120, total=1800)
    assert main.headers.set == {"X-Team": "search"}
    assert main.body.set == {"/user": "corp"}
    assert main.body.unset == ["/store", "/service_tier"]
    assert settings.channels[1].key.reveal() == "file-secret-5512"
    assert alice.allow_ips == [ipaddress.ip_network("10.0.0.0/8")]
    assert alice.expires == datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
    assert alice.budget.usd == 50


def test_values_in_their_other_forms(environment, cases):
    forms = cases / "config" / "forms.yaml"
    settings, _ = read_settings(forms, forms.read_text())
    numeric, other = settings.channels
    assert settings.max_body == 1.5 * 2**20
    assert settings.trusted_proxies[0] == ipaddress.ip_network("10.0.0.0/8")
    assert (numeric.name, numeric.key.reveal()) == ("0123", "4711")
    assert numeric.models == (("a", None), ("b", "c"), ("d-*", None))
    assert other.models == (("x", "y"),)
    assert other.keys == [Secret("k1"), Secret("k2")]
    assert settings.keys[0].name == "2024-01-01"
    assert settings.keys[0].expires == datetime.datetime(2027, 1, 1, 12, tzinfo=datetime.UTC)


VARIABLES = [
    ("weight: ${NUMBER}", "weight", 7),
    ("enabled: ${FALSE:-false}", "enabled", False),
    ("priority: ${NOT_SET:-3}", "priority", 3),
    ("proxy: http://${NAME}:${NUMBER}", "proxy", "http://alpha:7"),
    ("proxy: $${NAME}", "proxy", "${NAME}"),
    ("proxy: ${EMPTY:-http://else}", "proxy", "http://else"),
    ("proxy: '${QUOTED}'", "proxy", "a: b # c"),
    ("proxy: ${QUOTED}", "proxy", "a: b # c"),
    ("proxy: ${NESTED}", "proxy", "${NAME}"),
    ("options: {deep: [{x: '${NUMBER}'}, '${NAME}']}", "options", {"deep": [{"x": "7"}, "alpha"]}),
]


@pytest.mark.parametrize("line, member, value", VARIABLES, ids=[line for line, *_ in VARIABLES])
def test_the_environment_fills_in(line, member, value):
    environment = {"NAME": "alpha", "NUMBER": "7", "EMPTY": "", "QUOTED": "a: b # c", "NESTED": "${NAME}"}
    text = f"channels:\n  - name: a\n    provider: echo\n    {line}\n"
    settings, complaints = read_settings(Path("x.yaml"), text, environment)
    assert complaints.lines == []
    assert getattr(settings.channels[0], member) == value


def test_what_the_environment_says_is_never_read_as_yaml():
    text = "channels:\n  - {name: a, provider: echo, proxy: '${INJECTED}'}\n"
    settings, _ = read_settings(Path("x.yaml"), text, {"INJECTED": "x\nkeys: []\n- !!python/object:os.system"})
    assert settings.channels[0].proxy.startswith("x\nkeys")


def test_a_file_that_cannot_be_read_is_a_complaint(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"# \xe9\n")
    for path, reason in (
        (tmp_path / "none.yaml", "No such file"),
        (latin, "not UTF-8 at byte 2"),
        (tmp_path, "Is a dir"),
    ):
        with pytest.raises(ConfigError, match=reason) as caught:
            read_text(path)
        assert caught.value.complaints[0].startswith(str(path))


def test_a_secret_shows_itself_to_nobody(environment, cases, caplog):
    sample = cases / "config" / "sample.yaml"
    gateway = load(sample)
    logging.getLogger("gateway.test").warning("%s %r", gateway, gateway.channels)
    shown = [repr(gateway), str(gateway.settings), pprint.pformat(dataclasses.asdict(gateway.settings.routing)),
             repr(gateway.settings.channels), f"{gateway.channels[0].keys}", caplog.text]  # fmt: skip
    assert not [text for text in shown for secret in ("hush-openai", "file-secret-5512") if secret in text]


def test_a_secret_is_neither_pickled_nor_empty():
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("x"))
    assert Secret("x") == Secret("x") != Secret("y")
    assert bool(Secret("")) is False


def test_complaints_come_in_one_error_and_one_line_each(environment, cases):
    case = cases / "config" / "wrong_types.yaml"
    with pytest.raises(ConfigError) as caught:
        load(case)
    assert len(caught.value.complaints) > 15
    assert str(caught.value).splitlines() == caught.value.complaints


def test_an_option_declares_limits_and_choices():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options:
        level: str = option("how much", "low", choices=("low", "high"))
        size: int = option("how big", 3, least=2)
        words: list[str] = option("which", [])

    complaints = Complaints("x.yaml")
    root = read_document("level: hihg\nsize: 1\nwords: [a]\n", {}, complaints)
    assert Checker(complaints).read(Options, root, "plugins.x").words == ["a"]
    assert complaints.lines == [
        "x.yaml:1: plugins.x.level: expected one of low, high; did you mean 'high'?, found 'hihg'",
        "x.yaml:2: plugins.x.size: expected at least 2, found '1'",
    ]
    assert Options().words == []


# --- the JSON Schema ---------------------------------------------------------------------------


def plain(path):
    """The file as an editor sees it: dates are text there."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader if path.stem == "forms" else _NoDates)


class _NoDates(yaml.SafeLoader):
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("stem", ["sample", "anchors"])
def test_the_schema_accepts_what_the_gateway_accepts(stem, cases):
    jsonschema.Draft202012Validator(json_schema()).validate(plain(cases / "config" / f"{stem}.yaml"))


def test_the_schema_accepts_the_shipped_file():
    jsonschema.Draft202012Validator(json_schema()).validate(plain(DEMO))


@pytest.mark.parametrize("stem", ["near_misses", "wrong_types", "providers", "list", "empty"])
def test_the_schema_refuses_what_the_gateway_refuses(stem, cases):
    errors = list(jsonschema.Draft202012Validator(json_schema()).iter_errors(plain(cases / "config" / f"{stem}.yaml")))
    assert errors


def test_the_schema_describes_every_key():
    properties = json_schema()["properties"]
    assert set(properties) == {member.name for member in dataclasses.fields(Settings)}
    assert all(schema["description"] for schema in properties.values())


def test_an_unknown_key_far_from_all_others_gets_the_known_ones():
    complaints = Complaints("x.yaml")
    root = read_document("nosuch: 1\n", {}, complaints)
    Checker(complaints).read(Timeouts, root, "timeout")
    assert "unknown key 'nosuch'; known here: connect, first_event, idle, total" in complaints.lines[0]


def test_the_shipped_file_is_good_and_warns_of_nothing():
    assert load(DEMO).warnings == ()


def test_what_is_written_goes_before_what_is_merged_and_the_first_of_several_before_the_next():
    text = "one: &one {a: 1, b: 1, c: 1}\ntwo: &two {c: 2, d: 2}\nall: {<<: [*one, *two], b: 3}\nagain: *one\n"
    root = read_document(text, {}, Complaints("file.yaml"))
    assert {name: node.value for name, node in root.value["all"].value.items()} == {"a": 1, "b": 3, "c": 1, "d": 2}
    assert root.value["again"].line == 4
    assert root.value["one"].line == 1
