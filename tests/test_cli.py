"""The command line."""

import json

import jsonschema
import pytest
from click.testing import CliRunner

from gateway import __version__
from gateway.cli import COMMANDS, main
from gateway.commands.serve import _stays_here as stays_here

ECHO = "channels: [{name: echo, provider: echo, models: [m, 'g-*', {public: upstream}]}]"


@pytest.fixture(name="run")
def _run(monkeypatch):
    """run(*words, config=path) -> click's result."""
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)

    def run(*words, config=None):
        return CliRunner().invoke(main, [str(word) for word in words], env={"GATEWAY_CONFIG": config and str(config)})

    return run


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_every_command_has_help_with_an_example(command, run):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"Example: gateway {' '.join(command)}".strip() in result.output


def test_all_commands_are_listed(run):
    output = run("--help").output
    assert not [name for name in COMMANDS if f"\n  {name} " not in output]


def test_the_version(run):
    assert run("--version").output == f"gateway, version {__version__}\n"


def test_an_unknown_command_is_refused(run, write_config):
    result = run("cheek", config=write_config(ECHO))
    assert result.exit_code == 2
    assert "No such command 'cheek'" in result.output


# --- check -------------------------------------------------------------------------------------------


def test_check_says_that_a_file_is_good(run, write_config):
    path = write_config(ECHO + "\nkeys: [{name: a, key: s}, {name: b, key: t}]")
    result = run("check", "--config", path)
    assert (result.exit_code, result.output) == (0, f"{path}: good (1 channel, 2 client keys)\n")


def test_check_prints_every_complaint_and_exits_with_2(run, write_config):
    path = write_config("max_bdoy: 1\nchannels:\n  - {name: a, provider: opneai, key: k}\n  - {nmae: b}\n")
    result = run("check", "--config", path)
    assert result.exit_code == 2
    assert result.stdout == ""
    said = result.stderr.replace(f"{path}:", "").splitlines()
    assert said[0] == "1: unknown key 'max_bdoy', did you mean 'max_body'?"
    assert "4: channels[1]: unknown key 'nmae', did you mean 'name'?" in said
    assert "3: channels.a.provider: unknown provider 'opneai', did you mean 'openai'?" in said


def test_check_prints_warnings_beside_the_good_word(run, write_config):
    path = write_config("plugins: [dashboard]\n" + ECHO)
    result = run("check", "--config", path)
    assert result.exit_code == 0
    assert f"warning: {path}:1: plugins.dashboard: understood, but without effect" in result.stderr


def test_check_of_a_file_that_is_not_there(run, tmp_path):
    result = run("check", "--config", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "none.yaml: cannot be read: No such file" in result.stderr


def test_the_configuration_may_come_from_the_environment(run, write_config):
    path = write_config(ECHO)
    assert str(path) in run("check", config=path).output


def test_without_any_configuration_the_shipped_demo_is_used(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("check")
    assert (result.exit_code, "gateway.yaml: good" in result.output) == (0, True)


# --- schema, models, plugins -------------------------------------------------------------------------


def test_schema_prints_a_json_schema(run):
    jsonschema.Draft202012Validator.check_schema(json.loads(run("schema").output))


def test_models_lists_names_and_channels(run, write_config):
    path = write_config(ECHO + "\nproviders: {x: {dialects: [chat]}}")
    assert run("models", "--config", path).output.splitlines() == [
        "m  echo  echo", "g-*  echo  echo", "public -> upstream  echo  echo",
    ]  # fmt: skip


def test_models_marks_disabled_channels(run, write_config):
    path = write_config("channels: [{name: a, provider: echo, models: [m], enabled: false}]")
    assert run("models", "--config", path).output == "m  a  echo  (disabled)\n"


def test_plugins_shows_order_name_version_hooks_and_origin(run, write_config, samples):
    path = write_config(f"plugins_dir: {samples}\nplugins: [good, order_a]\nkeys: [{{name: a, key: s}}]\n{ECHO}")
    lines = [line.split() for line in run("plugins", "--config", path).output.splitlines() if line[:6].strip()]
    assert [line[:3] for line in lines] == [
        ["1", "client_keys", "-"], ["2", "good", "1.2.3"], ["3", "order_a", "-"], ["4", "echo", "-"],
    ]  # fmt: skip
    assert lines[2][3:] == ["before_call,", "after_call", str(samples / "order_a.py")]


def test_plugins_shows_those_not_in_use_if_asked(run, write_config, samples):
    path = write_config(f"plugins_dir: {samples}\n{ECHO}")
    assert "call_log" not in run("plugins", "--config", path).output
    output = run("plugins", "--config", path, "--all").output
    assert "call_log  -  (not in use)" in output
    assert "raising  -  (not in use)" in output


# --- commands of plugins -------------------------------------------------------------------------------


def test_a_plugins_command_is_found_listed_and_run(run, write_config, samples):
    path = write_config(f"plugins_dir: {samples}\nplugins: [{{good: {{greeting: welcome}}}}]\n{ECHO}")
    assert run("greet", config=path).output == "welcome\n"
    assert "Say the greeting." in run("--help", config=path).output


@pytest.mark.parametrize("folder, plugin, complaint", [
    ("broken", "takes_a_command", "two commands are called 'check'"),
    (".", "{raising: {hook: register_commands}}", "plugin 'raising' failed in register_commands"),
])  # fmt: skip
def test_a_broken_command_is_a_complaint_and_takes_none_of_the_others_away(
    folder, plugin, complaint, run, write_config, samples
):
    path = write_config(f"plugins_dir: {samples / folder}\nplugins: [{plugin}]\n{ECHO}")
    result = run("greet", config=path)
    assert (result.exit_code, complaint in result.stderr) == (2, True)
    assert run("--help", config=path).exit_code == 0
    assert "models" in run("--help", config=path).output
    assert run("models", config=path).exit_code == 0


# --- serve -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bind", ["0.0.0.0:8080", ":8080", "[::]:8080", "192.0.2.1:80", "example.test:80", "127.0.0.1.test:80"]
)
def test_serve_refuses_a_public_bind_without_keys(bind, run, write_config):
    result = run("serve", "--config", write_config(ECHO), "--bind", bind)
    assert result.exit_code == 2
    assert "without client keys" in result.stderr
    assert bind in result.stderr


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:8080", "127.9.9.9:1", "[::1]:80", "localhost:80", "unix:/run/gateway.sock"]
)
def test_what_counts_as_this_machine(bind):
    assert stays_here(bind)


def test_serve_says_what_is_wrong_with_the_file_before_it_starts(run, write_config):
    result = run("serve", "--config", write_config("max_body: x\n" + ECHO))
    assert result.exit_code == 2
    assert "max_body: expected a size" in result.stderr


def test_serve_knows_its_worker_classes(run, write_config):
    result = run("serve", "--config", write_config(ECHO), "--worker-class", "sync")
    assert result.exit_code == 2
    assert "gthread" in result.stderr
