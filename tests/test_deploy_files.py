"""The files of a deployment are what their tools take: systemd, nginx, Docker, compose, Kubernetes, pip, Grafana."""

import configparser
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway.loading import load
from gateway.serving import SETTINGS
from tests.state_servers import free_port

ROOT = Path(__file__).resolve().parent.parent
CONF, DEPLOY = ROOT / "conf", ROOT / "deploy"
EXTRAS = "compression jwt metrics postgres redis store".split()
SECRETS = {
    "state_url": "redis://:p@redis:6379/0", "store_url": "postgresql+psycopg://gateway:p@postgres/gateway",
    "metrics_token": "t", "openai_api_key": "sk-a", "doctor_key": "sk-b",
}  # fmt: skip


# --- systemd ---------------------------------------------------------------------------------------------


def unit(name):
    """section -> {key: [values]}."""
    sections, current = {}, {}
    for line in (CONF / name).read_text().splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            current.setdefault(key, []).append(value)
    return sections


@pytest.fixture(name="units")
def _units(tmp_path):
    """The units with a program that is there."""
    for name in ("gateway.service", "gateway.socket"):
        text = (CONF / name).read_text().replace("/opt/gateway/bin/gateway", sys.executable)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.live  # as the nginx below: it wants a program that is not everywhere
