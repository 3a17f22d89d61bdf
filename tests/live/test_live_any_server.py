"""Limits hold across processes under any WSGI server, also one that knows nothing of us and begins nothing."""

import contextlib
import sys

import pytest
from live_cases import asking
from live_client import Client
from live_servers import ROOT, Process, answers, free_port, until

pytestmark = pytest.mark.live

YAML = """
state: sqlite:///state.db
channels: [{name: echo, provider: echo}]
keys: [{name: alice, key: sk-alice, limits: {rpm: 3}}]
"""
SERVER = """
import sys
from pathlib import Path
from wsgiref.simple_server import ServerHandler, make_server
from gateway.app import create_app
ServerHandler.http_version = "1.1"
make_server("127.0.0.1", int(sys.argv[1]), create_app(Path(sys.argv[2]))).serve_forever()
"""


@pytest.fixture(name="ports")
def _ports(tmp_path):
    """The ports of two servers of the standard library's, each in a process of its own."""
    config = tmp_path / "gateway.yaml"
    config.write_text(YAML)
    with contextlib.ExitStack() as stack:
        ports = [free_port(), free_port()]
        for port in ports:
            command = [sys.executable, "-c", SERVER, str(port), str(config)]
            stack.callback(Process(command, tmp_path, f"server-{port}", {"PYTHONPATH": str(ROOT)}).stop)
        for port in ports:
            until(lambda port=port: answers(port), "an answer")
        yield ports


def test_a_limit_is_that_of_all_processes(ports):
    statuses = []
    for _ in range(3):
        for port in ports:
            with Client(port) as client:
                sent = client.post("/v1/chat/completions", asking("chat", "echo"), x_api_key="sk-alice")
                statuses.append(sent.head().status)
    assert sorted(statuses) == [200, 200, 200, 429, 429, 429]
