"""``gateway audit``"""

from pathlib import Path

import click

from gateway.policies import ChainBroken, verify_files

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("audit")
def command() -> None:
    """Check what the plugin `audit` wrote.

    Example: gateway audit verify var/audit.jsonl*
    """


@command.command("verify")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=_FILE)
@click.option("--key-file", type=_FILE, help="Holds the key of the chain, if it has one.")
@click.option("--passes", default="", metavar="HASH", help="A hash noted earlier, which the chain must hold.")
def verify(files: tuple[Path, ...], key_file: Path | None, passes: str) -> None:
    """Check that nothing was changed, taken out or put in. Give all files of the chain, in any order; lock files
    among them are left out. Ends with 1 when the chain is broken.

    Example: gateway audit verify var/audit.jsonl*
    """
    key = key_file.read_text(encoding="utf-8").strip().encode() if key_file is not None else b""
    try:
        found = verify_files([file for file in files if file.suffix != ".lock"], key, passes.lower())
    except ChainBroken as error:
        click.echo(f"broken: {error}", err=True)
        raise SystemExit(1) from None
    begins = "from its beginning" if not found.first.strip("0") else f"after {found.first}"
    click.echo(f"unbroken: {found.lines} lines {begins}, last {found.last}")