def test_systemd_takes_the_units(units):
    command = ["systemd-analyze", "verify", units / "gateway.service", units / "gateway.socket"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.live
def test_systemd_calls_the_service_well_locked_up(units):
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", units / "gateway.service"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_service_waits_longer_than_the_longest_stream_and_opens_enough_files():
    service = unit("gateway.service")["Service"]
    assert int(service["TimeoutStopSec"][0]) > SETTINGS["graceful_timeout"]
    assert int(service["LimitNOFILE"][0]) > 2 * SETTINGS["worker_connections"]
    assert service["ExecReload"] == ["""/bin/sh -c 'kill -HUP "$$MAINPID"'"""]  # kill(1) is not on every machine
    assert service["KillMode"] == ["mixed"]
    assert unit("gateway.socket")["Socket"]["ListenStream"] == [SETTINGS["bind"]]


# --- nginx -----------------------------------------------------------------------------------------------


@pytest.fixture(name="nginx_says")
def _nginx_says(tmp_path):
    def says(text):
        file = tmp_path / "nginx.conf"
        file.write_text(text)
        command = ["/usr/sbin/nginx", "-t", "-e", "stderr", "-p", tmp_path, "-c", file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stderr

    return says


@pytest.mark.live
@pytest.mark.parametrize("marks", [(), ("lb",), ("tls",), ("tls", "mtls"), ("lb", "tls", "mtls")], ids="-".join)
def test_nginx_takes_its_file_with_every_choice_that_it_offers(marks, nginx_says, certificate):
    text = (CONF / "nginx.conf").read_text()
    for mark in marks:
        assert f"#{mark}# " in text
        text = text.replace(f"#{mark}# ", "")
    for place in ("listen 127.0.0.1:8000", "listen 443"):  # -t takes them, and they may be taken
        assert text.count(place) == 1
        text = text.replace(place, f"listen 127.0.0.1:{free_port()}")
    for name, file in zip(("fullchain.pem", "privkey.pem", "clients.pem"), (*certificate, certificate[0]), strict=True):
        text = text.replace(f"/etc/gateway/tls/{name}", str(file))
    code, said = nginx_says(text)
    assert code == 0, said


@pytest.fixture(scope="module", name="certificate")
def _certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "fullchain.pem", folder / "privkey.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-days", "2", "-subj", "/CN=localhost", "-out", files[0], "-keyout", files[1]]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return files


# --- Docker ----------------------------------------------------------------------------------------------


def instructions():
    """(word, rest) of each instruction of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def last_stage():
    found = instructions()
    starts = [place for place, (word, _) in enumerate(found) if word == "FROM"]
    return found[starts[-1] :]


def test_every_file_that_the_image_takes_is_there_and_let_through():
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    taken = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    sources = {source for each in taken for source in each}
    assert {"gateway", "plugins", "conf", "requirements.lock"} == sources == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_runs_as_somebody_else_and_is_asked_how_it_is():
    words = dict(last_stage())
    user = words["USER"].partition(":")[0]
    assert user.isdecimal() and user != "0"
    assert "/healthz" in words["HEALTHCHECK"]
    assert json.loads(words["CMD"]) == ["serve"] and json.loads(words["ENTRYPOINT"]) == ["gateway"]
    assert "pip uninstall" in next(rest for word, rest in last_stage() if word == "RUN")
    assert "GATEWAY_CONFIG=/etc/gateway/gateway.yaml" in words["ENV"]


def test_the_images_health_check_tells_alive_from_dead(tmp_path):
    command = json.loads(dict(last_stage())["HEALTHCHECK"].partition("CMD ")[2])
    assert command[0] == "/venv/bin/python"
    command[0] = sys.executable
    done = subprocess.run(command, env={"GATEWAY_BIND": "127.0.0.1:1"}, capture_output=True, timeout=20)
    assert done.returncode != 0  # alive: tests/live/test_live_deploy.py


def test_what_the_image_copies_runs_without_being_installed(tmp_path):
    for name in ("gateway", "plugins", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "var"))
    command = [sys.executable, "-m", "gateway", "check", "--config", str(tmp_path / "conf" / "gateway.yaml")]
    code = "import gateway, sys; print(gateway.__file__)"
    where = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin"}
    told = subprocess.run([sys.executable, "-c", code], cwd="/", env=where, capture_output=True, text=True, timeout=30)
    assert told.stdout.strip() == str(tmp_path / "gateway" / "__init__.py"), told.stderr
    done = subprocess.run(command, cwd="/", env=where, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


# --- requirements.lock -----------------------------------------------------------------------------------


def locked():
    """name -> (version, number of digests)."""
    text = (ROOT / "requirements.lock").read_text()
    digests = r"((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+)"
    entries = re.findall(rf"^([a-z][\w.-]*)==(\S+) \\\n{digests}", text, re.MULTILINE)
    return {canonicalize_name(name): (version, hashes.count("sha256:")) for name, version, hashes in entries}


def test_every_line_of_the_lock_is_pinned_with_digests():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] not in " #"]
    assert len(lines) == len(locked()) > 20


def asked():
    """What the project asks for, of itself and with the extras that are deployed."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = [setup["options"]["install_requires"], *(setup["options.extras_require"][extra] for extra in EXTRAS)]
    bare = (line.partition("#")[0].strip() for line in "\n".join(lines).split("\n"))
    return [Requirement(line) for line in bare if line]


def test_the_lock_satisfies_what_the_project_asks_for():
    lock = locked()
    for wanted in asked():
        version, _ = lock[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), f"{wanted}: the lock has {version}"


@pytest.mark.parametrize("python", ["3.11.2", "3.11.9", "3.12.3", "3.13.5"])  # the first one is Debian 12's
def test_the_lock_is_whole_for_each_python(python):
    """What its packages want there is in it: with digests, pip takes nothing else."""
    there, lock = {"python_full_version": python, "python_version": python.rpartition(".")[0]}, locked()
    wanted, seen = asked(), set()
    for each in wanted:  # grows meanwhile
        assert canonicalize_name(each.name) in lock, f"Python {python} needs {each}"
        for extra in {"", *each.extras} - {extra for name, extra in seen if name == each.name}:
            seen.add((each.name, extra))
            wanted += [
                need for need in needs(each.name) if not need.marker or need.marker.evaluate(there | {"extra": extra})
            ]


def needs(name):
    """What a package wants. None of those that only other Pythons than this one have wants anything."""
    try:
        return [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    except importlib.metadata.PackageNotFoundError:
        return []


# --- compose and Kubernetes ------------------------------------------------------------------------------


@pytest.fixture(name="deployed")
def _deployed(tmp_path):
    """deploy/gateway.yaml with its secrets somewhere else."""
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value)
    path = tmp_path / "gateway.yaml"
    path.write_text((DEPLOY / "gateway.yaml").read_text().replace("/run/secrets", str(tmp_path)))
    return path


def test_the_deployed_configuration_can_be_used(deployed):
    gateway = load(deployed)
    assert gateway.settings.store.reveal() == SECRETS["store_url"]
    assert not gateway.warnings


def test_the_compose_file_is_whole():
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(document) <= {"name", "services", "configs", "secrets", "volumes"}
    services = document["services"]
    for name, service in services.items():
        assert "image" in service or "build" in service, name
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services
            assert how["condition"] in ("service_healthy", "service_completed_successfully")
            assert "healthcheck" in services[needed] or how["condition"] != "service_healthy"
        assert set(service.get("secrets", ())) <= set(document["secrets"])
        assert {each["source"] for each in service.get("configs", ())} <= set(document["configs"])
        named = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert named <= set(document["volumes"])
    own = services["gateway"]
    assert set(own["secrets"]) >= set(SECRETS)
    assert all(port.startswith("127.0.0.1:") for port in own["ports"])
    assert int(own["stop_grace_period"].rstrip("m")) * 60 > SETTINGS["graceful_timeout"]
    assert own["read_only"] and own["cap_drop"] == ["ALL"]
    assert (DEPLOY / document["configs"]["gateway_yaml"]["file"]).is_file()


def manifests():
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / "gateway.yaml").read_text()))


def test_kubernetes_takes_the_manifests():
    found = manifests()
    assert {each["kind"] for each in found} == {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"}
    for each in found:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_a_pod_ends_later_than_its_longest_stream():
    pod = manifests()[0]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > SETTINGS["graceful_timeout"] + waits
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_manifests_choose_the_same_pods():
    deployment, service, budget, policy = manifests()
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert budget["spec"]["selector"]["matchLabels"] == policy["spec"]["podSelector"]["matchLabels"] == labels
    names = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
