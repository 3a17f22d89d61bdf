"""Deployed as the files say: systemd's socket and readiness, nginx with TLS, what nginx keeps inside, and an
upstream that tries to send the gateway elsewhere."""

import json
import os
import re
import socket
import subprocess
import sys

import pytest
from live_nginx import WrittenNginx
from live_servers import CLIENT_KEY, ROOT, Process, _until_it_answers, end, free_port
from live_upstream import Upstream

from gateway.doctor.streaming import Question, check_stream

pytestmark = pytest.mark.live

ECHO = 'keys: [{name: tester, key: "${CLIENT_KEY}"}]\nchannels: [{name: echo, provider: echo, models: [doctor]}]\n'
UP = """
keys: [{name: tester, key: "${CLIENT_KEY}"}]
channels: [{name: up, provider: openai, key: k, base_url: "${UP}"}]
"""
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(name="notified")
def _notified(tmp_path):
    """A socket like systemd's, and what was said to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(15)
        yield listener


def test_systemd_gives_the_socket_and_is_told_when_it_is_served(tmp_path, notified):
    config, port = tmp_path / "gateway.yaml", free_port()
    config.write_text(ECHO)
    command = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "-E", f"NOTIFY_SOCKET={tmp_path}/notify",
               "-E", f"CLIENT_KEY={CLIENT_KEY}",
               sys.executable, "-m", "gateway", "serve", "--config", str(config)]  # fmt: skip
    process = Process(command, tmp_path, "activated")
    try:
        _until_it_answers(process, port)  # the first connection starts it
        assert b"READY=1" in notified.recv(4096)
    finally:
        end(process)


def tls_nginx(folder, gateway_port, certificate):
    """(conf/nginx.conf with its TLS lines in force, its port for TLS)."""
    text = (ROOT / "conf" / "nginx.conf").read_text().replace("#tls# ", "")
    port, tls_port = free_port(), free_port()
    for name in ("fullchain.pem", "privkey.pem"):
        text = text.replace(f"/etc/gateway/tls/{name}", str(certificate / name))
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{gateway_port}").replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{tls_port} ")
    return WrittenNginx(folder, "nginx-tls", text, port), tls_port


@pytest.fixture(name="certificate")
def _certificate(tmp_path):
    """A folder with a certificate for localhost and its key."""
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-out", tmp_path / "fullchain.pem", "-keyout", tmp_path / "privkey.pem",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return tmp_path


def doctor(config, url, **environment):
    """{check: finding} of a doctor that times a stream."""
    code = "from gateway.commands.doctor import command; command()"
    given = os.environ | {"CLIENT_KEY": CLIENT_KEY, "GATEWAY_KEY": CLIENT_KEY} | environment
    done = subprocess.run([sys.executable, "-c", code, "--config", str(config), "--json", "--url", url], cwd=ROOT,
                          env=given, capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.stdout, done.stderr
    return {each["check"]: each for each in json.loads(done.stdout)["findings"]}


def test_a_stream_comes_in_time_through_nginx_with_tls(start, folder, certificate):
    gateway = start(ECHO)
    nginx, port = tls_nginx(folder, gateway.port, certificate)
    try:
        url = f"https://localhost:{port}"
        trusted = doctor(gateway.config, url, SSL_CERT_FILE=str(certificate / "fullchain.pem"))
        (strange,) = check_stream(url, gateway.url, Question("doctor", CLIENT_KEY))
    finally:
        end(nginx)
    assert trusted["stream"]["state"] == "ok", trusted["stream"]
    assert trusted["certificate"]["facts"]["days_left"] in (89, 90)
    assert strange.state == "failed" and "certificate" in strange.text


def test_nginx_shows_the_numbers_to_its_own_machine_only(start, folder, clients):
    gateway = start("plugins: [{metrics: {token: t}}]\n" + ECHO)
    text = (ROOT / "conf" / "nginx.conf").read_text()
    port = free_port()
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}").replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    # A client of another address: the load balancer's lines let a test be one.
    text = text.replace("#lb# ", "").replace("10.0.0.0/8", "127.0.0.1")
    nginx = WrittenNginx(folder, "nginx-metrics", text, port)
    try:
        for path in ("/metrics", "//metrics", "/x/../metrics", "/%6detrics"):
            refused = clients(port).ask("GET", path, authorization="Bearer t", x_forwarded_for="203.0.113.9").head()
            assert refused.status == 403, path
        within = clients(port).ask("GET", "/metrics", x_api_key=None, authorization="Bearer t").head()
        assert within.status == 200
        passed = clients(port).post("/v1/chat/completions", HELLO | {"model": "doctor"}, x_forwarded_for="203.0.113.9")
        assert passed.head().status == 200
    finally:
        end(nginx)


def test_the_images_health_check_finds_a_living_gateway(start):
    gateway = start(ECHO)
    line = re.search(r"^  CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    command = [sys.executable, *json.loads(line[1])[1:]]
    for port, code in ((gateway.port, 0), (free_port(), 1)):
        done = subprocess.run(command, env={"GATEWAY_BIND": f"0.0.0.0:{port}"}, capture_output=True, timeout=20)
        assert done.returncode == code


def test_nobody_is_sent_elsewhere_by_an_upstream_or_the_environment(start, clients):
    up, elsewhere = Upstream(), Upstream()
    statuses = ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"]
    target = f"Location: {elsewhere.url}/v1/chat/completions"
    up.answer(lambda exchange: exchange.reply(b"{}", target, status=statuses[len(up.exchanges) % len(statuses)]))
    elsewhere.answer(lambda exchange: exchange.reply(b'{"choices":[]}'))
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), elsewhere.url)
    try:
        gateway = start(UP, environment={"UP": up.url, **proxies})
        for _ in statuses:
            assert clients(gateway.port).post("/v1/chat/completions", HELLO).head().status >= 300
        assert len(up.exchanges) >= len(statuses)
        assert elsewhere.connections == 0
    finally:
        up.stop()
        elsewhere.stop()
