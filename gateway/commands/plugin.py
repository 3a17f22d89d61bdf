"""``gateway plugin``"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.errors import ConfigError
from gateway.plugin_template import write_plugin
from gateway.testing.conformance import check as findings_of
from gateway.testing.conformance.findings import FAILED, Finding
from gateway.testing.guard import Guard
from gateway.testing.subject import subject


@click.group("plugin")
def command() -> None:
    """Write plugins of your own, and check them.

    Example: gateway plugin new acme
    """


@command.command("new")
@click.argument("name")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), help="Where; default: here.")
def new(name: str, folder: Path) -> None:
    """Write a package that can be installed: a provider called NAME, its options and its tests.

    Example: gateway plugin new acme
    """
    try:
        written = write_plugin(name, folder)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for path in written:
        click.echo(path)
    root = written[0].parent
    click.echo(f"\nNext: cd {root} && pip install --editable . && pytest && gateway plugin check {name}")


@command.command("check")
@click.argument("target", required=False, default="", metavar="[PATH_OR_NAME]")
@click.option("--config", type=click.Path(path_type=Path), help="A configuration that has its options, or declares it.")
@click.option("--provider", default="", help="A provider that the configuration declares under `providers:`.")
@click.option(
    "--samples", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the vendor's own answers: stream.chat.sse, reply.chat.json, error.chat.json.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
def check(target: str, config: Path | None, provider: str, samples: Path | None, as_json: bool) -> None:
    """Run the conformance suite on a plugin: a .py file, an installed or a shipped one, or a provider without code.

    It is loaded and run here; nothing it does leaves this machine. Exit code 1 if a check failed.

    Example: gateway plugin check ./acme.py
    """
    if not target and not (config and provider):
        raise click.UsageError("name a plugin, or a --config and one of its providers with --provider")
    guard = Guard()
    found: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="gateway-check-") as name, guard:
        folder = Path(name)
        try:
            for finding in findings_of(subject(target, folder, config, provider), folder, guard, samples):
                found.append(finding)
                if not as_json:
                    click.echo(_line(finding))
        except ConfigError as error:
            found.append(Finding("", "loads", FAILED, "; ".join(error.complaints)))
            if not as_json:
                click.echo(_line(found[-1]))
    failed = [finding for finding in found if finding.outcome == FAILED]
    if as_json:
        click.echo(json.dumps(_document(target or provider, found), indent=2))
    else:
        click.echo(f"{len(failed)} failed" if failed else "good")
    if failed:
        click.get_current_context().exit(1)


def _line(finding: Finding) -> str:
    name = f"{finding.provider}: {finding.check}" if finding.provider else finding.check
    return f"{finding.outcome:8} {name:28} {finding.detail}".rstrip()


def _document(target: str, found: list[Finding]) -> dict[str, Any]:
    return {
        "target": target,
        "good": all(finding.outcome != FAILED for finding in found),
        "findings": [asdict(finding) for finding in found],
    }
