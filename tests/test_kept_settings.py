"""The master reads a configuration for its workers; never one whose secrets may change behind it."""

import pytest

from gateway import config
from gateway.config import keep_settings, read_settings

YAML = "channels: [{{name: a, provider: openai, key: {key}}}]\n"


@pytest.fixture(autouse=True)
def _forget():
    yield
    config._kept.clear()


def test_what_the_master_read_is_not_read_again(write_config):
    text = YAML.format(key="hush")
    path = write_config(text)
    found = read_settings(path, text)
    keep_settings(path, text, found)
    assert read_settings(path, text)[0] is found[0]
    assert read_settings(path, text + "watch: true\n")[0] is not found[0]
    assert read_settings(path.with_name("other.yaml"), text)[0] is not found[0]


def test_secrets_in_files_are_read_anew(write_config, tmp_path):
    (tmp_path / "secret").write_text("one")
    text = YAML.format(key=f"file:{tmp_path}/secret")
    path = write_config(text)
    keep_settings(path, text, read_settings(path, text))
    (tmp_path / "secret").write_text("two")
    assert read_settings(path, text)[0].channels[0].key.reveal() == "two"
