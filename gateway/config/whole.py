"""What can only be checked with several keys in view."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from gateway.config.document import Complaints
from gateway.config.settings import ChannelSettings, KeySettings, Settings


def check_whole(settings: Settings, complaints: Complaints) -> None:
    """Names that come twice, keys given twice or not at all, files that are not there."""
    channels = [channel for channel in settings.channels if channel is not None]
    keys = [key for key in settings.keys if key is not None]
    _unique(((channel.name, channel.line) for channel in channels), "channel", complaints)
    _unique(((key.name, key.line) for key in keys), "key", complaints)
    _unique(((use.name, use.line) for use in settings.plugins if use), "plugin", complaints)
    if not channels and not complaints.lines:
        complaints.add(1, "channels", "at least one channel is needed")
    for channel in channels:
        _check_channel(channel, complaints)
    for key in keys:
        _check_key(key, complaints)
    _check_routes(settings, channels, complaints)


def _unique(named: Iterable[tuple[str, int]], what: str, complaints: Complaints) -> None:
    lines: dict[str, int] = {}
    for name, line in named:
        if name in lines:
            complaints.add(line, f"{what}s", f"{what} {name!r} stands in line {lines[name]} already")
        lines.setdefault(name, line)


def _check_channel(channel: ChannelSettings, complaints: Complaints) -> None:
    path = f"channels.{channel.name}"
    if channel.key and channel.keys:
        complaints.add(channel.line, path, "give either 'key' or 'keys', not both")
    if channel.name and not (channel.name.isascii() and channel.name.isprintable() and "/" not in channel.name):
        complaints.add(channel.line, path, "expected a name of printable ASCII without '/' (it travels in a header)")
    _check_fetch(channel, f"{path}.fetch", complaints)
    for member in ("ca", "cert", "key"):
        file = getattr(channel.tls, member, None)
        if file and not Path(file).is_file():
            complaints.add(channel.line, f"{path}.tls.{member}", f"no such file: {file!r}")
    pointers = [*(channel.body.set if channel.body else ()), *(channel.body.unset if channel.body else ())]
    for pointer in pointers:
        if not str(pointer).startswith("/"):
            complaints.add(channel.line, f"{path}.body", f"expected a JSON Pointer such as '/user', found {pointer!r}")


def _check_fetch(channel: ChannelSettings, path: str, complaints: Complaints) -> None:
    if channel.fetch and channel.proxy:
        complaints.add(channel.line, path, "nothing is fetched for a channel behind a proxy")
    elif channel.fetch and channel.fetch.everywhere:
        complaints.warn(channel.line, path, "media is fetched from any public host that a client names; list the hosts")


def _check_key(key: KeySettings, complaints: Complaints) -> None:
    ways = bool(key.key) + bool(key.sha256)
    if ways > 1 or not (ways or key.certificates):
        complaints.add(key.line, f"keys.{key.name or '?'}", "give either 'key' or 'sha256', or 'certificates'")


def _check_routes(settings: Settings, channels: list[ChannelSettings], complaints: Complaints) -> None:
    names = {channel.name for channel in channels if channel.name}
    for public, entries in settings.routes.items():
        for entry in entries or ():
            channel, slash, model = entry.partition("/")
            if not slash or not model:
                complaints.add(entries.line, f"routes.{public}", f"expected channel/model, found {entry!r}")
            elif channel not in names:
                near = difflib.get_close_matches(channel, names, 1, 0.6)
                hint = f", did you mean {near[0]!r}?" if near else ""
                complaints.add(entries.line, f"routes.{public}", f"unknown channel {channel!r}{hint}")
