"""`gateway doctor` against real deployments: what holds a stream back is named, and a good one is called good."""

import json
import os
import subprocess
import sys

import pytest
from live_nginx import WrittenNginx
from live_servers import CLIENT_KEY, ROOT, SECRETS, Gateway, Nginx, end, free_port

pytestmark = pytest.mark.live

YAML = """
keys: [{name: tester, key: "${CLIENT_KEY}"}]
channels: [{name: echo, provider: echo, models: [doctor, "echo-*"]}]
"""
DOCTOR = "from gateway.commands.doctor import command; command()"
BUFFERED = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"


def other_nginx(folder, gateway_port, location, name):
    """nginx as others write it: *location* stands in the one location."""
    port = free_port()
    text = (
        "pid nginx.pid; error_log stderr; events {}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{port};\n"
        f"location / {{ proxy_pass http://127.0.0.1:{gateway_port}; {location} }} }} }}\n"
    )
    return WrittenNginx(folder, name, text, port)


@pytest.fixture(scope="module", name="served")
def _served(folder):
    gateway = Gateway(folder, YAML, name="doctored", environment={"CLIENT_KEY": CLIENT_KEY})
    yield gateway
    end(gateway)


def doctor(gateway, *options, key=CLIENT_KEY, json_wanted=True):
    """(exit code, {check: finding}) of a doctor beside the gateway."""
    command = [sys.executable, "-c", DOCTOR, "--config", str(gateway.config), *options]
    environment = os.environ | {"CLIENT_KEY": CLIENT_KEY, "GATEWAY_KEY": key}
    done = subprocess.run([*command, *(["--json"] if json_wanted else [])], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    if not json_wanted:
        return done.returncode, done.stdout
    return done.returncode, {each["check"]: each for each in json.loads(done.stdout)["findings"]}


def test_a_stream_through_the_shipped_nginx_is_called_good(served, folder):
    nginx = Nginx(folder, served.port, "nginx-doctor")
    try:
        _, found = doctor(served, "--url", nginx.url)
    finally:
        end(nginx)
    assert found["stream"]["state"] == "ok", found["stream"]
    assert found["stream"]["facts"]["moments"] >= 6
    assert "nginx" in found["stream"]["facts"]["server"]


@pytest.mark.parametrize(
    "location, said, remedy",
    [
        (BUFFERED, "nginx/1", "proxy_buffering off"),
        (f"{BUFFERED} gzip on; gzip_proxied any; gzip_min_length 0; gzip_types text/event-stream;", "gzip", "gzip off"),
    ],
    ids=["buffering", "gzip"],
)
def test_who_holds_a_stream_back_is_named(location, said, remedy, served, folder, request):
    nginx = other_nginx(folder, served.port, location, f"other-{request.node.callspec.id}")
    try:
        code, found = doctor(served, "--url", nginx.url)
    finally:
        end(nginx)
    stream = found["stream"]
    assert (code, stream["state"]) == (1, "failed"), stream
    assert said in stream["text"] and remedy in stream["remedy"]
    assert stream["facts"]["moments"] <= 2
    assert stream["facts"]["direct"]["moments"] >= 6


def test_the_running_gateway_is_found_with_its_limits(served):
    _, found = doctor(served)
    assert found["running"]["facts"] == {
        "pid": served.pid, "user": os.getuid(), "bind": f"127.0.0.1:{served.port}", "worker_class": "gevent",
    }  # fmt: skip
    assert found["files"]["text"].startswith("a worker may open")
    assert found["stream"]["state"] == "skipped"


def test_a_key_that_is_refused_is_said_with_what_to_do(served):
    code, text = doctor(served, "--url", served.url, key="sk-wrong", json_wanted=False)
    assert code == 1
    assert "FAILED   stream: " in text and "answered 401" in text
    assert "-> put a client key into the environment variable GATEWAY_KEY" in text


def test_nobody_at_the_address_is_a_failure(served):
    code, found = doctor(served, "--url", f"http://127.0.0.1:{free_port()}")
    assert (code, found["stream"]["state"]) == (1, "failed")
