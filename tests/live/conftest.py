"""A few gateways, each behind an nginx, all in front of one scripted upstream, for the whole session."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from live_client import Client
from live_servers import CLIENT_KEY, ROOT, SECRETS, UPSTREAM_KEY, Gateway, Nginx, end, free_port
from live_upstream import Upstream

YAML = (Path(__file__).parent / "gateway.yaml").read_text()
SECOND_YAML = """
health: {enabled: false}
keys: [{name: gateway, key: "${UPSTREAM_KEY}"}]
channels: [{name: echo, provider: echo}]
"""
KEYS = {"UPSTREAM_KEY": UPSTREAM_KEY, "CLIENT_KEY": CLIENT_KEY}
HASTY = {"COMMIT_AFTER": "0.3", "KEEPALIVE": "0.1"}
# kind of gateway -> (class of its worker, environment)
KINDS = {
    "gevent": ("gevent", {}),
    "gthread": ("gthread", {}),
    "hasty": ("gevent", HASTY),
    "hasty-gthread": ("gthread", HASTY),
}
NEEDED = {"nginx": "/usr/sbin/nginx", "curl": "curl", "openssl": "openssl", "redis": "redis-server"}


@pytest.hookimpl(trylast=True)  # behind -m, which may have left these tests out
def pytest_collection_modifyitems(items):
    missing = [name for name, program in NEEDED.items() if not shutil.which(program)]
    if missing and any(item.get_closest_marker("live") for item in items):
        hint = "Debian: apt-get install nginx-light curl openssl redis-server postgresql"
        raise pytest.UsageError(f"the live tests need {', '.join(missing)} ({hint}), or leave them out: -m 'not live'")


@pytest.fixture(scope="session", name="folder")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    for parent in [folder, *folder.parents][:3]:  # nginx, started by root, writes as somebody else
        if not parent.stat().st_mode & stat.S_ISVTX:  # with --basetemp /tmp itself is among them
            parent.chmod(0o755)
    return folder


@pytest.fixture(scope="session", name="upstreams")
def _upstreams():
    both = Upstream(), Upstream()
    yield both
    for upstream in both:
        upstream.stop()


@pytest.fixture(name="upstream")
def _upstream(upstreams):
    """The upstream behind the channels `up`, `first` and most others."""
    yield upstreams[0]
    upstreams[0].forget()


@pytest.fixture(name="spare")
def _spare(upstreams):
    """The upstream behind the channel `second`."""
    yield upstreams[1]
    upstreams[1].forget()


@pytest.fixture(scope="session", name="full")
def _full():
    """Where no connection is ever accepted, or refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for filler in fillers:
            filler.close()


@pytest.fixture(scope="session", name="second")
def _second(folder):
    """A gateway whose echo the first one's `via-*` channels take for a vendor of one dialect."""
    gateway = Gateway(folder, SECOND_YAML, name="second", environment=KEYS)
    yield gateway
    end(gateway)


@pytest.fixture(scope="session", name="serve")
def _serve(folder, upstreams, full, second):
    """kind -> (gateway, nginx in front of it), started when first asked for."""
    up, spare = upstreams
    nobody = f"http://127.0.0.1:{free_port()}"
    addresses = {"UP": up.url, "SPARE": spare.url, "FULL": full, "NOBODY": nobody, "ECHO": second.url}
    started = {}

    def serve(kind):
        if kind not in started:
            worker_class, more = KINDS[kind]
            gateway = Gateway(folder, YAML, worker_class=worker_class, name=kind, environment=KEYS | addresses | more)
            started[kind] = gateway, Nginx(folder, gateway.port, f"nginx-{kind}")
        return started[kind]

    yield serve
    end(*[process for pair in started.values() for process in pair])


@pytest.fixture(name="served")
def _served(request, serve):
    return serve(getattr(request, "param", "gevent"))


@pytest.fixture(name="gateway")
def _gateway(served):
    return served[0]


@pytest.fixture(name="nginx")
def _nginx(served):
    return served[1]


@pytest.fixture(name="door")
def _door(request, served):
    """Where the client comes in: `direct` (the default) or through `nginx`."""
    return served[1] if getattr(request, "param", "direct") == "nginx" else served[0]


@pytest.fixture(name="clients")
def _clients():
    """Opens connections to a port; they are closed behind the test."""
    opened = []

    def connect(port, **options):
        opened.append(Client(port, **options))
        return opened[-1]

    yield connect
    for client in opened:
        client.leave()


@pytest.fixture(name="connect")
def _connect(clients, door):
    """Opens a connection to the door."""
    return lambda **options: clients(door.port, **options)


@pytest.fixture(name="run_gateway")
def _run_gateway():
    """run_gateway(*arguments) -> what the command says; it must succeed."""

    def run(*arguments):
        command = [sys.executable, "-m", "gateway", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | KEYS, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
        return done.stdout

    return run


@pytest.fixture(name="start")
def _start(tmp_path):
    """Starts further gateways, for one test."""
    started = []

    def start(yaml, **options):
        options["environment"] = KEYS | options.get("environment", {})
        started.append(Gateway(tmp_path, yaml, **options))
        return started[-1]

    yield start
    end(*started)
