"""A configuration file becomes a Gateway: everything that calls need, and nothing that changes.

Loading is all or nothing: every complaint at once, or a Gateway. Calls keep the one they began
with, so a reload is the exchange of one reference.
"""

import difflib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import read_settings
from gateway.config.checker import Checker
from gateway.config.document import Complaints, read_document, read_text
from gateway.config.settings import ChannelSettings, ProviderSettings, Settings
from gateway.domain import Channel, Provider
from gateway.errors import ConfigError, PluginError
from gateway.pages import Page, collect_pages
from gateway.plugin_manager import SHIPPED, Plugin, Plugins, Source, ask, find_plugins, load_plugin
from gateway.routing import Router
from gateway.transport import Transport

log = logging.getLogger("gateway.loading")

_VENDORS = SHIPPED / "providers" / "vendors.yaml"
# Built into the road as plugins: used whenever the section of the settings that needs them is there.
_IMPLIED = {"keys": "client_keys"}
# Plugins of later versions. Naming one is no mistake: it warns, and has no effect yet.
_PLANNED = frozenset("audit cache dashboard inject ledger limits metrics redact residency webhook".split())


@dataclass(frozen=True, slots=True)
class Gateway:
    """One loaded configuration."""

    path: Path
    text: str  # what the file said
    settings: Settings
    channels: tuple[Channel, ...]
    plugins: Plugins
    provider_plugins: dict[str, Plugin]  # provider's name -> the plugin that registered it
    router: Router
    transport: Transport
    warnings: tuple[str, ...]
    pages: dict[str, Page]


def load(path: Path, text: str | None = None) -> Gateway:
    """Read and check everything; *text* stands in for what the file says. Raises ConfigError with
    all complaints."""
    text = read_text(path) if text is None else text
    settings, complaints = read_settings(path, text)
    plugins_dir = path.parent / settings.plugins_dir if settings.plugins_dir else None
    sources = find_plugins(plugins_dir)
    plugins = Plugins()
    for name, use in _used(settings).items():
        source = sources.get(name)
        if source is None and name in _PLANNED:
            complaints.warn(use.line, f"plugins.{name}", "understood, but without effect in this version")
        elif source is None:
            complaints.add(use.line if use else 1, "plugins", f"unknown plugin {name!r}{_near(name, sources)}")
        else:
            plugins.gateway.append(load_plugin(source, use.options if use else None, complaints))
    known, owners = _providers(settings, sources, plugins, complaints)
    channels = tuple(_channel(channel, known, complaints) for channel in settings.channels if channel)
    for plugin in plugins.on("check_config"):
        _check_by(plugin, settings, complaints)
    complaints.raise_any()
    router = Router(channels, settings.routes)
    pages = collect_pages(plugins.on("register_pages"))
    warnings = tuple(complaints.warnings)
    return Gateway(path, text, settings, channels, plugins, owners, router, Transport(), warnings, pages)


def _check_by(plugin: Plugin, settings: Settings, complaints: Complaints) -> None:
    path = f"plugins.{plugin.source.name}"
    try:
        found = ask(plugin, "check_config", config=settings) or ()
    except PluginError as error:
        raise ConfigError([str(error)]) from None
    for complaint in found:
        line, said = (1, complaint) if isinstance(complaint, str) else complaint
        complaints.add(line, path, said)


def _used(settings: Settings) -> dict[str, Any]:
    used: dict[str, Any] = {name: None for section, name in _IMPLIED.items() if getattr(settings, section)}
    return used | {use.name: use for use in settings.plugins if use}


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f", did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"


def _providers(
    settings: Settings, sources: dict[str, Source], plugins: Plugins, complaints: Complaints
) -> tuple[dict[str, Provider], dict[str, Plugin]]:
    """Every provider that a channel may name, and the plugins behind those that have one."""
    known = shipped_providers()
    for name, declared in settings.providers.items():
        if declared is not None:
            known[name] = _declared(name, declared)
    owners: dict[str, Plugin] = {}
    wanted = {channel.provider for channel in settings.channels if channel}
    loaded = {plugin.source.name for plugin in plugins.gateway}
    for name in sorted(wanted & set(sources) - loaded):
        if name not in settings.providers:
            plugins.providers.append(load_plugin(sources[name], None, complaints))
    for plugin in [*plugins.gateway, *plugins.providers]:
        if "register_providers" in plugin.hooks:
            _register(plugin, known, owners, set(settings.providers))
    return known, owners


def _register(plugin: Plugin, known: dict[str, Provider], owners: dict[str, Plugin], taken: set[str]) -> None:
    def register(provider: Provider) -> None:
        owner = owners.get(provider.name)
        if provider.name in known:  # a vendor's traffic and keys are not taken over by a slip
            declared = "`providers:` in the configuration" if provider.name in taken else str(_VENDORS)
            other = owner.source.origin if owner else declared
            text = f"two providers are called {provider.name!r}: {other} and {plugin.source.origin}"
            raise ConfigError([text])
        known[provider.name] = provider
        owners[provider.name] = plugin

    try:
        plugin.hooks["register_providers"](register=register)
    except ConfigError:
        raise
    except Exception as error:
        log.exception("plugin %s failed in register_providers", plugin.source.name)
        raise ConfigError([f"plugin {plugin.source.name!r} failed in register_providers: {error!r}"]) from None


def shipped_providers() -> dict[str, Provider]:
    """The vendors that are data only (plugins/providers/vendors.yaml)."""
    complaints = Complaints(str(_VENDORS))
    declared = Checker(complaints).read(dict[str, ProviderSettings], read_document(read_text(_VENDORS), {}, complaints))
    complaints.raise_any()
    return {name: _declared(name, settings) for name, settings in declared.items()}


def _declared(name: str, settings: ProviderSettings) -> Provider:
    return Provider(
        name=name,
        dialects=settings.dialects or {},
        base_url=settings.base_url or "",
        auth=settings.auth or "bearer",
        dialect_auth=settings.dialect_auth,
        operations=frozenset(settings.operations),
        headers=settings.headers,
        traits=frozenset(settings.traits),
    )


def _channel(settings: ChannelSettings, known: dict[str, Provider], complaints: Complaints) -> Any:
    path = f"channels.{settings.name}"
    provider = known.get(settings.provider)
    if settings.provider is None:  # complained of already
        return None
    if provider is None:
        near = _near(str(settings.provider), known)
        complaints.add(settings.line, f"{path}.provider", f"unknown provider {settings.provider!r}{near}")
        return None
    base_url = settings.base_url or provider.base_url
    if not base_url and provider.respond is None:
        complaints.add(settings.line, path, f"key 'base_url' is missing (provider {provider.name!r} has none)")
    keys = (settings.key,) if settings.key else tuple(key for key in settings.keys if key)
    auth = settings.auth or provider.auth
    if not keys and auth != "none" and provider.respond is None:
        complaints.add(settings.line, path, "key 'key' is missing (or 'auth: none')")
    return Channel(settings.name, provider, base_url or "http://in-process", keys, settings.models, settings)
