"""The documents say what is true: their examples are run, their tables are compared with the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import COMMANDS, main
from gateway.config.reference import markdown
from gateway.loading import load, shipped_providers
from gateway.price_file import read_price_file

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECRETS = {"OPENAI_API_KEY": "sk-a", "ANTHROPIC_API_KEY": "sk-b", "ALICE_KEY": "sk-c", "GEMINI_API_KEY": "sk-d"}


def blocks(language):
    """(page and number, text) of every fenced block of *language*; docs/plugins.md has tests of its own."""
    return [
        pytest.param(match[2], id=f"{page.stem}-{number}")
        for page in PAGES
        if page.stem not in ("plugins", "writing-plugins")
        for number, match in enumerate(BLOCK.finditer(page.read_text()))
        if match[1] == language
    ]


def _is_configuration(block):
    return "channels:" in block.values[0] and not block.values[0].startswith("# prices.yaml")


def test_prices_in_the_documents_can_be_read(tmp_path):
    found = [block.values[0] for block in blocks("yaml") if block.values[0].startswith("# prices.yaml")]
    assert found
    for text in found:
        path = tmp_path / "prices.yaml"
        path.write_text(text)
        assert read_price_file(path)


@pytest.mark.parametrize("text", [block for block in blocks("yaml") if _is_configuration(block)])
def test_a_configuration_in_the_documents_can_be_used(text, tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "gateway.yaml"
    # Certificates and folders of examples are not on every machine.
    path.write_text(re.sub(r"^\s*(tls|plugins_dir):.*\n", "", text, flags=re.MULTILINE))
    load(path)


@pytest.mark.parametrize("text", blocks("python"))
def test_python_in_the_documents_compiles(text):
    compile(text, "example", "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_inside_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


# design.md is also what is built towards.
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "design"], ids=lambda page: page.stem)
def test_commands_in_the_documents_exist(page):
    for command in re.findall(r"`gateway ([a-z]+)", page.read_text()):
        assert command in COMMANDS, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_make_targets_in_the_documents_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text()):
        assert target in targets, target


def test_the_configuration_page_is_the_codes():
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown()
    assert CliRunner().invoke(main, ["schema", "--markdown"]).output == markdown()


def test_the_providers_page_has_every_vendor():
    page = (ROOT / "docs" / "providers.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    known = {
        name: (", ".join(provider.dialects), provider.base_url or "the channel gives it", provider.auth)
        for name, provider in shipped_providers().items()
    }
    assert {row[0]: row[1:] for row in rows} == known


def test_every_directive_of_echo_is_on_the_providers_page():
    echo = (ROOT / "plugins" / "providers" / "echo.py").read_text()
    page = (ROOT / "docs" / "providers.md").read_text()
    for directive in re.findall(r"\[\[(\w+)", echo.split('"""')[1]):
        assert f"[[{directive}" in page, directive


def test_every_error_code_is_on_its_page():
    page = (ROOT / "docs" / "headers-and-errors.md").read_text()
    sources = [path.read_text() for path in (ROOT / "gateway").rglob("*.py")]
    codes = {code for text in sources for code in re.findall(r'\bcode="([a-z_]+)"', text)}
    assert codes
    assert not {code for code in codes if f"`{code}`" not in page}


def test_the_shipped_configuration_shows_every_key():
    text = (ROOT / "conf" / "gateway.yaml").read_text()
    keys = re.findall(r"^\| `(\w+)` \|", markdown(), re.MULTILINE)
    assert not [key for key in keys if not re.search(rf"[\s#{{]{key}:", text)]


def test_the_wsgi_file_serves_the_shipped_configuration():
    code = "import wsgi; print(wsgi.app.test_client().get('/').status_code)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "200", done.stderr


def test_the_index_of_the_documents_has_every_page_once():
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text())
    assert sorted(listed) == sorted(pages)


def test_the_readmes_figures_are_those_of_the_benchmarks():
    section = (ROOT / "README.md").read_text().partition("## How fast")[2].partition("\n## ")[0]
    figures = re.findall(r"\d[\d,.]*\d %?|\d+ %", "\n".join(line for line in section.splitlines() if "|" in line))
    measured = (ROOT / "benchmarks" / "README.md").read_text()
    assert len(figures) >= 15
    assert not [figure for figure in figures if figure.strip() not in measured]


def test_the_readme_counts_the_vendors_right():
    (said,) = re.findall(r"\| vendors \| (\d+),", (ROOT / "README.md").read_text())
    assert int(said) == len(shipped_providers())
