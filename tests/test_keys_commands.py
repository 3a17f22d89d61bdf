"""``gateway keys``, ``gateway teams`` and ``gateway db``, as somebody at a terminal uses them."""

import dataclasses
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.commands import db, keys, teams
from gateway.store import open_store
from gateway.store.key_files import KeyEntry
from gateway.store.migrations import NEWEST
from tests.state_servers import PASSWORD
from tests.store_cases import url_of

YAML = """
store: sqlite:///var/gateway.db
teams: [{name: declared, limits: {rpm: 5}}]
keys: [{name: bob, key: bobs-own-secret-0001}]
channels: [{name: a, provider: openai, key: "${A_SECRET_THAT_IS_NOT_SET_HERE}"}]
"""
FORM = re.compile(r"gw-[A-Za-z0-9_-]{40}")


@pytest.fixture(name="run")
def _run(write_config):
    """run(words, ...) -> click's result, with a store beside."""
    path = write_config(YAML)

    def run(*words, given=None):
        environment = {"GATEWAY_CONFIG": str(path)}
        return CliRunner().invoke(main, [str(word) for word in words], env=environment, input=given)

    return run


@pytest.fixture(name="done")
def _done(run):
    """done(words, ...) -> what a command that succeeds prints."""

    def done(*words, **more):
        result = run(*words, **more)
        assert result.exit_code == 0, result.output
        return result.stdout.rstrip("\n")

    return done


@pytest.fixture(name="refused")
def _refused(run):
    """refused(words, ...) -> what a command that fails says."""

    def refused(*words, code=2, **more):
        result = run(*words, **more)
        assert (result.exit_code, result.stdout) == (code, "")
        return result.stderr

    return refused


def shown(done, name):
    return json.loads(done("keys", "show", name, "--json"))


# --- keys --------------------------------------------------------------------------------------------


def test_a_secret_is_printed_once_and_alone(run, done):
    made = run("keys", "create", "alice")
    assert FORM.fullmatch(made.stdout.strip())
    assert "shown this once only" in made.stderr
    secret = made.stdout.strip()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    for words in (["list"], ["list", "--json"], ["show", "alice"], ["show", "alice", "--json"]):
        said = done("keys", *words)
        assert secret[:9] in said
        assert secret[9:] not in said
        assert digest not in said
    as_json = json.loads(done("keys", "create", "carol", "--json"))
    assert FORM.fullmatch(as_json["secret"])
    assert as_json["state"] == "active"


def test_everything_that_can_be_said_of_a_key(done):
    done(
        "keys", "create", "alice", "--owner", "me", "--team", "declared", "--model", "gpt-*", "--model", "claude-*",
        "--tag", "eu", "--allow-ip", "10.0.0.0/8", "--expires", "2099-01-01",
        "--limits", "{rpm: 60, models: {x: {rpm: 1}}}", "--budget", "{usd: 50, per: month}",
        "--show-route", "--may-not-choose", "--note", "for the demo",
    )  # fmt: skip
    said = shown(done, "alice")
    assert said.pop("created") and said.pop("secrets")
    assert said == {
        "name": "alice", "state": "active", "owner": "me", "team": "declared", "note": "for the demo",
        "models": ["gpt-*", "claude-*"], "tags": ["eu"], "allow_ips": ["10.0.0.0/8"], "show_route": True,
        "may_choose": False, "limits": {"rpm": 60, "models": {"x": {"rpm": 1}}}, "budget": {"usd": 50, "per": "month"},
        "expires": "2099-01-01 00:00:00Z", "revoked": None, "last_used": None,
    }  # fmt: skip
    done("keys", "set", "alice", "--unset", "limits", "--unset", "team", "--model", "m", "--hide-route")
    said = shown(done, "alice")
    assert "limits" not in said
    assert (said["team"], said["models"], said["show_route"], said["owner"]) == ("", ["m"], False, "me")


