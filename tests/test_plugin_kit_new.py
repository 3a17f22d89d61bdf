"""`gateway plugin new`, `gateway plugins`, and the version of the plugin interface."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from gateway.commands.plugin import command as plugin
from gateway.commands.plugins import command as plugins
from gateway.errors import ConfigError
from gateway.plugin_api import API, api_of
from gateway.testing import checked

FILES = ["README.md", "gateway_acme/__init__.py", "pyproject.toml", "setup.cfg", "tests/conftest.py",
         "tests/test_acme.py"]  # fmt: skip


def run(command, *words):
    return CliRunner().invoke(command, [str(word) for word in words])


def files_in(folder):
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


# --- gateway plugin new ----------------------------------------------------------------------------------


def test_a_package_is_written_and_its_files_are_named(tmp_path):
    result = run(plugin, "new", "acme", "--dir", tmp_path)
    assert result.exit_code == 0, result.output
    root = tmp_path / "gateway-acme"
    assert sorted(files_in(root)) == FILES
    assert [line for line in result.output.splitlines() if line.startswith(str(root))] == [
        str(root / name) for name in sorted(FILES, key=lambda name: (name.count("/"), name))
    ]
    assert result.output.splitlines()[-1].endswith("gateway plugin check acme")


def test_another_name_stands_everywhere(tmp_path):
    assert run(plugin, "new", "my-vendor", "--dir", tmp_path).exit_code == 0
    found = files_in(tmp_path / "gateway-my-vendor")
    assert {"gateway_my_vendor/__init__.py", "tests/test_my_vendor.py"} < set(found)
    text = "".join(path.read_text() for path in found.values())
    assert "acme" not in text.lower()
    assert "my-vendor = gateway_my_vendor" in found["setup.cfg"].read_text()
    assert 'Provider("my-vendor"' in found["gateway_my_vendor/__init__.py"].read_text()
    assert "${MY_VENDOR_KEY}" in found["README.md"].read_text()


def test_what_is_written_keeps_the_house_style_and_the_rules(tmp_path):
    run(plugin, "new", "my-vendor", "--dir", tmp_path)
    root = tmp_path / "gateway-my-vendor"
    ruff = [sys.executable, "-m", "ruff", "check", "--line-length", "120", root]
    style = subprocess.run(ruff, capture_output=True, timeout=60)
    assert style.returncode == 0, style.stdout
    module = root / "gateway_my_vendor" / "__init__.py"
    (tmp_path / "my-vendor.py").write_text(module.read_text())
    found = checked(str(tmp_path / "my-vendor.py"))
    assert {finding.outcome for finding in found} == {"passed", "noted"}


@pytest.mark.parametrize(
    "name, said",
    [
        ("Acme", "'Acme' is no name for a plugin"),
        ("../acme", "is no name for a plugin"),
        ("9lives", "is no name for a plugin"),
        ("echo", "'echo' is taken"),
        ("openai", "'openai' is taken"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, said, tmp_path):
    result = run(plugin, "new", name, "--dir", tmp_path)
    assert result.exit_code == 2
    assert said in result.output
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    run(plugin, "new", "acme", "--dir", tmp_path)
    kept = tmp_path / "gateway-acme" / "gateway_acme" / "__init__.py"
    kept.write_text("mine")
    result = run(plugin, "new", "acme", "--dir", tmp_path)
    assert (result.exit_code, kept.read_text()) == (2, "mine")
    assert "is there already, and not empty" in result.output


# --- gateway plugins -------------------------------------------------------------------------------------


@pytest.fixture(name="config")
def _config(write_config, samples):
    return write_config(f"plugins_dir: {samples}\nplugins: [good, order_a]\nchannels: [{{name: e, provider: echo}}]")


def test_the_options_of_each_plugin_are_told(config):
    lines = run(plugins, "--config", config).output.splitlines()
    assert lines[1:5] == [
        "      greeting: text, default hello: said by its page",
        "      most: whole number, default 3: a number",
        "      admits: true or false, default true: whether everybody is let in",
        "      level: one of low, high, default low: a choice",
    ]
    assert lines[5].startswith(" 2  order_a  -  before_call, after_call")


def test_plugins_as_a_document(config):
    told = json.loads(run(plugins, "--config", config, "--all", "--json").output)
    good, order_a, echo, *rest = told
    assert (good["order"], good["name"], good["version"], good["api"]) == (1, "good", "1.2.3", 1)
    assert good["options"][1] == {
        "name": "most", "kind": "whole number", "default": "3", "choices": [], "meaning": "a number",
    }  # fmt: skip
    assert order_a["hooks"] == ["before_call", "after_call"]
    assert Path(echo["origin"]).name == "echo.py"
    assert "call_log" in {one["name"] for one in rest if one["order"] is None}


# --- the version of the interface ------------------------------------------------------------------------


@pytest.mark.parametrize("said", [SimpleNamespace(), SimpleNamespace(API=1), SimpleNamespace(API=API)])
def test_a_plugin_of_this_interface_or_an_older_one_is_welcome(said):
    assert api_of(said, "acme", "here") == getattr(said, "API", 1)


@pytest.mark.parametrize(
    "version, text",
    [
        (API + 1, f"made for version {API + 1} of the plugin interface, and this gateway has version {API}"),
        ("1", "API is '1'; expected a whole number"),
        (True, "API is True; expected a whole number"),
        (0, "API is 0; expected a whole number"),
    ],
)
def test_any_other_is_refused_with_the_reason(version, text):
    with pytest.raises(ConfigError, match=text) as refused:
        api_of(SimpleNamespace(API=version), "acme", "/plugins/acme.py")
    assert "plugin 'acme' (/plugins/acme.py)" in str(refused.value)
