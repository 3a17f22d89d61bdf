"""Every `sh` block of the documents is run, in a copy of the project's files and below a root of its own.

What would want an engine, a cluster, root's rights or the internet is stood in for by a program that writes down how
it was called: what it was given must be there.
"""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from live_papers import make_papers
from live_servers import ROOT, Gateway, end

pytestmark = pytest.mark.live

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
BLOCKS = [
    pytest.param(text, id=f"{page.parent.name}-{page.stem}-{number}")
    for page in PAGES
    for number, text in enumerate(re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
]
STOOD_IN = ("docker", "kubectl", "systemctl", "chown", "pip")
COPIED = ("conf", "deploy", "requirements.lock", "setup.py", "setup.cfg", "Dockerfile", "README.md")
OUTSIDE = re.compile(r"(?<![\w$}.:])/(etc|opt|var|path/to)/")  # not the places inside a container: `FROM:TO`
TAKES_ANY_CALL = f"""#!{sys.executable}
import json, os, sys
piped = sys.stdin.read() if sys.argv[-1:] == ["-"] else ""
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], os.getcwd(), piped]) + "\\n")
"""
# The gateway itself, where every name has an address.
GATEWAY = f"""#!{sys.executable}
import socket
import sys

sys.path.insert(0, {str(ROOT)!r})
socket.getaddrinfo = lambda host, port, *_, **__: [(2, 1, 6, "", ("192.0.2.1", port))]
from gateway.cli import main

main()
"""


@pytest.fixture(name="world")
def _world(tmp_path):
    """A folder with `project`, `root` and `bin`."""
    project, root, programs = tmp_path / "project", tmp_path / "root", tmp_path / "bin"
    for folder in ("etc/gateway", "etc/nginx", "etc/squid/conf.d", "etc/nftables.d", "etc/systemd/system",
                   "opt/gateway/bin", "var/lib/gateway"):  # fmt: skip
        (root / folder).mkdir(parents=True)
    project.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, project / name)
    (root / "path").mkdir()
    (root / "path" / "to").symlink_to(project)
    shutil.copy(ROOT / "conf" / "nginx.conf", root / "etc" / "nginx")
    shutil.copy(ROOT / "conf" / "gateway.yaml", root / "etc" / "gateway")
    (root / "etc" / "gateway" / "environment").touch()
    (root / "opt" / "gateway" / "bin" / "gateway").symlink_to(programs / "gateway")
    make_papers(project, "/CN=authority", {"batch": (2, "basicConstraints=CA:FALSE")})
    deployed = project / "deploy" / "gateway.yaml"
    deployed.write_text(deployed.read_text().replace("/run/secrets", str(project / "deploy" / "secrets")))
    programs.mkdir()
    for name, text in {**dict.fromkeys(STOOD_IN, TAKES_ANY_CALL), "gateway": GATEWAY}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return tmp_path


def run(world, text):
    """Runs a block; how the programs that are stood in for were called."""
    script = OUTSIDE.sub(rf"{world}/root/\1/", text)
    script = re.sub(r"\S+/bin/pip\b", "pip", script)
    calls = world / "calls"
    environment = {
        "PATH": f"{world / 'bin'}:{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/bin", "CALLS": str(calls),
        "OPENAI_API_KEY": "sk-test", "HOME": str(world),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=world / "project", env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []


def files_of(program, arguments):
    """The files and folders that a call names, as far as they are the project's: relative, in whatever form."""
    if program == "chown":
        return arguments[1:]
    if program == "pip" and arguments[-1].startswith("."):
        return [arguments[-1].partition("[")[0]]
    values = [part for argument in arguments for part in (argument.partition("=")[2] or argument).split("=")[-1:]]
    return [value for value in values if value == "." or value.split("/")[0] in COPIED]


@pytest.mark.parametrize("text", BLOCKS)
def test_a_block_can_be_run(text, world):
    if "deploy/secrets/" in text and "mkdir" not in text:  # goes on where the block that makes them ended
        run(world, next(block.values[0] for block in BLOCKS if "mkdir -m 0700 -p deploy/secrets" in block.values[0]))
    for program, arguments, folder, piped in run(world, text):
        for file in files_of(program, arguments):
            assert (Path(folder) / file).exists(), f"{program} {shlex.join(arguments)}: no {file}"
        if arguments[-1:] == ["-"]:
            assert piped, f"nothing came to {program} {shlex.join(arguments)}"
        if program in ("pip", "systemctl"):  # those two are on every machine that runs this
            _has_its_options(program, arguments)


def _has_its_options(program, arguments):
    command = [sys.executable, "-m", "pip", "install"] if program == "pip" else ["/usr/bin/systemctl"]
    told = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    for option in (argument.partition("=")[0] for argument in arguments if argument.startswith("--")):
        assert re.search(rf"(?<!\S){option}\b", told), f"{program} knows no {option}"
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for extra in re.findall(r"\[([\w,]+)\]", " ".join(arguments)):
        assert set(extra.split(",")) <= set(setup["options.extras_require"])


def test_there_are_blocks_and_each_stand_in_is_needed(world):
    text = "\n".join(block.values[0] for block in BLOCKS)
    assert len(BLOCKS) >= 10
    assert not [name for name in STOOD_IN if not re.search(rf"\b{name} ", text)]


def test_what_a_block_leaves_is_what_it_is_for(world):
    run(world, "sed -i 's/#mtls# //' /etc/nginx/nginx.conf\n")
    assert "\n        ssl_verify_client optional;" in (world / "root" / "etc" / "nginx" / "nginx.conf").read_text()
    secrets = next(block.values[0] for block in BLOCKS if "mkdir -m 0700 -p deploy/secrets" in block.values[0])
    run(world, secrets)
    made = {file.name: file.stat().st_mode & 0o777 for file in (world / "project" / "deploy" / "secrets").iterdir()}
    wanted = set(re.findall(r"secrets/(\w+)\}", (ROOT / "deploy" / "compose.yaml").read_text()))
    assert made == dict.fromkeys(wanted, 0o400)


def test_the_first_screen_of_the_readme_is_what_one_sees(tmp_path):
    """Its request, sent to the shipped configuration; `...` stands for whatever is there."""
    block = re.search(r"^```console\n\$ (curl .*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[1]
    command, rest = block.split("}'\n", 1)
    gateway = Gateway(tmp_path, (ROOT / "conf" / "gateway.yaml").read_text())
    try:
        command = (command + "}'").replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    finally:
        end(gateway)
    shown = re.escape(rest.strip()).replace(re.escape("..."), ".*")
    assert re.fullmatch(shown, done.stdout.strip(), re.DOTALL), done.stdout
