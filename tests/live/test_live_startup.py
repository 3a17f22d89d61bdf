"""It starts at once, stays small, carries many, and says what is wrong on the command line."""

import subprocess
import sys
import threading
import time

import pytest
from live_cases import asking
from live_client import Client
from live_servers import ROOT, Process, answers, free_port, resident_mb, until

pytestmark = pytest.mark.live


@pytest.fixture(name="run")
def _run():
    """run(*arguments) -> a finished `gateway` command."""
    return lambda *arguments: subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=30
    )


def test_the_demo_stays_small(start):
    gateway = start((ROOT / "conf" / "gateway.yaml").read_text(), workers=2)
    sizes = [resident_mb(pid) for pid in gateway.workers()]
    assert len(sizes) == 2
    assert max(sizes) <= 60
    with Client(gateway.port) as client:
        prompt = asking("chat", "echo", "Hello there", stream=True)
        data, complete = client.post("/v1/chat/completions", prompt, x_api_key=None).head().rest()
    assert complete
    assert b"[DONE]" in data


def test_the_demo_runs_from_any_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check"], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "good (1 channel, 0 client keys)" in done.stdout


def test_plain_gunicorn_serves_it_too(tmp_path):
    config, port = tmp_path / "plain.yaml", free_port()
    config.write_text("channels: [{name: echo, provider: echo}]")
    settings = ["-c", "conf/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "gunicorn", *settings, "wsgi:app"]
    process = Process(command, tmp_path, "plain", {"GATEWAY_CONFIG": str(config)})
    try:
        until(lambda: answers(port), "an answer")
        with Client(port) as client:
            assert client.post("/v1/chat/completions", asking("chat", "echo")).head().rest()[1]
    finally:
        process.stop()


def test_three_hundred_streams_at_once(upstream, gateway, clients):
    events = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % number for number in range(20)]
    events += [b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n"]
    all_there = threading.Barrier(300, timeout=30)

    def answer(exchange):
        exchange.start().chunk(events[0])
        all_there.wait()  # they do run at once
        for event in events[1:]:
            exchange.chunk(event)
            time.sleep(0.01)
        exchange.last_chunk()

    upstream.answer(answer)
    streams = [clients(gateway.port, timeout=40) for _ in range(300)]
    for client in streams:
        client.post("/v1/chat/completions", asking("chat", "up"))
    for client in streams:
        assert client.head().rest() == (b"".join(events), True)


def test_every_complaint_at_once(run, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text("watsh: true\nchannels:\n  - {name: a, provider: opnai, key: x, wieght: 2}\n  - {name: a}\n")
    done = run("check", "--config", file)
    assert done.returncode == 2
    for line, text in [(1, "'watsh', did you mean 'watch'"), (3, "'wieght', did you mean 'weight'"),
                       (3, "'opnai', did you mean 'openai'"), (4, "provider")]:  # fmt: skip
        assert any(said.startswith(f"{file}:{line}: ") and text in said for said in done.stderr.splitlines())
    served = run("serve", "--config", file)
    assert served.returncode == 2
    assert "did you mean 'weight'" in served.stderr


def test_serve_says_what_stops_it(run, gateway, tmp_path):
    assert "cannot be read" in run("serve", "--config", tmp_path / "nothing.yaml").stderr
    file = tmp_path / "gateway.yaml"
    file.write_text("channels: [{name: echo, provider: echo}]")
    done = run("serve", "--config", file, "--worker-class", "sync")
    assert done.returncode == 2
    assert "gevent" in done.stderr


@pytest.mark.parametrize("command", ["serve", "check", "schema", "plugins", "models"])
def test_every_command_has_help_with_an_example(command, run):
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"Example: gateway {command}" in done.stdout


def test_the_other_commands(run, gateway, tmp_path):
    assert run("--version").stdout.startswith("gateway, version ")
    assert run("schema").stdout.startswith("{")
    file = tmp_path / "gateway.yaml"
    file.write_text("plugins: [call_log]\nchannels: [{name: one, provider: echo, models: [{fast: slow}]}]")
    assert "call_log" in run("plugins", "--config", file).stdout
    assert "fast -> slow  one" in run("models", "--config", file).stdout


@pytest.mark.parametrize("worker_class", ["gevent", "gthread"])
def test_a_sigterm_while_workers_boot_ends_it(tmp_path, worker_class):
    log = tmp_path / "log"
    bind = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gateway", "serve", "--bind", bind, "--worker-class", worker_class]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
    try:
        until(lambda: b"Booting worker" in log.read_bytes(), "a worker that boots")
        process.terminate()
        process.wait(15)
    finally:
        process.kill()
        process.wait()
