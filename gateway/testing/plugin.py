"""The pytest plugin: fixtures for those who write plugins. Installed with the gateway."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import Cassette, Client, LiveGateway, ScriptedUpstream


def pytest_addoption(parser: Any) -> None:
    group = parser.getgroup("gateway", "LLM gateway")
    group.addoption("--live", action="store_true", help="record cassettes anew, from the vendors themselves")


@pytest.fixture
def gateway_client(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """gateway_client(configuration) -> a Client of a gateway in this process; YAML text, a document or a path."""
    with ExitStack() as stack:
        yield lambda config: stack.enter_context(Client(config, tmp_path))


@pytest.fixture
def live_gateway(tmp_path: Path) -> Iterator[Callable[..., LiveGateway]]:
    """live_gateway(configuration) -> a LiveGateway: gunicorn, on a free port of this machine."""
    with ExitStack() as stack:
        yield lambda config, **more: stack.enter_context(LiveGateway(config, tmp_path, **more))


@pytest.fixture
def scripted_upstream() -> Iterator[ScriptedUpstream]:
    """An upstream that says what it is told to say: scripted_upstream.say(document({...}))."""
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def cassette(request: Any) -> Iterator[Callable[..., Cassette]]:
    """cassette(name, vendor) -> a Cassette, kept in cassettes/name.json beside the test; --live records it."""
    folder, live = request.path.parent / "cassettes", request.config.getoption("--live")
    with ExitStack() as stack:
        yield lambda name, vendor, **more: stack.enter_context(
            Cassette(folder / f"{name}.json", vendor, live=live, **more)
        )
