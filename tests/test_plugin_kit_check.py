"""`gateway plugin check`: good plugins pass, and each rule has a plugin that breaks it and is found out."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands.plugin import command
from gateway.loading import shipped_providers
from gateway.plugin_manager import SHIPPED
from gateway.testing import checked, failed_checks
from gateway.testing.conformance import CHECKS

KIT = Path(__file__).parent / "kit"
BAD = sorted((KIT / "bad").glob("*.py"))
RULES = {function.__name__ for function in CHECKS} | {"loads", "hooks"}


def broken_rules(path):
    """The rules that the plugin's first line names; in parentheses those that chance decides about."""
    return re.search(r": ([\w ()]+)\"\"\"", path.read_text())[1].split()


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_plugin_that_breaks_rules_is_found_out(path):
    result = CliRunner().invoke(command, ["check", str(path), "--json"])
    found = json.loads(result.output)
    failed = [finding["check"] for finding in found["findings"] if finding["outcome"] == "failed"]
    assert [rule for rule in failed if f"({rule})" not in broken_rules(path)] == [
        rule for rule in broken_rules(path) if rule.isidentifier()
    ]
    assert (result.exit_code, found["good"]) == (1, False)
    assert "CANARY" not in result.output


def test_each_rule_has_a_plugin_that_breaks_it():
    broken = {rule for path in BAD for rule in broken_rules(path) if rule.isidentifier()}
    assert broken <= RULES
    # What breaks in the gateway itself cannot be broken by a plugin here: its own tests look at that.
    assert RULES - broken <= {"truncation"}


@pytest.mark.parametrize("name", shipped_providers())
def test_every_shipped_vendor_keeps_the_rules(name):
    assert failed_checks(name) == []


SHIPPED_PLUGINS = sorted([*(SHIPPED / "features").glob("*.py"), *(SHIPPED / "providers").glob("*.py")])


@pytest.mark.parametrize("path", SHIPPED_PLUGINS, ids=lambda path: path.stem)
def test_every_shipped_plugin_keeps_the_rules(path, monkeypatch):
    """What they must be told, kit/shipped.yaml says."""
    monkeypatch.setenv("KIT", str(KIT))
    found = checked(path.stem, KIT / "shipped.yaml")
    assert [finding for finding in found if finding.outcome == "failed"] == []
    assert "CANARY" not in repr(found)


# --- the made-up vendor ----------------------------------------------------------------------------------


def outcomes(findings):
    return {finding.check: finding.outcome for finding in findings if not finding.check.startswith("time")}


def test_the_made_up_vendor_passes_in_code():
    lines = (KIT / "acme.py").read_text().splitlines()
    assert len(lines) <= 40
    found = checked(str(KIT / "acme.py"))
    assert set(outcomes(found).values()) == {"passed"}
    assert len(outcomes(found)) == len(RULES)
    (refreshed,) = (finding.detail for finding in found if finding.check == "refresh")
    assert refreshed == "once, with new credentials"


def test_the_made_up_vendor_passes_in_yaml():
    found = checked("", KIT / "acme.yaml", "acme-data")
    assert {check for check, outcome in outcomes(found).items() if outcome != "passed"} == {"pure"}  # it has no code


def test_the_time_of_each_hook_is_told_and_not_judged():
    found = [finding for finding in checked(str(KIT / "acme.py")) if finding.check.startswith("time of ")]
    assert {finding.outcome for finding in found} == {"noted"}
    hooks = {finding.check.removeprefix("time of ") for finding in found}
    assert hooks == {"rewrite_request", "authorize", "classify_failure", "read_usage"}
    assert all(re.fullmatch(r"[\d.]+ us \(median of \d+\)", finding.detail) for finding in found)


# --- the command -----------------------------------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(command, [str(word) for word in words])


def test_the_table_says_good():
    result = run("check", KIT / "acme.py")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "good"
    assert re.search(r"^passed   acme: refresh +once, with new credentials$", result.output, re.MULTILINE)


def test_what_is_not_there_is_said():
    result = run("check", "octopus")
    assert result.exit_code == 1
    assert "there is no plugin or provider 'octopus'" in result.output
    assert run("check", "none.py").output.startswith("failed   loads")
    assert run("check").exit_code == 2


def test_options_and_keys_come_from_a_configuration(tmp_path):
    plugin = tmp_path / "plugins" / "strict.py"
    plugin.parent.mkdir()
    plugin.write_text(STRICT)
    config = tmp_path / "gateway.yaml"
    config.write_text(STRICT_CONFIG)
    assert "key 'region' is missing" in run("check", plugin).output
    result = run("check", plugin, "--config", config)
    assert result.exit_code == 0, result.output
    assert "check-me-key-1" not in result.output


STRICT = '''
from dataclasses import dataclass

from gateway import Provider, hookimpl, option


@dataclass(frozen=True, kw_only=True)
class Options:
    region: str = option("where it is")


class Plugin:
    def __init__(self, options):
        self._region = options.region

    @hookimpl
    def register_providers(self, register):
        register(Provider("strict", {"chat": ""}, "https://strict.test"))

    @hookimpl
    def rewrite_request(self, channel, request):
        request.headers["x-region"] = self._region + channel.settings.options["zone"]

    @hookimpl
    def authorize(self, key, request):
        assert key.reveal() == "check-me-key-1"
'''
STRICT_CONFIG = """
plugins: [{strict: {region: eu}}]
channels:
  - {name: s, provider: strict, key: check-me-key-1, options: {zone: "-1"}}
"""


def test_a_vendors_own_samples_are_used(tmp_path):
    (tmp_path / "error.chat.json").write_bytes(b'{"error": {"message": "our own words", "type": "x"}}')
    (tmp_path / "stream.chat.sse").write_bytes(
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"own"},"finish_reason":null}]}\n\n'
        b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    found = checked("together", samples=tmp_path)
    assert [finding for finding in found if finding.outcome == "failed"] == []
    assert outcomes(found)["large_event"] == "skipped"
