"""``gateway keys``"""

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from gateway.commands import config_option
from gateway.commands.stored import (
    Configured,
    Ending,
    Mapping,
    Span,
    check_name,
    check_team,
    json_option,
    opened,
    show_document,
    shown,
)
from gateway.store import clock
from gateway.store.importing import import_keys
from gateway.store.key_files import read_csv, read_yaml
from gateway.store.keys import COLUMNS, StoredKey, Wanted, digest_of, new_secret, prefix_of

_UNSETTABLE = ("owner", "team", "models", "tags", "allow_ips", "expires", "limits", "budget", "note")


def rights_options(command: Any) -> Any:
    """What may be said of a key when it is made, and later."""
    for option in reversed([
        click.option("--owner", help="Whose it is, for reports."),
        click.option("--team", help="Whose limits and budget it shares."),
        click.option("--model", "models", multiple=True, help="A model it may use, name or glob; may come again."),
        click.option("--tag", "tags", multiple=True, help="Only channels with this tag serve it; may come again."),
        click.option("--allow-ip", "allow_ips", multiple=True, help="An address or network it may come from."),
        click.option("--expires", type=Ending(), help="When it ends: 2027-01-01, or 90d from now."),
        click.option("--limits", type=Mapping(), help="As in gateway.yaml: '{rpm: 60, concurrency: 4}'."),
        click.option("--budget", type=Mapping(), help="As in gateway.yaml: '{usd: 50, per: month}'."),
        click.option("--show-route/--hide-route", default=None, help="Name the attempts in its replies."),
        click.option("--show-timing/--hide-timing", default=None, help="Say where the time of its calls went."),
        click.option("--may-choose/--may-not-choose", default=None, help="Whether it may choose channels."),
        click.option("--note", help="Whatever should be remembered of it."),
    ]):  # fmt: skip
        command = option(command)
    return command


@click.group("keys")
def command() -> None:
    """Make, change and revoke client keys in the store; what is done holds within a second.

    Example: gateway keys create alice --team search --limits '{rpm: 60}'
    """


@command.command("create")
@config_option
@click.argument("name")
@rights_options
@json_option
def create(config: Path | None, name: str, as_json: bool, **given: Any) -> None:
    """Make a key and print its secret: this once, it is stored hashed.

    Example: gateway keys create alice --model 'gpt-*' --expires 90d
    """
    with opened(config) as configured:
        _check_free(configured, name)
        members = _members(given)
        check_team(configured, members.get("team", ""))
        secret = new_secret()
        columns = {member: members.pop(member) for member in COLUMNS if member in members}
        configured.store.keys.create(Wanted(name, digest_of(secret), prefix_of(secret), document=members, **columns))
        _show_secret(configured, name, secret, as_json, "This is its secret. It is shown this once only.")


@command.command("list")
@config_option
@click.option("--team", default="", help="Only those of this team.")
@click.option("--owner", default="", help="Only those of this owner.")
@click.option("--all", "revoked", is_flag=True, help="Revoked ones, too.")
@json_option
def list_keys(config: Path | None, team: str, owner: str, revoked: bool, as_json: bool) -> None:
    """List the keys of the store: name, beginning of the secret, state, owner, team, end, last use.

    Example: gateway keys list --team search
    """
    with opened(config) as configured:
        found = configured.store.keys.each(team=team, owner=owner, revoked=revoked)
        if as_json:
            click.echo(json.dumps([_document(key) for key in found], indent=2))
            return
        for line in _lines(found):
            click.echo(line)


@command.command("show")
@config_option
@click.argument("name")
@json_option
def show(config: Path | None, name: str, as_json: bool) -> None:
    """Show everything about a key but its secret.

    Example: gateway keys show alice
    """
    with opened(config) as configured:
        show_document(_document(_existing(configured, name)), as_json)


@command.command("set")
@config_option
@click.argument("name")
@rights_options
@click.option("--unset", multiple=True, type=click.Choice(_UNSETTABLE), help="Take this away; may come again.")
def set_key(config: Path | None, name: str, unset: tuple[str, ...], **given: Any) -> None:
    """Change what a key may do; what is not named stays.

    Example: gateway keys set alice --limits '{rpm: 120}' --unset expires
    """
    with opened(config) as configured:
        members = {**_members(given), **dict.fromkeys(unset)}
        if not members:
            raise click.UsageError("say what to change; see `gateway keys set --help`")
        check_team(configured, members.get("team") or "")
        configured.store.keys.change(name, members)
        click.echo(f"{name}: changed")