@pytest.mark.parametrize("words, complaint", [
    (["alice", "--team", "declraed"], "no team is called 'declraed', did you mean 'declared'?"),
    (["alice", "--limits", "{rmp: 3}"], "key 'alice': limits: unknown key 'rmp', did you mean 'rpm'?"),
    (["alice", "--limits", "rpm"], "expected a mapping such as '{rpm: 60}'"),
    (["alice", "--limits", "{rpm: ["], "not YAML"),
    (["alice", "--allow-ip", "here"], "expected an address or a network"),
    (["alice", "--expires", "soon"], "expected a date such as 2027-01-01 or a span such as 90d"),
    (["alice smith"], "a name without spaces"), (["x" * 129], "of at most 128 characters"), ([""], "a name without"),
    (["bob"], "`keys:` of the configuration has a key 'bob'"),
])  # fmt: skip
def test_a_mistake_makes_no_key(words, complaint, refused, done):
    assert complaint in refused("keys", "create", *words)
    assert done("keys", "list", "--all") == ""


def test_spans_and_dates(done):
    done("keys", "create", "alice", "--expires", "36h")
    ends = datetime.strptime(shown(done, "alice")["expires"], "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(ends - datetime.now(UTC) - timedelta(hours=36)) < timedelta(minutes=1)
    done("keys", "set", "alice", "--expires", "2001-02-03T04:05:06+02:00")
    assert shown(done, "alice")["expires"] == "2001-02-03 02:05:06Z"
    assert shown(done, "alice")["state"] == "expired"


def test_rotating_says_until_when_the_old_secret_is_good(run, done):
    first = done("keys", "create", "alice")
    rotated = run("keys", "rotate", "alice", "--overlap", "24h")
    second = rotated.stdout.strip()
    assert second != first
    assert "The old one is valid until" in rotated.stderr
    held = shown(done, "alice")["secrets"]
    assert [secret["prefix"] for secret in held] == [first[:9], second[:9]]
    assert held[0]["until"] and not held[1]["until"]
    assert "The old one has ended" in run("keys", "rotate", "alice").stderr
    assert len(shown(done, "alice")["secrets"]) == 1


def test_revoking_is_for_ever_and_may_be_said_twice(done, refused, run):
    done("keys", "create", "alice")
    done("keys", "create", "carol")
    assert done("keys", "revoke", "alice", "carol") == "alice: revoked\ncarol: revoked"
    assert done("keys", "revoke", "alice") == "alice: was revoked already"
    assert "there is no key 'nobody' in the store" in refused("keys", "revoke", "nobody")
    assert "was revoked" in refused("keys", "rotate", "alice")
    assert done("keys", "list") == ""
    prefix = shown(done, "alice")["secrets"][0]["prefix"]
    assert done("keys", "list", "--all").split()[:3] == ["alice", prefix, "revoked"]


def test_what_is_not_there(refused):
    assert "there is no key 'nobody'" in refused("keys", "show", "nobody")
    assert "there is no key 'nobody'" in refused("keys", "set", "nobody", "--note", "x")
    assert "say what to change" in refused("keys", "set", "nobody")


# --- import ------------------------------------------------------------------------------------------

CSV = """name,key,sha256,owner,team,models,limits,expires,show_route,note
a1,sk-0123456789abcdef0123456789abc,,me,declared,"gpt-* claude-*","{rpm: 3, models: {x: {rpm: 1}}}",2099-01-01,1,"a, b"
a2,,9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08,,,,,,,
"""
LIST = """
- {name: a1, key: sk-0123456789abcdef0123456789abc, owner: me, team: declared, models: ["gpt-*", "claude-*"],
   limits: {rpm: 3, models: {x: {rpm: 1}}}, expires: 2099-01-01, show_route: true, note: "a, b"}
- {name: a2, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
"""


@pytest.mark.parametrize("name, text", [
    ("keys.csv", CSV), ("keys.yaml", LIST), ("whole.yaml", "channels: []\nkeys:" + LIST.replace("\n", "\n  ")),
])  # fmt: skip
def test_files_of_keys(name, text, done, tmp_path):
    file = tmp_path / name
    file.write_text(text)
    assert done("keys", "import", file) == "2 created, 0 changed, 0 unchanged, 0 revoked"
    said = shown(done, "a1")
    assert said["limits"] == {"rpm": 3, "models": {"x": {"rpm": 1}}}
    assert (said["models"], said["show_route"], said["note"]) == (["gpt-*", "claude-*"], True, "a, b")
    assert said["secrets"][0]["prefix"] == "sk-012345"
    assert json.loads(done("keys", "import", file, "--json")) == {
        "created": 0, "changed": 0, "unchanged": 2, "revoked": 0,
    }  # fmt: skip
    if name == "keys.csv":  # the other form says the same
        (tmp_path / "again.yaml").write_text(LIST)
        assert "2 unchanged" in done("keys", "import", tmp_path / "again.yaml")


def test_keys_may_come_by_standard_input(done):
    assert done("keys", "import", "-", "--format", "csv", given=CSV).startswith("2 created")


def test_every_complaint_about_a_file_has_its_line_and_no_secret(refused, done, tmp_path):
    file = tmp_path / "keys.csv"
    file.write_text(
        "name,key,sha256,tem,limits\n"
        "a b,sk-0123456789abcdef-CANARY,,,\n"
        "a1,short,,,\n"
        "a2,sk-another-0123456789-CANARY,,,{rpm: x}\n"
        "a3,sk-a-third-0123456789-CANARY,,declared,\n"
        "a4,,abc-CANARY,,\n"
        "a5,sk-fifth-0123456789-CANARY,9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08,,\n"
        "a6,eyJhbGciOi.J9CANARY.abcdefgh,,,\n"
        "a7,sk-seventh-0123456789-CANARY,,,\n"
        "a7,sk-seventh-0123456789-CANARY,,,\n"
    )
    said = refused("keys", "import", file).replace(f"{file}:", "").splitlines()
    assert [(int(line.partition(":")[0]), line.partition(": ")[2]) for line in sorted(said)] == [
        (10, "keys.a7: the name stands in line 9 already"),
        (2, "keys.a b: expected a name without spaces, of at most 128 characters"),
        (3, "keys.a1: a secret has at least 16 characters; a shorter one could be guessed"),
        (4, "keys[2].limits.rpm: expected a whole number, found 'x'"),
        (5, "keys[3]: unknown key 'tem', did you mean 'team'?"),
        (6, "keys[4].sha256: expected 64 hexadecimal digits (printf %s KEY | sha256sum)"),
        (7, "keys.a5: give either 'key' or 'sha256'"),
        (8, "keys.a6: this is a JSON Web Token, no key"),
    ]  # fmt: skip
    assert "CANARY" not in "".join(said)
    assert done("keys", "list") == ""


def test_keys_on_one_line_are_told_apart(refused, tmp_path):
    file = tmp_path / "keys.yaml"
    file.write_text(json.dumps([{"name": "twin", "key": f"sk-0123456789abcdef-{n}"} for n in range(2)]))
    assert "keys.twin: the name stands in line 1 already" in refused("keys", "import", file)


def test_a_table_may_come_from_a_spreadsheet(done, tmp_path):
    file = tmp_path / "keys.csv"
    file.write_bytes(b"\xef\xbb\xbfname,key\r\nalice,sk-0123456789abcdef\r\n")  # with a byte order mark
    assert done("keys", "import", file).startswith("1 created")


def test_a_key_of_the_configuration_may_move_into_the_store_with_its_secret_only(done, refused):
    assert "1 created" in done("keys", "import", "-", given="[{name: bob, key: bobs-own-secret-0001}]")
    said = refused("keys", "import", "-", given="[{name: bob, key: somebody-elses-secret}]")
    assert "`keys:` of the configuration has a key 'bob'" in said


def test_an_import_of_a_team_that_is_nowhere(refused):
    said = refused("keys", "import", "-", given="[{name: carol, key: carols-own-secret, team: serach}]")
    assert "no team is called 'serach'" in said


# --- teams -------------------------------------------------------------------------------------------


def test_teams(done, refused):
    done("teams", "create", "search", "--limits", "{rpm: 9}", "--note", "n")
    assert done("teams", "list") == 'declared  configuration\nsearch  store  limits {"rpm": 9}'
    assert "has a team 'declared' already" in refused("teams", "create", "declared")
    assert "the team 'search' exists" in refused("teams", "create", "search")
    done("teams", "set", "search", "--budget", "{usd: 5}", "--unset", "limits")
    said = json.loads(done("teams", "show", "search", "--json"))
    assert (said["budget"], said["note"], "limits" in said) == ({"usd": 5}, "n", False)
    assert "`teams:` of the configuration has it" in refused("teams", "show", "declared")
    done("keys", "create", "alice", "--team", "search")
    assert "has keys: alice" in refused("teams", "remove", "search")
    done("keys", "revoke", "alice")
    assert done("teams", "remove", "search") == "search: removed"


# --- db ----------------------------------------------------------------------------------------------


def test_an_embedded_store_needs_no_upgrade(done, tmp_path):
    assert done("db", "check") == f"sqlite:///{tmp_path}/var/gateway.db: good (schema version {NEWEST})"
    assert done("db", "upgrade").endswith(f"schema version {NEWEST} already")
    assert done("db", "version").endswith(f"schema version {NEWEST}, needed {NEWEST}")


def test_another_one_is_upgraded_by_command_and_never_shows_its_password(run, done, refused, write_config):
    url = url_of("postgres")
    write_config(YAML.replace("sqlite:///var/gateway.db", url))
    assert done("db", "version").endswith(f"schema version 0, needed {NEWEST}")
    for words in (("db", "check"), ("keys", "list"), ("keys", "create", "alice")):
        assert "the database is empty; run: gateway db upgrade" in refused(*words, code=1)
    assert done("db", "upgrade").endswith(f"upgraded from schema version 0 to {NEWEST}")
    assert ":***@" in done("db", "check")
    for words in (("db", "check"), ("db", "version"), ("db", "upgrade"), ("keys", "create", "alice")):
        assert PASSWORD not in run(*words).output
    write_config(YAML.replace("sqlite:///var/gateway.db", url.replace("127.0.0.1", "127.0.0.2")))
    said = refused("db", "check", code=1)
    assert "refused" in said
    assert PASSWORD not in said


def test_flaws_are_said(done, refused, tmp_path):
    done("db", "check")
    store = open_store("sqlite:///var/gateway.db", tmp_path)
    with store.begin() as connection:
        connection.exec_driver_sql("DROP TABLE days")
    store.close()
    assert "table days is missing" in refused("db", "check", code=1)


def test_without_a_store_there_is_nothing_to_do(refused, write_config):
    write_config("channels: [{name: echo, provider: echo}]")
    assert "there is no `store:` in it" in refused("keys", "list")
    write_config(YAML.replace("sqlite:///var/gateway.db", "${NO_SUCH_STORE}"))
    assert "environment variable 'NO_SUCH_STORE' is not set" in refused("keys", "list")


# --- the page ------------------------------------------------------------------------------------------


def test_the_page_tells_of_every_command_and_every_option():
    page = (Path(__file__).parent.parent / "docs" / "keys.md").read_text()
    for group in (keys, teams, db):
        for name in group.command.commands:
            line = f"`gateway {group.command.name} {name}"
            assert line in page or re.search(rf"`gateway {group.command.name} [\w|]*\b{name}\b", page), line
    given = {option for sub in ("create", "set", "rotate", "list") for option in keys.command.commands[sub].params}
    told = set(re.findall(r"--[a-z-]+", page))
    assert {param.opts[0] for param in given if param.opts[0].startswith("--")} - {"--config"} <= told
    for name in (field.name for field in dataclasses.fields(KeyEntry) if field.name not in ("line", "name", "key")):
        assert f"`{name}`" in page
