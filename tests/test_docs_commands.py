"""Commands of the gateway in the documents: there they are, with those options."""

import re
import shlex
from pathlib import Path

import click
import pytest

from gateway.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES.remove(ROOT / "docs" / "design.md")  # it is also what is built towards
CALL = re.compile(r"(?:^\$ |^|`|\| |&& )(?:[A-Z_]+=\S+ )*gateway ([a-z][^`|\n]*)", re.MULTILINE)


def calls():
    """Each ``gateway ...`` in the documents, once a page."""
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text())
        fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        code = [block for language, block in fenced if language in ("sh", "console", "")]
        code += [f"`{words}`" for words in re.findall(r"`(gateway [^`\n]+)`", text)]
        for words in dict.fromkeys(words for each in code for words in CALL.findall(each)):
            yield pytest.param(words.partition("#")[0].partition(">")[0].strip(), id=f"{page.stem}: {words[:40]}")


@pytest.mark.parametrize("words", list(calls()))
def test_a_command_takes_its_options(words):
    command, names = main, shlex.split(words.partition("...")[0])
    while isinstance(command, click.Group) and names and not names[0].startswith("-"):
        known = command.get_command(click.Context(command), names[0].split("|")[0])
        assert known is not None, f"gateway has no {names[0]}"
        command, names = known, names[1:]
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    for name in names:
        if name.startswith("-") and name != "-":
            assert name.strip("[]").partition("=")[0] in options, f"gateway {words}: no option {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_typed_stands_in_a_block_that_is_looked_at(page):
    assert not re.search(r"^```(?!console\n)\w*\n\$ ", page.read_text(), re.MULTILINE)
