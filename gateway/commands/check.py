"""``gateway check``"""

import contextlib
import difflib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option, found_config
from gateway.domain import Channel
from gateway.live_check.asking import Wish
from gateway.live_check.findings import FAILED, Findings
from gateway.live_check.running import checks_of, run
from gateway.live_check.table import remarks, summary, table, untried
from gateway.live_check.tiny_calls import FEWEST_TOKENS
from gateway.loading import Gateway, load


@dataclass(frozen=True, slots=True)
class _Trial:
    """What --live tries, as the options say it."""

    names: tuple[str, ...]
    every_key: bool
    model: str
    whole: bool
    tokens: int
    timeout: float
    jobs: int


@click.command("check")
@config_option
@click.option("--live", is_flag=True, help="Try each enabled channel, by one tiny streamed call.")
@click.option("--channel", "names", multiple=True, metavar="NAME", help="Only this one, even if disabled; may recur.")
@click.option("--keys", "every_key", is_flag=True, help="Each key of a channel, not only its first.")
@click.option("--model", default="", help="The model to try where it is served; else each channel's first.")
@click.option("--whole", is_flag=True, help="Try a call that is not streamed, too.")
@click.option("--max-tokens", "tokens", default=FEWEST_TOKENS, show_default=True, type=click.IntRange(FEWEST_TOKENS),
              help="Most that a call may be answered with; models that think may want more.")  # fmt: skip
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for each check.")
@click.option("--jobs", default=8, show_default=True, type=click.IntRange(1, 256), help="How many at once.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@click.pass_context
def command(ctx: click.Context, config: Path | None, live: bool, as_json: bool, **trial: Any) -> None:
    """Check a configuration: every complaint at once, with file and line. Exit code 2 if any.

    With --live, then try the channels for real: DNS, proxy, TLS, key, model, stream, usage. Exit code 1
    if one fails. It costs one tiny call a channel (with --keys, a key), two with --whole.

    Example: gateway check --config conf/gateway.yaml

    Example: gateway check --live --channel openai-main
    """
    if not live:
        _refuse_without_live(ctx)
    path = found_config(config)
    gateway = load(path)
    for warning in gateway.warnings:
        click.echo(f"warning: {warning}", err=True)
    if not live:
        channels, keys = len(gateway.channels), len(gateway.settings.keys)
        click.echo(f"{path}: good ({channels} channel{'s' * (channels != 1)}, {keys} client key{'s' * (keys != 1)})")
        return
    checks = _tried(gateway, _Trial(**trial))
    failed = any(check.state == FAILED for check in checks)
    if as_json:
        document = {"config": str(path), "ok": not failed, "checks": [check.document() for check in checks]}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo("\n".join([*table(checks), "", *remarks(checks), summary(checks), *untried(checks)]))
    ctx.exit(1 if failed else 0)


def _refuse_without_live(ctx: click.Context) -> None:
    for option in ctx.command.params:
        given = ctx.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and option.name not in ("config", "live"):
            raise click.UsageError(f"{option.opts[0]} goes with --live")


def _chosen(gateway: Gateway, names: tuple[str, ...]) -> list[Channel]:
    known = {channel.name: channel for channel in gateway.channels}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f", did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known)}"
            raise click.BadParameter(f"no channel is called {name!r}{hint}", param_hint="--channel")
    return [channel for channel in gateway.channels if not names or channel.name in names]


def _tried(gateway: Gateway, trial: _Trial) -> list[Findings]:
    """What was found, also of channels that are disabled: nothing, unless they were named."""
    checks = checks_of(_chosen(gateway, trial.names), trial.every_key)
    wanted = [check for check in checks if trial.names or check.channel.settings.enabled]
    wish = Wish(trial.model, trial.timeout, trial.whole, trial.tokens)
    with _progress(len(wanted)) as step:
        for _ in run(gateway, wanted, wish, trial.jobs):
            step()
    gateway.transport.close()
    return checks


@contextlib.contextmanager
def _progress(length: int) -> Iterator:
    """A bar on stderr for people; nothing for logs and pipes."""
    if not length or not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, label="Trying the channels", file=sys.stderr) as bar:
        yield lambda: bar.update(1)
