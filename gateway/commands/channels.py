"""``gateway channels``"""

import difflib
import json
import re
import time
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option, found_config
from gateway.domain import Channel
from gateway.errors import GatewayError
from gateway.health import resting_name
from gateway.loading import Gateway, load
from gateway.room import claims_on
from gateway.state import Level, Slots

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Span(click.ParamType):
    """``90``, ``90s``, ``15m``, ``2h``, ``1d``: seconds."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if not found:
            self.fail(f"{value!r} is no time such as 90s, 15m or 2h", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


@click.group("channels", invoke_without_command=True)
@config_option
@click.option("--json", "as_json", is_flag=True, help="As a JSON document.")
@click.pass_context
def command(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Show how the channels are, as the running workers see it; rest or wake one.

    Example: gateway channels

    Example: gateway channels rest openai-main --for 15m --because "invoice unpaid"
    """
    ctx.obj = gateway = _running(config)
    if ctx.invoked_subcommand is None:
        documents = [_document(gateway, channel) for channel in gateway.channels]
        click.echo(json.dumps(documents, indent=2) if as_json else "\n".join(_lines(documents)))


@command.command("rest")
@click.argument("name")
@click.option("--for", "seconds", type=Span(), default="1h", show_default=True, help="How long: 90s, 15m, 2h, 1d.")
@click.option("--because", "said", default="", help="Shown to whoever asks.")
@click.option("--key", "position", type=int, help="Only this key of the channel, by its number (from 0).")
@click.pass_obj
def _rest(gateway: Gateway, name: str, seconds: float, said: str, position: int | None) -> None:
    """Leave a channel alone for a time. Calls under way on it go on."""
    named = _named(gateway, name, position)
    gateway.services.health.put_to_rest(named, seconds, said or "told to")
    _posted(gateway, named)
    click.echo(f"{_shown(name, position)} rests for {seconds:.0f} s")


@command.command("wake")
@click.argument("name")
@click.option("--key", "position", type=int, help="Only this key of the channel; else all of it.")
@click.pass_obj
def _wake(gateway: Gateway, name: str, position: int | None) -> None:
    """Forget whatever stands against a channel: it is tried again at once."""
    if position is None:
        channel = _channel(gateway, name)
        for each in [name, *(resting_name(name, key) for key in channel.keys)]:
            gateway.services.health.wake(each)
    else:
        gateway.services.health.wake(_named(gateway, name, position))
    click.echo(f"{_shown(name, position)} is awake")


def _running(config: Path | None) -> Gateway:
    """The configuration, with a view of what its running workers share."""
    gateway = load(found_config(config))
    gateway.services.shared = True
    try:
        gateway.services.health.look()
    except GatewayError as error:
        raise click.ClickException(str(error)) from None
    return gateway


def _posted(gateway: Gateway, named: str) -> None:
    """The workers must have been told, not this process alone."""
    gateway.services.health.look()
    if gateway.services.health.rest(named) is None:
        raise click.ClickException("the shared state did not take the notice")


def _channel(gateway: Gateway, name: str) -> Channel:
    known = {channel.name: channel for channel in gateway.channels}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.6)
        hint = f", did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known)}"
        raise click.BadParameter(f"no channel is called {name!r}{hint}", param_hint="NAME")
    return known[name]


def _named(gateway: Gateway, name: str, position: int | None) -> str:
    channel = _channel(gateway, name)
    if position is None:
        return name
    if not 0 <= position < len(channel.keys):
        raise click.BadParameter(f"{name!r} has keys 0 to {len(channel.keys) - 1}", param_hint="--key")
    return resting_name(name, channel.keys[position])


def _shown(name: str, position: int | None) -> str:
    return name if position is None else f"key {position} of {name}"


def _document(gateway: Gateway, channel: Channel) -> dict[str, Any]:
    return {
        "channel": channel.name,
        "provider": channel.provider.name,
        "enabled": channel.settings.enabled,
        "priority": channel.settings.priority,
        "weight": channel.settings.weight,
        **_standing(gateway, channel.name),
        "levels": _levels(gateway, channel.name, channel.settings.limits),
        "keys": [
            {
                "key": position,
                **_standing(gateway, resting_name(channel.name, key)),
                "levels": _levels(gateway, resting_name(channel.name, key), channel.settings.key_limits),
            }
            for position, key in enumerate(channel.keys)
        ],
    }


def _standing(gateway: Gateway, name: str) -> dict[str, Any]:
    health = gateway.services.health
    notice = health.notice(name)
    if notice is None:
        return {"state": "awake"}
    left = health.left(name)
    state = "resting" if left else "to be probed" if notice.until else "awake"
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(notice.until)) if notice.until else None
    return {"state": state, "why": notice.why, "said": notice.said, "failures": notice.failures,
            "until": until, "left": round(left, 1)}  # fmt: skip


def _levels(gateway: Gateway, name: str, limits: Any) -> dict[str, str]:
    claims = claims_on(name, limits, 0)
    if not claims:
        return {}
    levels: list[Level] = gateway.services.state.levels(claims)
    kinds = ["concurrency" if isinstance(each.claim, Slots) else each.claim.name.rpartition(":")[2] for each in levels]
    return {kind: f"{each.used}/{each.claim.most}" for kind, each in zip(kinds, levels, strict=True)}


def _lines(documents: list[dict[str, Any]]) -> list[str]:
    lines = []
    for document in documents:
        share = f"priority {document['priority']}, weight {document['weight']}"
        standing = _words(document) if document["enabled"] else "disabled"
        lines.append(f"{document['channel']}  {document['provider']}  {share}  {standing}")
        if len(document["keys"]) > 1 or any(key["state"] != "awake" or key["levels"] for key in document["keys"]):
            lines += [f"    key {key['key']}  {_words(key)}" for key in document["keys"]]
    return lines


def _words(document: dict[str, Any]) -> str:
    words = document["state"]
    if document.get("left"):
        words += f" for {document['left']:.0f} s"
    if document.get("why"):
        words += f": {document['why']}, {document['said']}, {document['failures']} in a row"
    levels = ", ".join(f"{kind} {level}" for kind, level in document["levels"].items())
    return f"{words}  {levels}".rstrip()
