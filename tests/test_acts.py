"""Acts are written down before they are done, chained, and without secrets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.acts import ACTS, is_act
from gateway.acts.writing import noted, place, without_secrets
from gateway.cli import COMMANDS, main
from gateway.commands import acts
from gateway.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(name="config")
def _config(tmp_path):
    return tmp_path / "gateway.yaml"


def entries(config):
    return [json.loads(line) for line in place(config).read_text().splitlines()]


def run(*words):
    return CliRunner().invoke(acts.command, list(map(str, words)))


def test_every_act_is_a_command():
    for name, inner in ACTS.items():
        assert name in COMMANDS
        group = main.get_command(None, name)
        assert set(inner) <= set(group.commands)


@pytest.mark.parametrize(
    "words, act",
    [(["keys", "create", "a"], True), (["keys", "list"], False), (["keys"], False), ([], False),
     (["keys", "create", "--help"], False), (["check"], False), (["db", "upgrade"], True)],
)  # fmt: skip
def test_which_commands_are_acts(words, act):
    assert is_act(words) == act


def test_an_act_is_written_down_before_and_after(config, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "grace")
    with noted(config, ["keys", "create", "alice"], "ada"):
        assert [entry["event"] for entry in entries(config)] == ["begun", "asked"]
    asked, done = entries(config)[1:]
    assert (asked["act"], asked["words"], asked["sudo_user"], asked["as"]) == ("keys create", ["alice"], "grace", "ada")
    assert done["event"] == "done"
    assert asked["user"]
    with pytest.raises(SystemExit), noted(config, ["keys", "revoke", "bob"]):
        raise SystemExit(2)
    with pytest.raises(KeyError), noted(config, ["keys", "revoke", "bob"]):
        raise KeyError
    assert [entry["event"] for entry in entries(config)[3:]] == ["asked", "failed", "asked", "failed"]
    assert place(config).stat().st_mode & 0o077 == 0


def test_what_cannot_be_written_down_is_not_done(config):
    place(config).parent.write_text("in the way")
    with pytest.raises(ConfigError, match="not done"), noted(config, ["keys", "create", "a"]):
        raise AssertionError("it was done")


def test_secrets_are_left_out():
    words = ["alice", "--secret", "hidden", "--key=hidden", "--store-url", "postgresql://u:hidden@h/d", "--team", "x"]
    shown = without_secrets(words)
    assert "hidden" not in str(shown)
    assert {"alice", "--secret", "--team", "x"} <= set(shown)


def test_show_and_verify(config):
    assert "nothing" in run("show", "--config", config).output
    for name in ("a", "b"):
        with noted(config, ["keys", "create", name], "ada"):
            pass
    shown = run("show", "--config", config).output.splitlines()
    assert [line.rpartition(": ")[2] for line in shown] == [
        "keys create a [asked]", "keys create a [done]", "keys create b [asked]", "keys create b [done]",
    ]  # fmt: skip
    assert "(as ada)" in shown[0]
    verified = run("verify", "--config", config)
    assert verified.output.startswith("unbroken: 5 lines")
    last = verified.output.split()[-1]
    assert run("verify", "--config", config, "--passes", last).exit_code == 0


@pytest.mark.parametrize("how", ["change", "remove", "swap", "add"])
def test_a_chain_that_was_touched(how, config):
    for name in ("a", "b", "c"):
        with noted(config, ["keys", "create", name]):
            pass
    lines = place(config).read_text().splitlines(keepends=True)
    if how == "change":
        lines[3] = lines[3].replace('"b"', '"x"')
    elif how == "remove":
        del lines[3]
    elif how == "swap":
        lines[3], lines[4] = lines[4], lines[3]
    else:
        lines.insert(3, lines[2])
    place(config).write_text("".join(lines))
    found = run("verify", "--config", config)
    assert found.exit_code == 1
    assert "broken" in found.output


def test_many_at_once_make_one_chain(config):
    code = ("import sys; from pathlib import Path; from gateway.acts.writing import noted\n"
            "for number in range(10):\n"
            "    with noted(Path(sys.argv[1]), ['teams', 'set', str(number)]): pass")  # fmt: skip
    commands = [subprocess.Popen([sys.executable, "-c", code, str(config)], cwd=ROOT) for _ in range(4)]
    assert [command.wait(20) for command in commands] == [0] * 4
    assert run("verify", "--config", config).output.startswith("unbroken: 81 lines")


def test_the_command_line_writes_its_acts_down(config):
    config.write_text("store: sqlite:///store.db\nchannels: [{name: echo, provider: echo}]\n")
    for words in (["keys", "create", "alice"], ["keys", "list"], ["keys", "revoke", "nobody"]):
        command = [sys.executable, "-m", "gateway", "--as", "ada", *words, "--config", str(config)]
        subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30)
    written = [(entry["act"], entry["event"], entry["as"]) for entry in entries(config)[1:]]
    assert written == [
        ("keys create", "asked", "ada"), ("keys create", "done", "ada"),
        ("keys revoke", "asked", "ada"), ("keys revoke", "failed", "ada"),
    ]  # fmt: skip
