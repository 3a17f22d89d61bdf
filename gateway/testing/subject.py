"""What is under check: a plugin's file or name, a shipped vendor, or one that a configuration declares."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway import json_text
from gateway.config.document import Complaints, read_document, read_text
from gateway.config.kinds import AnyJson
from gateway.errors import ConfigError
from gateway.loading import load, shipped_providers
from gateway.plugin_manager import SHIPPED, Plugin, find_plugins

# Of the operator's configuration: the checks have channels of their own, and ask without a key.
_NOT_TAKEN = frozenset(
    "channels routes routing health keys teams plugins watch state trusted_proxies certificate_proxies".split()
)


@dataclass(slots=True)
class Subject:
    """``plugin`` is its name (empty for a vendor without code); ``providers`` those to check, by name;
    ``addresses`` what they say of where they are, if they say it themselves;
    ``given`` is the part of a configuration that it needs; ``channels`` the operator's own channels,
    by provider: their options and keys are used."""

    name: str
    plugin: str = ""
    origin: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    providers: list[str] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    loaded: Plugin | None = None


def subject(target: str, folder: Path, config: Path | None = None, provider: str = "") -> Subject:
    """*target* is a path or a name (empty: *provider* of *config*); *folder* is a place to write in.

    Raises ConfigError when there is no such thing or it cannot be loaded.
    """
    document = _document(config)
    given = {name: value for name, value in document.items() if name not in _NOT_TAKEN and value}
    if config is not None and "plugins_dir" in given:
        given["plugins_dir"] = str((config.parent / given["plugins_dir"]).resolve())
    channels = {channel.get("provider"): channel for channel in document.get("channels") or []}
    name = target or provider
    if target.endswith(".py"):
        name = _placed(Path(target), folder, given)
    found = Subject(name, given=given, channels=channels, providers=[provider] if provider else [])
    declared, shipped = document.get("providers") or {}, {} if target.endswith(".py") else shipped_providers()
    if name in declared or name in shipped:
        given.pop("store", None)
        found.origin = str(config) if name in declared else str(SHIPPED / "providers" / "vendors.yaml")
        found.addresses[name] = declared[name].get("base_url", "") if name in declared else shipped[name].base_url
        found.providers = [name]
        return found
    given["plugins"] = [use for use in document.get("plugins") or [] if _name_of(use) == name] or [name]
    return _with_plugin(found, folder)


def _document(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    complaints = Complaints(str(config))
    document = AnyJson.read(read_document(read_text(config), os.environ, complaints))
    complaints.raise_any()
    return document if isinstance(document, dict) else {}


def _placed(path: Path, folder: Path, given: dict[str, Any]) -> str:
    """The name of the plugin of that file, which is put where nothing else is."""
    if not path.is_file():
        raise ConfigError([f"{path}: no such file"])
    if SHIPPED.resolve() not in path.resolve().parents:
        plugins = folder / "plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / path.name).symlink_to(path.resolve())
        given["plugins_dir"] = str(plugins)
    return path.stem


def _with_plugin(found: Subject, folder: Path) -> Subject:
    plugins_dir = found.given.get("plugins_dir")
    known = find_plugins(Path(plugins_dir) if plugins_dir else None)
    if found.name not in known:
        raise ConfigError([f"there is no plugin or provider {found.name!r}; there are: {', '.join(sorted(known))}"])
    found.plugin = found.name
    path = folder / "loads.yaml"
    gateway = load(path, as_text(found.given | {"channels": [{"name": "idle", "provider": "echo"}]}))
    found.loaded = next(p for p in _all(gateway) if p.source.name == found.name)
    found.origin = found.loaded.source.origin
    if "register_providers" in found.loaded.hooks:
        brought: list[Any] = []
        found.loaded.hooks["register_providers"](register=brought.append)
        found.addresses = {provider.name: provider.base_url for provider in brought}
        found.providers = found.providers or list(found.addresses)
        found.given.pop("store", None)  # a policy may need it; here it would only ask for client keys
    return found


def _all(gateway: Any) -> list[Plugin]:
    return [*gateway.plugins.gateway, *gateway.plugins.providers]


def _name_of(use: Any) -> str:
    return next(iter(use)) if isinstance(use, dict) else str(use)


def as_text(document: dict[str, Any]) -> str:
    """A configuration's text (JSON is YAML). What the environment has filled in is not filled in again."""
    return json_text.write(document).decode().replace("${", "$${")
