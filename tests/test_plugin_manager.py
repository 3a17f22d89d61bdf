"""How plugins are found, loaded, given their options and refused."""

import importlib.metadata
import shutil
import sys

import pytest

from gateway.config.document import Complaints
from gateway.config.kinds import Options
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.plugin_manager import HOOK_NAMES, SHIPPED, find_plugins, load_plugin

YAML = """
plugins_dir: {folder}
plugins: [{plugins}]
channels: [{{name: a, provider: {provider}, key: k, base_url: "https://a.test"}}]
"""


@pytest.fixture(name="complaints_of")
def _complaints_of(write_config, samples):
    """complaints_of(plugins, provider, folder) -> what is said of a configuration that uses them."""

    def of(plugins="", provider="openai", folder="broken", more=""):
        with pytest.raises(ConfigError) as caught:
            load(write_config(YAML.format(folder=samples / folder, plugins=plugins, provider=provider) + more))
        return caught.value.complaints

    return of


# --- found -------------------------------------------------------------------------------------------


def test_shipped_plugins_are_found_without_being_imported():
    before = set(sys.modules)
    sources = find_plugins()
    assert {"echo", "call_log", "client_keys"} <= set(sources)
    assert sources["echo"].provider and not sources["call_log"].provider
    assert sources["echo"].origin == str(SHIPPED / "providers" / "echo.py")
    assert set(sys.modules) == before


def test_the_operators_folder_is_searched_but_not_its_folders(samples):
    assert {"good", "raising"} <= set(find_plugins(samples))
    assert "misspelt" not in find_plugins(samples)


def test_a_folder_that_is_not_there_is_a_complaint(tmp_path):
    with pytest.raises(ConfigError, match="plugins_dir: no such folder"):
        find_plugins(tmp_path / "nowhere")


def test_the_folder_is_looked_for_beside_the_configuration(write_config, samples):
    path = write_config("plugins_dir: mine\nplugins: [order_a]\nchannels: [{name: a, provider: echo}]")
    shutil.copytree(samples, path.parent / "mine")
    assert load(path).plugins.gateway[0].source.origin == str(path.parent / "mine" / "order_a.py")


def test_a_name_that_comes_twice_names_both(complaints_of, samples):
    (complaint,) = complaints_of(folder="taken")
    assert complaint.startswith("two plugins are called 'call_log': ")
    assert str(SHIPPED / "features" / "call_log.py") in complaint
    assert str(samples / "taken" / "call_log.py") in complaint


def installed(monkeypatch, name, module):
    point = importlib.metadata.EntryPoint(name, module, "gateway")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group == "gateway" else [])


def test_an_installed_package_is_found_by_its_entry_point(monkeypatch, samples):
    monkeypatch.syspath_prepend(str(samples))
    installed(monkeypatch, "bought", "order_b")
    source = find_plugins()["bought"]
    assert "order_b" not in sys.modules
    assert list(load_plugin(source, None, Complaints("x")).hooks) == ["before_call", "after_call"]


def test_an_installed_package_may_not_take_a_name_either(monkeypatch):
    installed(monkeypatch, "echo", "nowhere")
    with pytest.raises(ConfigError, match="two plugins are called 'echo'.*unknown distribution"):
        find_plugins()


# --- loaded ------------------------------------------------------------------------------------------


def test_only_what_the_configuration_uses_is_imported(write_config, samples):
    gateway = load(write_config(YAML.format(folder=samples, plugins="order_a", provider="openai")))
    assert [plugin.source.name for plugin in gateway.plugins.gateway] == ["order_a"]
    assert gateway.plugins.providers == []
    assert gateway.provider_plugins == {}


def test_a_provider_plugin_is_loaded_when_a_channel_names_it(write_config, samples):
    gateway = load(write_config(YAML.format(folder=samples, plugins="", provider="echo")))
    assert [plugin.source.name for plugin in gateway.plugins.providers] == ["echo"]
    assert gateway.provider_plugins["echo"] is gateway.plugins.providers[0]


def test_a_plugin_of_the_list_may_bring_providers_of_any_name(write_config, samples):
    gateway = load(write_config(YAML.format(folder=samples, plugins="good", provider="acme")))
    assert gateway.provider_plugins["acme"] is gateway.plugins.gateway[0]
    assert gateway.plugins.providers == []


def test_client_keys_are_in_use_whenever_there_are_keys_and_come_first(write_config, samples):
    text = YAML.format(folder=samples, plugins="order_a", provider="echo")
    gateway = load(write_config(text + "keys: [{name: k, key: s}]"))
    assert [plugin.source.name for plugin in gateway.plugins.gateway] == ["client_keys", "order_a"]


