"""What all tests share: configurations from text, and a network that the `responses` library plays."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import hypothesis
import pytest
import responses

from gateway.app import create_app

ROOT = Path(__file__).resolve().parent.parent
CASES = Path(__file__).parent / "cases"
SAMPLES = Path(__file__).parent / "plugins"
# The suite says the same of the same code each time, however busy the machine is. `search` looks elsewhere each time.
_SETTINGS = {"deadline": None, "database": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("suite", max_examples=150, derandomize=True, **_SETTINGS)
hypothesis.settings.register_profile("search", max_examples=5000, **_SETTINGS)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# One channel a dialect, each at a host of its own.
FOUR = """
channels:
  - {name: chat, provider: openai, key: up-chat, models: [gpt, "gpt-*"], base_url: https://chat.test}
  - {name: messages, provider: anthropic, key: up-messages, models: [claude], base_url: https://messages.test}
  - {name: gemini, provider: google, key: up-gemini, models: [gemini], base_url: https://gemini.test}
  - {name: responses, provider: openai, key: up-responses, models: [codex], base_url: https://responses.test}
"""


def pytest_collection_modifyitems(items):
    """Files that take long begin first: one that is begun last keeps all but one worker waiting."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_files(tmp_path_factory):
    """What gateways keep in the temporary folder when told nothing goes with the tests' own files."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr("tempfile.tempdir", folder)
        yield


@pytest.fixture(name="write_config")
def _write_config(tmp_path):
    """write_config(yaml) -> the path of a configuration file that says it."""

    def write(text):
        path = tmp_path / "gateway.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture(name="app_of")
def _app_of(write_config):
    """app_of(yaml) -> the application for it, which shares nothing until somebody begins it."""
    return lambda text: create_app(write_config(text), begins=False)


@pytest.fixture(name="client_of")
def _client_of(app_of):
    """client_of(yaml) -> Flask's test client of an application for it."""
    return lambda text: app_of(text).test_client()


@pytest.fixture(name="client")
def _client(client_of):
    return client_of(FOUR)


@pytest.fixture(name="serving_client_of")
def _serving_client_of(client_of):
    """serving_client_of(yaml) -> Flask's test client of a gateway that serves: its plugins have begun."""
    begun = []

    def begin(text):
        client = client_of(text)
        current = client.application.extensions["gateway"]
        current.begin()
        begun.append(current)
        return client

    yield begin
    for current in begun:
        current.end()


@pytest.fixture(name="network")
def _network():
    """The upstreams' side: nothing answers that a test did not say."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture(name="samples")
def _samples():
    """The folder of the sample plugins."""
    return SAMPLES


@pytest.fixture(name="cases")
def _cases():
    """The folder of the data files."""
    return CASES


@pytest.fixture(name="plugin_of")
def _plugin_of():
    """plugin_of(client, name) -> the object that a plugin's `class Plugin` made."""

    def find(client, name):
        plugins = client.application.extensions["gateway"].gateway.plugins
        loaded = next(p for p in [*plugins.gateway, *plugins.providers] if p.source.name == name)
        return next(iter(loaded.hooks.values())).get_hookimpls()[0].plugin

    return find


@pytest.fixture(name="sent")
def _sent():
    """sent(client, path, body, **more) -> the answer to a POST of exactly these bytes (or this document)."""

    def send(client, path, body, headers=None, **more):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | (headers or {})
        return client.post(path, data=data, headers=headers, **more)

    return send


@pytest.fixture(scope="session", name="wheel")
def _wheel(tmp_path_factory):
    """The gateway's wheel, built of a copy: an older build's leftovers must not get in."""
    folder, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for name in ("gateway", "plugins", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source]
    subprocess.run(command, check=True, timeout=300, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return next(folder.glob("*.whl"))
