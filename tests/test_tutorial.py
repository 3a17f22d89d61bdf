"""docs/writing-plugins.md, run from its first line to its last: in a fresh environment, with the wheel."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "writing-plugins.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
DONE = "--- done with "


@pytest.fixture(scope="module", name="libraries")
def _libraries(tmp_path_factory):
    """A folder with everything that is installed here but the gateway, so that nothing need be downloaded."""
    folder = tmp_path_factory.mktemp("libraries")
    for path in map(Path, sys.path):
        if path.name == "site-packages":
            for entry in path.iterdir():
                if not re.match(r"llm_gateway|__editable__|pip|_distutils|distutils|.*\.pth$", entry.name):
                    (folder / entry.name).symlink_to(entry)
    return folder


class Shell:
    """A shell that somebody types into: it keeps its folder and its environment."""

    def __init__(self, folder, libraries, environment):
        self.folder = folder
        self._libraries = libraries
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=folder, env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def type(self, command):
        """(output, exit code) of the command."""
        self._process.stdin.write(f'{command}\necho "\n{DONE}$? $PWD"\n')
        self._process.stdin.flush()
        said = []
        for line in self._process.stdout:
            if line.startswith(DONE):
                code, _, folder = line.removeprefix(DONE).strip().partition(" ")
                self.folder = Path(folder)
                self._lend_libraries()
                return "".join(said).strip("\n"), int(code)
            said.append(line)
        raise AssertionError(f"the shell ended: {''.join(said)}")

    def _lend_libraries(self):
        for packages in self.folder.glob(".venv/lib/python*/site-packages"):
            (packages / "libraries.pth").write_text(f"{self._libraries}\n")

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)


@pytest.fixture(name="shell")
def _shell(tmp_path, wheel, libraries):
    bin_folder = Path(sys._base_executable).parent
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in ("LANG", "HOME")}
    path = f"{bin_folder}:/usr/local/bin:/usr/bin:/bin"
    own = {"PATH": path, "GATEWAY": str(wheel), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(tmp_path)}
    shell = Shell(tmp_path, libraries, kept | own)
    yield shell
    shell.close()


def steps():
    """(kind, what) in the order of the page: ("write", (path, text)) and ("type", (command, its output))."""
    for language, text in BLOCK.findall(PAGE):
        named = FILE.match(text)
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, said = part.partition("\n")
                yield "type", (command, said.strip("\n"))
        elif named:
            yield "write", (named[1], text[named.end():] if language == "python" else text)


def pattern_of(said):
    """The page's output as a pattern: ``...`` stands for anything, a line of its own for any lines."""
    return re.sub(r"(?:\\\.){3}", "[\\\\s\\\\S]*", re.escape(said))


def test_the_page_is_run_from_its_first_line_to_its_last(shell):
    done = 0
    for kind, (what, then) in steps():
        if kind == "write":
            (shell.folder / what).write_text(then)
            continue
        output, code = shell.type(what)
        assert code == 0, f"{what}\n{output}"
        assert re.fullmatch(pattern_of(then), output) or not then, f"{what}\n{output}\n--- is not ---\n{then}"
        done += 1
    assert done == len(re.findall(r"^\$ ", PAGE, re.MULTILINE)) > 15


def test_the_blocks_that_are_only_shown_are_python():
    shown = [text for language, text in BLOCK.findall(PAGE) if language == "python" and not FILE.match(text)]
    assert len(shown) == 2
    for text in shown:
        compile(text, "shown", "exec")