def test_a_plugin_with_dataclasses_and_a_version_is_loaded(samples):
    plugin = load_plugin(find_plugins(samples)["good"], None, Complaints("x"))
    assert plugin.source.version == "1.2.3"
    assert set(plugin.hooks) == set(HOOK_NAMES)


def test_a_plugin_loaded_anew_is_read_anew(tmp_path):
    path = tmp_path / "changing.py"
    for version in ("one", "two, longer"):
        path.write_text(f"__version__ = {version!r}\n")
        assert load_plugin(find_plugins(tmp_path)["changing"], None, Complaints("x")).source.version == version


# --- refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, wanted", [
    ("misspelt", ["unknown hook 'befor_call'", "hooks are: register_providers, check_config"]),
    ("wrong_argument", ["chanel"]),
    ("default_argument", ["before_call(call=...)", "a default is never filled in; remove the default"]),
    ("async_hook", ["before_call", "async def", "plain `def`"]),
    ("generator_hook", ["before_call", "yield"]),
    ("unimportable", ["cannot be imported", "not today"]),
    ("unmakeable", ["cannot be made", "not today"]),
])  # fmt: skip
def test_a_broken_plugin_is_a_complaint_that_says_what_to_mend(name, wanted, complaints_of, samples):
    (complaint,) = complaints_of(name)
    assert complaint.startswith(f"plugin {name!r} ({samples / 'broken' / name}.py)")
    assert not [text for text in wanted if text not in complaint]
    assert "\n" not in complaint


def test_a_wrapper_may_yield_as_it_is_run(client_of, samples, plugin_of):
    client = client_of(YAML.format(folder=samples, plugins="wrapping", provider="echo"))
    answer = client.post("/v1/chat/completions", json={"model": "echo", "messages": []})
    assert plugin_of(client, "wrapping").seen == [answer.headers["x-request-id"]]


def test_a_page_where_the_api_lives_is_refused(complaints_of):
    assert complaints_of("takes_a_page") == [
        "plugin 'takes_a_page' registers a page at '/v1/chat/completions', which is not free"
    ]


@pytest.mark.parametrize("name, provider, more, other", [
    ("takes_echo", "echo", "", "echo.py"),
    ("takes_openai", "openai", "", "vendors.yaml"),
    ("takes_mine", "mine", "providers: {mine: {dialects: [chat]}}", "`providers:` in the configuration"),
])  # fmt: skip
def test_a_providers_name_that_is_taken_names_both(name, provider, more, other, complaints_of):
    (complaint,) = complaints_of(name, provider, more=more)
    assert complaint.startswith(f"two providers are called {provider!r}: ")
    assert other in complaint
    assert f"{name}.py" in complaint


def test_an_unknown_plugin_gets_its_near_miss(complaints_of):
    assert "unknown plugin 'mispelt', did you mean 'misspelt'?" in complaints_of("mispelt")[0]


# --- options -----------------------------------------------------------------------------------------


def test_options_are_read_checked_and_handed_over(write_config, samples):
    text = YAML.format(folder=samples, plugins="{good: {greeting: welcome, level: high}}", provider="acme")
    plugin = load(write_config(text)).plugins.gateway[0].hooks["before_call"].get_hookimpls()[0].plugin
    assert (plugin.options.greeting, plugin.options.most, plugin.options.level) == ("welcome", 3, "high")


def test_wrong_options_are_complaints_with_file_and_line(complaints_of):
    options = "{good: {greating: x,\n  most: 0,\n  level: hihg}}"
    assert [line.partition("gateway.yaml:")[2] for line in complaints_of(options, folder=".")] == [
        "3: plugins.good: unknown key 'greating', did you mean 'greeting'?",
        "4: plugins.good.most: expected at least 1, found '0'",
        "5: plugins.good.level: expected one of low, high; did you mean 'high'?, found 'hihg'",
    ]


def test_a_missing_option_is_a_complaint(complaints_of):
    (complaint,) = complaints_of("{raising: {}}", folder=".")
    assert complaint.endswith(":3: plugins.raising: key 'hook' is missing (the hook to raise in)")


def test_options_for_a_plugin_that_takes_none_are_refused(complaints_of):
    assert complaints_of("{order_a: {x: 1}}", folder=".")[0].endswith("plugins.order_a: this plugin takes no options")


def test_a_plugin_without_options_in_the_yaml_gets_its_defaults(samples):
    plugin = load_plugin(find_plugins(samples)["good"], Options(), Complaints("x"))
    assert plugin.hooks["before_call"].get_hookimpls()[0].plugin.options.greeting == "hello"