@command.command("revoke")
@config_option
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def revoke(config: Path | None, names: tuple[str, ...]) -> None:
    """End keys for ever: no call that comes a second later succeeds. Streams under way go on.

    Example: gateway keys revoke alice
    """
    with opened(config) as configured:
        for name in names:
            ended = configured.store.keys.revoke(name)
            click.echo(f"{name}: {'revoked' if ended else 'was revoked already'}")


@command.command("rotate")
@config_option
@click.argument("name")
@click.option("--overlap", type=Span(), default="0s", show_default=True, help="How long the old secret stays valid.")
@json_option
def rotate(config: Path | None, name: str, overlap: timedelta, as_json: bool) -> None:
    """Give a key another secret and print it, this once. The old one ends at once, or after --overlap.

    Example: gateway keys rotate alice --overlap 24h
    """
    with opened(config) as configured:
        secret = new_secret()
        micros = overlap // timedelta(microseconds=1)
        ends = configured.store.keys.rotate(name, digest_of(secret), prefix_of(secret), micros)
        old = f"The old one is valid until {shown(ends)}." if micros else "The old one has ended."
        _show_secret(configured, name, secret, as_json, f"This is its new secret. It is shown this once only. {old}")


@command.command("import")
@config_option
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--format", "form", type=click.Choice(["yaml", "csv"]), help="If the file's name does not say it.")
@json_option
def import_file(config: Path | None, file: Path, form: str | None, as_json: bool) -> None:
    """Take keys from a file (- is standard input): YAML as in `keys:`, or CSV with headings. All of it
    is checked before the first key is written.

    The same file may come again, also to finish what broke off: keys that are there are brought to what
    it says. Revoked ones stay revoked.

    Example: gateway keys import keys.csv
    """
    with opened(config) as configured, click.open_file(str(file), encoding="utf-8-sig") as text:
        as_csv = (form or file.suffix.lstrip(".")) == "csv"
        found = read_csv(text, str(file)) if as_csv else read_yaml(text.read(), os.environ, str(file))
        for _, wanted in found:
            _check_free(configured, wanted.name, wanted.digest)
        for team in sorted({wanted.team for _, wanted in found}):
            check_team(configured, team)
        done = import_keys(configured.store, found)
        counts = {name: getattr(done, name) for name in ("created", "changed", "unchanged", "revoked")}
        click.echo(json.dumps(counts) if as_json else ", ".join(f"{count} {name}" for name, count in counts.items()))


def _check_free(configured: Configured, name: str, digest: str = "") -> None:
    """A key may move from the configuration into the store: it is in both for a while, with one secret."""
    check_name(name)
    declared = next((key for key in configured.settings.keys if key and key.name == name), None)
    if declared and digest != (declared.sha256 or (declared.key and digest_of(declared.key.reveal()))):
        raise click.UsageError(f"`keys:` of the configuration has a key {name!r} already")


def _existing(configured: Configured, name: str) -> StoredKey:
    key = configured.store.keys.get(name)
    if key is None:
        raise click.UsageError(f"there is no key {name!r} in the store")
    return key


def _members(given: dict[str, Any]) -> dict[str, Any]:
    """Options that were given, as the store takes them."""
    members = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    if isinstance(members["expires"], datetime):
        members["expires"] = clock.micros(members["expires"])
    return {name: value for name, value in members.items() if value not in (None, [])}


def _show_secret(configured: Configured, name: str, secret: str, as_json: bool, said: str) -> None:
    if as_json:
        key = _document(_existing(configured, name))
        click.echo(json.dumps({"name": name, "secret": secret} | key, indent=2))
        return
    click.echo(secret)
    click.echo(f"{name}: {said}", err=True)


def _lines(found: Iterator[StoredKey]) -> Iterator[str]:
    now = clock.now()
    for key in found:
        ends, used = shown(key.expires) or "never", _day(key.last_used) or "never"
        prefix = key.secrets[0].prefix or "-"
        state = key.state(now)
        yield f"{key.name}  {prefix}  {state}  {key.owner or '-'}  {key.team or '-'}  ends {ends}  used {used}"


def _document(key: StoredKey) -> dict[str, Any]:
    now = clock.now()
    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked}
    held = [secret for secret in key.secrets if secret.until is None or secret.until > now]
    return {
        "name": key.name, "state": key.state(now), "owner": key.owner, "team": key.team, "note": key.note,
        **key.document,
        **{name: shown(at) for name, at in times.items()},
        "last_used": _day(key.last_used),
        "secrets": [
            {"prefix": secret.prefix, "created": shown(secret.created), "until": shown(secret.until)} for secret in held
        ],
    }  # fmt: skip


def _day(micros: int | None) -> str | None:
    return micros and shown(micros)[:10]
