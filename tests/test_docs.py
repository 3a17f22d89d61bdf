"""docs/plugins.md says what the hooks are, and its examples are plugins that work."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import gateway
from gateway import hookspecs
from gateway.cli import main
from gateway.config.document import Complaints
from gateway.domain import UpstreamReply
from gateway.loading import load
from gateway.plugin_manager import HOOK_NAMES, find_plugins, load_plugin

PAGE = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text()
HEADING = re.compile(r"^### (\w+)\((.*)\)$", re.MULTILINE)
PYTHON = dict(re.findall(r"^```python\n# plugins/(\w+)\.py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
YAML = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GIVEN = """Call Principal Inbound Channel Route Candidate UpstreamRequest Attempt Record Usage Provider
Answered""".split()
# Of the fields of a class those that are nobody's business but the gateway's.
INNER = {"line"}


def test_every_hook_has_its_heading_with_its_arguments_in_the_order_of_a_call():
    specs = [(name, ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)) for name in HOOK_NAMES]
    assert HEADING.findall(PAGE) == specs


@pytest.mark.parametrize("name", HOOK_NAMES)
def test_every_hook_says_how_often_and_no_more_than_three_lines_in_the_code(name):
    section = PAGE.partition(f"### {name}(")[2].partition("\n### ")[0]
    assert re.search(r"\b([Oo]nce per|When `gateway`)", section)
    assert len(getattr(hookspecs, name).__doc__.strip().splitlines()) <= 3


@pytest.mark.parametrize("name", [*GIVEN, "UpstreamReply"])
def test_every_member_of_what_hooks_are_given_is_told(name):
    kind = UpstreamReply if name == "UpstreamReply" else getattr(gateway, name)
    paragraph = PAGE.partition(f"**`{name}`**")[2].partition("\n\n")[0]
    told = set(re.findall(r"`(\w+)", paragraph))
    assert members(kind) - INNER <= told


def members(kind):
    """What a plugin may look at."""
    if dataclasses.is_dataclass(kind):
        return {field.name for field in dataclasses.fields(kind)}
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_error_that_is_named_can_be_imported():
    row = next(line for line in PAGE.splitlines() if "`BadRequest`" in line)
    for name in re.findall(r"`([A-Z]\w+)`", row):
        assert issubclass(getattr(gateway, name), gateway.GatewayError)


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """All of the page's plugins in a folder, as it says."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, text in PYTHON.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_every_python_block_is_a_plugin_with_a_file_of_its_own():
    assert len(PYTHON) == PAGE.count("```python\n") >= 7


@pytest.mark.parametrize("name", PYTHON)
def test_an_example_can_be_loaded(name, folder):
    complaints = Complaints("gateway.yaml")
    plugin = load_plugin(find_plugins(folder)[name], None, complaints)
    assert plugin.hooks
    assert complaints.lines == []


@pytest.mark.parametrize("text", YAML)
def test_a_configuration_can_be_used(text, folder, tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    assert load(path).channels


def test_the_examples_hooks_are_those_they_are_about():
    used = {name for text in PYTHON.values() for name in re.findall(r"@hookimpl\n\s*def (\w+)\(", text)}
    assert used >= set(HOOK_NAMES) - {"check_config", "rewrite_response", "attempt_finished"}


# --- what the examples do ------------------------------------------------------------------------------


def ask(client, **more):
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    return client.post("/v1/chat/completions", json=body, **more)


@pytest.fixture(name="example")
def _example(client_of, folder):
    """example(yaml) -> a client of a configuration beside the page's plugins."""
    return lambda plugins, more="channels: [{name: echo, provider: echo}]": client_of(
        f"plugins_dir: ./plugins\nplugins: {plugins}\n{more}\n"
    )


def test_the_quota_ends(example):
    client = example("[{quota: {most: 2}}]")
    assert [ask(client).status_code for _ in range(3)] == [200, 200, 429]


def test_the_badges_let_in(example):
    client = example("[badges]")
    assert ask(client, headers={"X-Api-Key": "badge-17"}).status_code == 200
    assert ask(client, headers={"X-Api-Key": "badge-99"}).status_code == 401


def test_the_tally_counts_and_has_a_page_and_a_command(example, tmp_path, monkeypatch):
    client = example("[tally]")
    ask(client).close()
    client.post("/v1/chat/completions", json={})
    assert client.get("/tally").json == {"complete": 1, "refused": 1}
    monkeypatch.setenv("GATEWAY_CONFIG", str(tmp_path / "gateway.yaml"))
    assert "tally" in main.list_commands(None)


def test_the_vendors_requests_are_signed(example, network):
    client = example("[]", "channels: [{name: a, provider: acme, key: k, options: {team: search}}]")
    network.post("https://llm.acme.corp/llm/v2/chat", body=b"{}")
    client.post("/v1/chat/completions", json={"model": "m", "store": True})
    request = network.calls[0].request
    assert request.headers["x-team"] == "search"
    assert len(request.headers["x-signature"]) == 64
    assert "authorization" not in {name.lower() for name in request.headers}
    assert b"store" not in request.body


def test_the_filter_drops_progress(example, network):
    client = example("[]", "channels: [{name: a, provider: quiet, key: k}]")
    body = b'event: progress\ndata: {}\n\ndata: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    network.post("https://quiet.test/v1/chat/completions", body=body, content_type="text/event-stream")
    answer = client.post("/v1/chat/completions", json={"model": "m", "stream": True})
    assert answer.data == body.partition(b"\n\n")[2]
