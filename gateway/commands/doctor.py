"""``gateway doctor``"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from gateway import outgoing
from gateway.commands import config_option, found_config
from gateway.config import read_settings
from gateway.config.document import read_text
from gateway.doctor import files, installed, keepers, machine
from gateway.doctor.findings import Finding, any_failed, document, failed, ok, skipped, told, warning
from gateway.doctor.processes import Running, running
from gateway.doctor.streaming import Question, check_stream
from gateway.loading import Gateway, load
from gateway.plugin_manager import Source, find_plugins
from gateway.serving import DEFAULT_BIND


def _address(_: Any, __: Any, value: str) -> str:
    parts = urlsplit(value)
    if value and not value.startswith("unix:/") and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise click.BadParameter("expected an address such as https://llm.example.com")
    return value.rstrip("/")


@dataclass(frozen=True, slots=True)
class _Asked:
    """How a stream is to be timed, as the options say it."""

    url: str
    direct: str
    model: str
    key_file: Path | None

    @property
    def key(self) -> str:
        return (self.key_file.read_text("utf-8") if self.key_file else os.environ.get("GATEWAY_KEY", "")).strip()


@click.command("doctor")
@config_option
@click.option("--url", default="", callback=_address, help="Public address: a stream is timed through it.")
@click.option("--direct", default="", callback=_address, help="The gateway's own address, if it is not to be seen.")
@click.option("--model", default="", help="What to ask; not given: a model of a channel of the provider echo.")
@click.option("--key-file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="File of the client key to ask with.  [else: environment variable GATEWAY_KEY]")  # fmt: skip
@click.option("--plugins-lock", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Compare all plugins with the digests in this file, before any is imported.")  # fmt: skip
@click.option("--write-plugins-lock", type=click.Path(path_type=Path), help="Write that file, and do nothing else.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@click.pass_context
def command(
    ctx: click.Context, config: Path | None, plugins_lock: Path | None, write_plugins_lock: Path | None,
    as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Look at the machine as deployed: files, workers, clock, folders, secrets, code, and a timed stream.

    Run it as the gateway's user, where the gateway runs. Every finding says what to do. Exit code 1 if
    a check failed, 2 for a configuration that cannot be used. The stream is asked for with the key in GATEWAY_KEY.

    Example: gateway doctor --url https://llm.example.com
    """
    path = found_config(config)
    sources = _sources(path)
    if write_plugins_lock:
        write_plugins_lock.write_text(installed.written_lock(installed.digests(sources)), encoding="utf-8")
        click.echo(f"{write_plugins_lock}: {len(sources)} plugins")
        return
    findings = _examined(path, sources, plugins_lock)
    if not any(finding.check == "plugins" for finding in findings if finding.state == "failed"):
        gateway, masters = load(path), running(path)
        findings += _deployed(gateway, masters, sources, plugins_lock)
        findings += _streamed(gateway, masters, _Asked(**asked))
    click.echo(json.dumps(document(findings), indent=2) if as_json else "\n".join(told(findings)))
    ctx.exit(1 if any_failed(findings) else 0)


def _sources(path: Path) -> dict[str, Source]:
    """All plugins there are; none is imported."""
    settings, complaints = read_settings(path, read_text(path))
    complaints.raise_any()
    return find_plugins(path.parent / settings.plugins_dir if settings.plugins_dir else None)


def _examined(path: Path, sources: dict[str, Source], lock: Path | None) -> list[Finding]:
    """What is looked at before any plugin is run."""
    found = [installed.check_versions(), *installed.check_pth(installed.site_folders())]
    found += files.check_secrets(path, read_text(path))
    found += files.check_code([path, *installed.plugin_files(sources.values())])
    if lock is not None:
        found += installed.check_plugins(installed.digests(sources), [], lock)
    return found


def _deployed(
    gateway: Gateway, masters: list[Running], sources: dict[str, Source], lock: Path | None
) -> list[Finding]:
    used = [plugin.source.name for plugin in [*gateway.plugins.gateway, *gateway.plugins.providers]]
    plugins = [] if lock else installed.check_plugins(installed.digests(sources), used, None)
    return [
        *machine.check_running(masters),
        machine.check_files(masters),
        machine.check_workers(masters),
        machine.check_clock(),
        *machine.check_certificates(gateway.settings, masters),
        *keepers.check_keepers(gateway),
        *files.check_folders(gateway, masters),
        _egress(gateway),
        *plugins,
    ]


def _egress(gateway: Gateway) -> Finding:
    names = outgoing.open_channels(gateway)
    if names:
        said = f"clients choose whom the gateway connects to: `fetch: any` of {', '.join(names)}"
        return warning("egress", said, "name the hosts there, as a list (docs/corporate-egress.md)")
    return ok("egress", "the gateway connects to what the configuration names, and nowhere else (gateway egress)")


def _streamed(gateway: Gateway, masters: list[Running], asked: _Asked) -> list[Finding]:
    if not asked.url:
        return [skipped("stream", "not tried", "--url https://llm.example.com times one through whatever is in front")]
    paced = _echoing(gateway)
    if not asked.model and not paced:
        remedy = "name one (its tokens cost), or add a channel {name: doctor, provider: echo, models: [doctor]}"
        return [failed("stream", "there is no model of the echo provider to ask", f"--model: {remedy}")]
    question = Question(asked.model or paced[0], asked.key, not asked.model or asked.model in paced)
    return check_stream(asked.url, asked.direct or _own(masters), question)


def _echoing(gateway: Gateway) -> list[str]:
    """Models that only a channel inside the gateway serves: they answer at a known pace."""
    own = [c for c in gateway.channels if c.settings.enabled and c.provider.respond is not None]
    return [public for channel in own for public, _ in channel.models if "*" not in public]


def _own(masters: list[Running]) -> str:
    bind = masters[0].bind if masters else DEFAULT_BIND
    if bind.startswith("unix:"):
        return bind
    host, _, port = bind.rpartition(":")
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0') else '[::1]' if host == '[::]' else host}:{port}"
