"""``gateway plan``: what a new file would change."""

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.commands.plan import _common as common

OLD = """
plugins: [{call_log: {}}]
routes: {smart: [b/claude, a/gpt], gone: [a/gpt]}
providers: {own: {dialects: [chat], base_url: https://one.test}}
channels:
  - {name: a, provider: openai, key: hush-1, models: [gpt, "gpt-*"], tags: [eu], priority: 3}
  - {name: b, provider: anthropic, key: hush-2, models: [claude, gpt]}
  - {name: c, provider: own, key: hush-3, models: [mine]}
keys:
  - {name: alice, key: hush-4, models: ["gpt*", claude, smart]}
  - {name: eu, key: hush-5, tags: [eu]}
"""


@pytest.fixture(name="plan")
def _plan(tmp_path):
    """plan(new, old) -> click's result."""

    def run(new, old=OLD):
        (tmp_path / "old.yaml").write_text(old)
        (tmp_path / "new.yaml").write_text(new)
        return CliRunner().invoke(main, ["plan", f"{tmp_path}/new.yaml", "--config", f"{tmp_path}/old.yaml"])

    return run


CHANGES = [
    ("nothing, moved by a line", ("plugins:", "# moved\nplugins:"), ["nothing changes"]),
    ("a number", ("priority: 3", "priority: 4"), ["~ channel a: priority 3 -> 4"]),
    ("a switch", ("models: [mine]", "models: [mine], enabled: false"),
     ["~ channel c: enabled true -> false"]),
    ("a secret, by name only", ("hush-1", "hush-9"), ["~ channel a: key"]),
    ("several keys of a channel", ("key: hush-2", "keys: [hush-2], proxy: 'http://u:hush@p'"),
     ["~ channel b: key, keys, proxy"]),
    ("a provider behind a channel", ("one.test", "two.test"), ["~ channel c: provider's base_url", "~ providers"]),
    ("a channel comes", ("keys:\n", "  - {name: d, provider: echo, models: [m]}\nkeys:\n"), ["+ channel d"]),
    ("a channel goes", ("  - {name: c, provider: own, key: hush-3, models: [mine]}\n", ""), ["- channel c"]),
    ("a channel's model goes", ("models: [claude, gpt]", "models: [gpt]"),
     ["~ channel b: models", "key alice loses: claude"]),
    ("a glob goes", ('models: [gpt, "gpt-*"]', "models: [gpt]"),
     ["~ channel a: models", "key alice loses: gpt-*", "key eu loses: gpt-*"]),
    ("tags come", ("models: [claude, gpt]", "models: [claude, gpt], tags: [eu]"),
     ["~ channel b: tags", "key eu gains: claude"]),
    ("routes", ("{smart: [b/claude, a/gpt], gone: [a/gpt]}", "{smart: [b/claude], new: [a/gpt]}"),
     ["- route gone", "+ route new", "~ route smart: b/claude, a/gpt -> b/claude", "key eu gains: new",
      "key eu loses: gone, smart"]),
    ("a key comes", ("keys:\n", "keys:\n  - {name: bob, key: hush-6, models: [mine, 'own/*', nosuch]}\n"),
     ["+ key bob", "key bob gains: mine, own/mine"]),
    ("a key goes", ("  - {name: eu, key: hush-5, tags: [eu]}\n", ""),
     ["- key eu", "key eu loses: gone, gpt, gpt-*, smart"]),
    ("a key's models", ('["gpt*", claude, smart]', '["gpt*", smart], expires: 2030-01-01'),
     ["~ key alice: models, expires", "key alice loses: claude"]),
    ("a right of a key", ("key: hush-5,", "key: hush-5, show_route: true,"), ["~ key eu: show_route false -> true"]),
    ("a section", ("routes:", "routing: {retries: 1}\nroutes:"), ["~ routing: retries 3 -> 1"]),
    ("a top-level value", ("routes:", "max_body: 1MB\nroutes:"), ["~ max_body"]),
    ("the plugins", ("plugins: [{call_log: {}}]", "plugins: []"), ["~ plugins"]),
]  # fmt: skip


@pytest.mark.parametrize("change, lines", [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_change_is_told(change, lines, plan):
    result = plan(OLD.replace(*change))
    assert (result.exit_code, result.stdout.splitlines()) == (0, lines)
    assert "hush" not in result.output


def test_without_keys_it_is_whoever_has_none(plan):
    keyless = OLD.partition("keys:\n")[0]
    lines = plan(OLD, keyless).stdout.splitlines()
    assert lines[:3] == ["+ key alice", "+ key eu", "whoever has no key loses: claude, gone, gpt, gpt-*, mine, smart"]


def test_a_file_that_cannot_be_used_is_exit_code_2_with_every_complaint(plan):
    result = plan(OLD.replace("priority", "prioriti").replace("provider: own", "provider: onw"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "new.yaml:6: channels[0]: unknown key 'prioriti', did you mean 'priority'?" in result.stderr
    assert "unknown provider 'onw', did you mean 'own'?" in result.stderr


def test_warnings_of_the_new_file_are_told(plan):
    result = plan(OLD.replace("plugins: [", "plugins: [dashboard, "))
    assert "plugins.dashboard: understood, but without effect" in result.stderr
    assert result.stdout == "~ plugins\n"


GLOBS = [
    ("gpt-4o", "gpt-*", "gpt-4o"),
    ("gpt-*", "gpt-4o", "gpt-4o"),
    ("gpt-*", "*", "gpt-*"),
    ("gpt-4*", "gpt-*", "gpt-4*"),
    ("gpt-*", "*-mini", "gpt-* within *-mini"),
    ("gpt-*", "claude-*", ""),
    ("gpt-*-mini", "gpt-4*-max", ""),
    ("a", "b", ""),
]


@pytest.mark.parametrize("one, other, both", GLOBS)
def test_what_two_globs_have_in_common(one, other, both):
    assert common(one, other) == both
