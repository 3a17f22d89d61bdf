"""`gateway doctor`, check by check: what is wrong is found, what is right is left in peace."""

import base64
import hashlib
import json
import os
import resource
import stat

import pytest
from click.testing import CliRunner

from gateway.commands.doctor import command
from gateway.doctor import files, installed, keepers, machine
from gateway.doctor.findings import FAILED, OK, WARNING, Finding, any_failed, failed, ok, told, warning
from gateway.doctor.processes import Running, running
from gateway.doctor.streaming import Question, Timed, _culprit, _judged
from gateway.loading import load
from gateway.plugin_manager import find_plugins
from tests.state_servers import PASSWORD, Postgres, RedisServer, free_port

CHANNELS = "channels: [{name: echo, provider: echo, models: [doctor]}]\n"
SHIM = (
    "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; "
    "enabled and __import__('_distutils_hack').add_shim(); "
)


@pytest.fixture(name="configured")
def _configured(tmp_path):
    """configured(yaml) -> the path of a configuration."""

    def write(yaml=CHANNELS):
        path = tmp_path / "gateway.yaml"
        path.write_text(yaml)
        path.chmod(0o600)
        return path

    return write


def master(**more):
    given = {"pid": 1, "user": os.geteuid(), "groups": frozenset({os.getgid()}), "bind": "127.0.0.1:8080"}
    return Running(**(given | {"worker_class": "gevent", "threads": 64, "files": 65536} | more))


# --- findings --------------------------------------------------------------------------------------------


def test_the_worst_comes_first_with_what_to_do():
    found = [ok("a", "good"), warning("b", "odd", "look"), failed("c", "bad", "mend")]
    assert [line.split()[0] for line in told(found) if "->" not in line] == ["FAILED", "warning", "ok"]
    assert told(found)[1].strip() == "-> mend"
    assert any_failed(found) and not any_failed(found[:2])


def test_no_finding_goes_without_a_remedy():
    with pytest.raises(AssertionError):
        Finding("c", FAILED, "bad")


# --- processes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, bind", [
    ([], "127.0.0.1:8080"), (["--quiet"], "127.0.0.1:8080"),
    (["--bind", "[::]:80"], "[::]:80"), (["--bind=unix:/s"], "unix:/s"),
])  # fmt: skip
def test_a_master_is_seen_whatever_its_options(options, bind, configured, tmp_path):
    """None at all is how the unit and the image start it."""
    config, folder = configured(), tmp_path / "proc" / "77"
    (folder / "task" / "77").mkdir(parents=True)
    words = ["/opt/gateway/bin/python3", "/opt/gateway/bin/gateway", "serve", *options]
    (folder / "cmdline").write_text("".join(f"{word}\0" for word in words))
    (folder / "environ").write_text(f"A=b\0GATEWAY_CONFIG={config}\0")
    (folder / "status").write_text("Name:\tgateway\nPPid:\t1\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t9 \n")
    (folder / "limits").write_text("Max open files            65536                65536                files\n")
    (folder / "task" / "77" / "children").write_text("")
    (folder / "cwd").symlink_to("/")
    (seen,) = running(config, tmp_path / "proc")
    assert (seen.pid, seen.user, seen.groups, seen.bind, seen.files) == (77, 7, {8, 9}, bind, 65536)


# --- machine ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "masters, state",
    [
        ([master(files=1024)], FAILED),
        ([master(files=8200)], OK),
        ([master(files=1024, worker_class="gthread", threads=64)], OK),
        ([master(files=1024, worker_class="gthread", threads=1000)], FAILED),
        ([master(), master(files=1024)], FAILED),
    ],
)
def test_a_worker_needs_two_files_for_each_call(masters, state):
    assert machine.check_files(masters).state == state


def test_without_a_running_gateway_the_shell_is_looked_at():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        found = machine.check_files([])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (found.state, found.facts["limit"]) == (FAILED, 1024)
    assert "enough for 412 streams" in found.text and "LimitNOFILE" in found.remedy


def test_threads_and_root_are_warned_of():
    assert machine.check_workers([master(worker_class="gthread")]).state == WARNING
    assert machine.check_workers([master()]).state == OK
    assert [found.state for found in machine.check_running([master(user=0), master(user=7)])] == [WARNING, OK]


