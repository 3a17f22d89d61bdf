"""What `pip install` gives: a wheel that serves from any folder, without the checkout."""

import site
import socket
import subprocess
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A fresh virtual environment with the wheel; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    packages = next(folder.glob("lib/python*/site-packages"))
    with ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return folder / "bin" / "python"


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def gateway(python, *words, cwd, **more):
    """The installed gateway; -P keeps the working folder off the path."""
    command = [python, "-P", "-m", "gateway", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, **more)


def test_the_wheel_holds_code_plugins_and_configuration_and_nothing_else(wheel):
    names = ZipFile(wheel).namelist()
    for name in (
        "gateway/app.py",
        "gateway/plugins/providers/vendors.yaml",
        "gateway/plugins/providers/echo.py",
        "gateway/plugins/features/client_keys.py",
        "gateway/conf/gateway.yaml",
        "gateway/conf/nginx.conf",
    ):
        assert name in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"gateway", "llm_gateway"}


def test_the_code_comes_from_the_wheel(installed, tmp_path):
    code = "import gateway; print(gateway.__file__)"
    found = subprocess.run([installed, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert str(installed.parent.parent) in found.stdout, found


def test_the_shipped_demo_is_good_anywhere(installed, tmp_path):
    done = gateway(installed, "check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "gateway/conf/gateway.yaml: good" in done.stdout


def test_serves_from_an_empty_folder(installed, tmp_path, free_port):
    with open(tmp_path / "log", "wb") as log:
        command = [installed, "-P", "-m", "gateway", "serve", "--bind", f"127.0.0.1:{free_port}", "--workers", "1"]
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    try:
        body = b'{"model":"echo","messages":[{"role":"user","content":"from the wheel"}]}'
        address = f"http://127.0.0.1:{free_port}/v1/chat/completions"
        request = urllib.request.Request(address, body, {"content-type": "application/json"})
        assert b"from the wheel" in answered(request, server, tmp_path / "log")
    finally:
        server.terminate()
        server.wait(20)


def answered(request, server, log):
    """The reply, once the server listens; at most 20 s."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return urllib.request.urlopen(request, timeout=10).read()
        except urllib.error.URLError:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