@pytest.mark.parametrize("proxies, binds, state", [
    ("[]", ["127.0.0.1:8080"], WARNING),
    ("[127.0.0.0/8]", ["0.0.0.0:8080"], WARNING),
    ("['::1', 10.0.0.7]", ["127.0.0.1:8080"], WARNING),
    ("[10.0.0.7]", ["0.0.0.0:8080"], OK),
    ("[]", ["unix:SOCKET"], OK),
    ("[]", ["unix:SOCKET", "127.0.0.1:8080"], WARNING),
    ("[]", [], OK),
])  # fmt: skip
def test_it_is_told_when_any_program_could_vouch_for_a_certificate(proxies, binds, state, configured, tmp_path):
    keys = f'certificate_proxies: {proxies}\nkeys: [{{name: a, certificates: ["CN=a"]}}]\n'
    settings = load(configured(keys + CHANNELS)).settings
    masters = [master(bind=bind.replace("SOCKET", str(tmp_path / "socket"))) for bind in binds]
    (tmp_path / "socket").touch(0o600)
    (found,) = machine.check_certificates(settings, masters)
    assert found.state == state
    assert not machine.check_certificates(load(configured()).settings, masters)


@pytest.mark.parametrize("mode, folder, state", [(0o777, 0o755, WARNING), (0o777, 0o750, OK), (0o660, 0o755, OK)])
def test_a_socket_that_all_may_open_is_no_wall(mode, folder, state, configured, tmp_path):
    socket = tmp_path / "run" / "socket"
    socket.parent.mkdir()
    socket.touch()
    socket.chmod(mode)
    socket.parent.chmod(folder)
    settings = load(configured('keys: [{name: a, certificates: ["CN=a"]}]\n' + CHANNELS)).settings
    (found,) = machine.check_certificates(settings, [master(bind=f"unix:{socket}")])
    assert found.state == state


def test_the_kernel_tells_of_the_clock():
    found = machine.check_clock()
    assert found.check == "clock"
    if found.state == OK:
        assert 0 <= found.facts["most_seconds_off"] < 3600


# --- keepers ---------------------------------------------------------------------------------------------


def test_clocks_of_redis_and_postgresql_are_compared(configured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    folder.chmod(0o777)
    with RedisServer(folder) as redis, Postgres(folder) as postgres:
        path = configured(f'state: "{redis.url}?prefix=mine"\nstore: "{postgres.url}"\n{CHANNELS}')
        found = keepers.check_keepers(load(path))
    assert [(each.check, each.state) for each in found] == [("state", OK), ("store", OK)]
    assert all(abs(each.facts["seconds_apart"]) < 1 for each in found)
    assert PASSWORD not in json.dumps([each.text + str(each.facts) for each in found])


def test_servers_that_are_away_are_failures_without_their_passwords(configured):
    nobody = free_port()
    path = configured(
        f'state: "redis://:{PASSWORD}@127.0.0.1:{nobody}/0"\n'
        f'store: "postgresql+psycopg://u:{PASSWORD}@127.0.0.1:{nobody}/x"\n{CHANNELS}'
    )
    found = keepers.check_keepers(load(path))
    assert [each.state for each in found] == [FAILED, FAILED]
    assert PASSWORD not in str(found)


@pytest.mark.parametrize("ahead, state, word", [(0, OK, "agrees"), (90, WARNING, "before"), (-90, WARNING, "behind")])
def test_a_clock_that_differs_is_named(ahead, state, word):
    found = keepers._compared("store", "there", lambda: keepers.time.time() + ahead)
    assert found.state == state and word in found.text


# --- files -----------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_found_for_the_gateways_user(configured, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    (tmp_path / "shut").mkdir(mode=0o755)
    gateway = load(configured(f"store: sqlite:///shut/gateway.db\n{CHANNELS}"))
    stranger = master(user=54321, groups=frozenset({54321}))
    found = {each.check: each for each in files.check_folders(gateway, [stranger])}
    assert found["folder store"].state == FAILED and "install -d" in found["folder store"].remedy
    assert found["folder temporary"].state == OK
    (tmp_path / "shut").chmod(0o777)
    found = {each.check: each for each in files.check_folders(gateway, [stranger])}
    assert found["folder store"].state == OK


@pytest.mark.parametrize("mode, state", [(0o600, OK), (0o640, OK), (0o644, FAILED), (0o660, WARNING)])
def test_a_secrets_file_is_nobody_elses_business(mode, state, configured, tmp_path):
    secret = tmp_path / "key"
    secret.write_text("sk-CANARY")
    secret.chmod(mode)
    path = configured(f"channels: [{{name: a, provider: openai, key: file:{secret}}}]")
    (found,) = [each for each in files.check_secrets(path, path.read_text()) if "key" in each.text]
    assert found.state == state
    assert "CANARY" not in str(found)


@pytest.mark.parametrize(
    "line, state",
    [
        ("channels: [{name: a, provider: openai, key: sk-CANARY}]", FAILED),
        ("channels: [{name: a, provider: openai, keys: [{key: sk-CANARY}]}]", FAILED),
        (f"state: redis://:CANARY@host/0\n{CHANNELS}", FAILED),
        (f"state: redis://host:6379/0\n{CHANNELS}", OK),
        ("channels: [{name: a, provider: openai, key: '${KEY:-sk-CANARY}'}]", OK),
    ],
)
def test_a_configuration_with_secrets_in_it_is_closed_to_others(line, state, configured):
    path = configured(line)
    path.chmod(0o644)
    (found,) = files.check_secrets(path, line)
    assert found.state == state and "CANARY" not in str(found)
    path.chmod(0o640)
    assert files.check_secrets(path, line)[0].state == OK


def test_code_that_all_may_change_is_found(configured, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text("")
    assert files.check_code([plugin, configured()])[0].state == OK
    plugin.chmod(plugin.stat().st_mode | stat.S_IWOTH)
    (found,) = files.check_code([plugin])
    assert found.state == FAILED and f"chmod o-w {plugin}" == found.remedy


# --- what is installed -----------------------------------------------------------------------------------


def record(folder, name, text):
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    place = folder / "tracer-1.0.dist-info"
    place.mkdir()
    (place / "RECORD").write_text(f"{name},sha256={digest},{len(text)}\n")


def test_executable_pth_files_are_told_apart(tmp_path):
    (tmp_path / "distutils-precedence.pth").write_text(SHIM)
    (tmp_path / "__editable__.x.pth").write_text("import __editable___x_1_finder; __editable___x_1_finder.install()\n")
    (tmp_path / "paths.pth").write_text("/opt/more\n# import nothing\n")
    (only,) = installed.check_pth([tmp_path])
    assert only.state == OK and len(only.facts["known"]) == 2
    record(tmp_path, "tracer.pth", "import tracer\n")
    (tmp_path / "tracer.pth").write_text("import tracer\n")
    (only,) = installed.check_pth([tmp_path])
    assert only.state == WARNING and "pip uninstall tracer" in only.remedy
    (tmp_path / "tracer.pth").write_text("import tracer, os; os.system('id')\n")
    (only,) = installed.check_pth([tmp_path])
    assert only.state == FAILED and "is not what tracer installed" in only.text
    (tmp_path / "evil.pth").write_text("import\tbase64;exec(base64.b64decode('cGFzcw=='))\n")
    found = installed.check_pth([tmp_path])
    assert [each.state for each in found] == [FAILED, FAILED]
    assert "belongs to no installed package" in found[0].text


def test_a_shim_with_something_behind_it_is_not_known(tmp_path):
    (tmp_path / "distutils-precedence.pth").write_text(SHIM + "import evil\n")
    assert installed.check_pth([tmp_path])[0].state == FAILED


# --- plugins ---------------------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(command, list(map(str, arguments)))


def test_changed_plugins_are_found_before_they_are_run(configured, tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "mine.py").write_text("")
    path = configured(f"plugins_dir: ./plugins\nplugins: [mine]\n{CHANNELS}")
    lock = tmp_path / "plugins.lock"
    assert run("--config", path, "--write-plugins-lock", lock).exit_code == 0
    assert len(lock.read_text().splitlines()) == len(find_plugins(folder))
    assert "are those of" in run("--config", path, "--plugins-lock", lock).output
    ran = tmp_path / "it-ran"
    (folder / "mine.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (folder / "new.py").write_text("")
    told = run("--config", path, "--plugins-lock", lock)
    assert told.exit_code == 1
    assert "mine: changed" in told.output and "new: stands not in" in told.output
    assert not ran.exists()


def test_a_lock_that_names_what_is_gone_warns(tmp_path):
    lock = tmp_path / "plugins.lock"
    lock.write_text(f"{'0' * 64}  mine\n")
    (found,) = installed.check_plugins({}, [], lock)
    assert found.state == WARNING and "mine" in found.text


# --- streams ---------------------------------------------------------------------------------------------

EVENTS = {"content-type": "text/event-stream"}
PACED = [0.2 * number for number in range(8)]


def stream(times, version=11, **headers):
    named = EVENTS | {name.replace("_", "-"): value for name, value in headers.items()}
    return Timed(200, version, named, list(times), [(times[-1], 4096)] if times else [])


@pytest.mark.parametrize(
    "outside, inside, state, said",
    [
        (stream(PACED), stream(PACED), OK, "none is held back"),
        (stream(PACED), None, OK, "none is held back"),
        (stream([1.5] * 8, server="nginx/1.22"), stream(PACED), FAILED, "nginx/1.22 buffers them"),
        (stream([0.7] * 4 + [1.5] * 4, server="nginx"), stream(PACED), FAILED, "nginx buffers them"),
        (stream([1.5] * 8), stream([1.5] * 8), FAILED, "the gateway itself"),
        (stream([1.5] * 8, cf_ray="1", server="cloudflare"), None, FAILED, "Cloudflare, cloudflare buffers"),
        (Timed(200, 11, {"content-type": "text/html", "via": "1.1 squid"}), None, FAILED, "no event stream"),
    ],
)
def test_a_stream_is_judged_by_when_its_events_came(outside, inside, state, said):
    found = _judged(outside, inside, True)
    assert found.state == state and said in found.text


def test_a_models_stream_is_held_against_the_one_asked_directly():
    steady, clumped = stream([0.1 * n for n in range(20)]), stream([2.0] * 20)
    assert _judged(clumped, steady, False).state == FAILED
    assert _judged(steady, steady, False).state == OK
    assert _judged(clumped, None, False).state == "skipped"


@pytest.mark.parametrize(
    "timed, remedy",
    [
        (stream([1], content_encoding="gzip"), "gzip off"),
        (stream([1], content_length="900"), "response buffering"),
        (stream([1], version=10), "proxy_http_version 1.1"),
        (stream([1], server="nginx"), "proxy_buffering off"),
        (stream([1], x_varnish="1 2"), "response buffering there"),
    ],
)
def test_each_culprit_has_its_remedy(timed, remedy):
    assert remedy in _culprit(timed)[1]


def test_a_question_shows_no_key():
    assert "CANARY" not in repr(Question("m", "sk-CANARY"))


# --- the command -----------------------------------------------------------------------------------------


def test_the_command_tells_people_and_machines(configured):
    path = configured()
    people, machines = run("--config", path), run("--config", path, "--json")
    document = json.loads(machines.output)
    assert people.exit_code == machines.exit_code == (0 if document["ok"] else 1)
    assert {each["check"] for each in document["findings"]} >= {
        "versions", "pth", "secrets", "code", "running", "files", "workers", "clock", "folder temporary", "plugins",
        "stream",
    }  # fmt: skip
    assert all(each["remedy"] for each in document["findings"] if each["state"] != OK)
    assert "no running `gateway serve`" in people.output


def test_an_address_that_is_none_is_refused(configured):
    assert run("--config", configured(), "--url", "llm.example.com").exit_code == 2


def test_without_an_echo_a_model_has_to_be_named(configured):
    path = configured("channels: [{name: a, provider: openai, key: k}]")
    told = run("--config", path, "--url", f"http://127.0.0.1:{free_port()}")
    assert told.exit_code == 1 and "--model" in told.output


@pytest.mark.parametrize("fetch, state", [("any", "warning"), ("[cdn.example.com]", "ok"), ("false", "ok")])
def test_it_is_told_when_clients_choose_where_the_gateway_connects_to(fetch, state, tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(f"channels: [{{name: a, provider: openai, key: k, fetch: {fetch}}}]")
    done = CliRunner().invoke(command, ["--config", str(path), "--json"])
    (found,) = [each for each in json.loads(done.output)["findings"] if each["check"] == "egress"]
    assert found["state"] == state
