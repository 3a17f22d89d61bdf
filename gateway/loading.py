"""A configuration file becomes a Gateway: everything that calls need, and nothing that changes.

Loading is all or nothing: every complaint at once, or a Gateway. Calls keep the one they began
with, so a reload is the exchange of one reference.
"""

import difflib
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from gateway.config import read_settings
from gateway.config.checker import Checker
from gateway.config.document import Complaints, read_document, read_text
from gateway.config.forms import node_of
from gateway.config.kinds import Secret
from gateway.config.settings import BodyEdits, ChannelSettings, ProviderSettings, Settings
from gateway.domain import Channel, Provider
from gateway.errors import ConfigError, PluginError
from gateway.pages import Page, collect_pages
from gateway.plugin_manager import SHIPPED, Plugin, Plugins, Source, ask, find_plugins, load_plugin
from gateway.prices import Prices, read_prices
from gateway.provider_rules import ChannelRules, checks_ok, complaints_of, declares_rules, hooks_of
from gateway.routing.router import Router
from gateway.services import Services
from gateway.templates import fill, names_of
from gateway.transport.egress import origins
from gateway.transport.transport import Transport

log = logging.getLogger("gateway.loading")

_VENDORS = SHIPPED / "providers" / "vendors.yaml"
_DECLARED = "`providers:` in the configuration"
# Built into the road as plugins: used whenever the settings hold what needs them, in this order.
_IMPLIED: dict[str, Callable[[Settings], object]] = {
    "client_keys": lambda settings: settings.keys,
    "stored_keys": lambda settings: settings.store,
    "limits": lambda settings: settings.store or any(_bounded(one) for one in [*settings.keys, *settings.teams]),
    "ledger": lambda settings: settings.store,
}
# Who has to know what each call used; others are told what upstreams happen to say.
_COUNTING = frozenset({"ledger", "limits"})
# Plugins of later versions. Naming one is no mistake: it warns, and has no effect yet.
_PLANNED = frozenset("dashboard".split())


def _bounded(one: Any) -> bool:
    """Whether a key or a team has limits or a budget; a hole in the configuration has none."""
    return bool(one and (one.limits or one.budget))


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
    services: Services

    @property
    def counts(self) -> bool:
        """Whether somebody has to know what each call used."""
        return any(plugin.source.name in _COUNTING for plugin in self.plugins.gateway)


def load(path: Path, text: str | None = None, services: Services | None = None) -> Gateway:
    """Read and check everything; *text* stands in for what the file says. *services* are those of
    the configuration before, which are kept. Raises ConfigError with all complaints."""
    text = read_text(path) if text is None else text
    settings, complaints = read_settings(path, text)
    plugins_dir = path.parent / settings.plugins_dir if settings.plugins_dir else None
    sources = find_plugins(plugins_dir)
    plugins = Plugins()
    for name, use in _used(settings).items():
        source = sources.get(name)
        if source is None and name in _PLANNED:
            complaints.warn(use.line if use else 1, f"plugins.{name}", "understood, but without effect in this version")
        elif source is None:
            complaints.add(use.line if use else 1, "plugins", f"unknown plugin {name!r}{_near(name, sources)}")
        else:
            try:
                plugins.gateway.append(load_plugin(source, use.options if use else None, complaints))
            except ConfigError as error:
                complaints.lines += error.complaints
    known, owners = _providers(settings, sources, plugins, complaints)
    channels = tuple(_channel(channel, known, complaints) for channel in settings.channels if channel)
    for plugin in plugins.on("check_config"):
        _check_by(plugin, settings, complaints)
    prices = _prices(path, settings, complaints)
    complaints.raise_any()
    router = Router(channels, settings.routes)
    pages = collect_pages(plugins.on("register_pages"))
    warnings = tuple(complaints.warnings)
    services = services or Services(path, settings.state_url, settings.store_url)
    services.prices = prices
    return Gateway(path, text, settings, channels, plugins, owners, router, Transport(), warnings, pages, services)


def _prices(path: Path, settings: Settings, complaints: Complaints) -> Prices | None:
    """The shipped prices and the operator's own, which go before them."""
    try:
        return read_prices(path.parent / settings.prices if settings.prices else None)
    except ConfigError as error:
        complaints.lines += error.complaints
        return None


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
    used: dict[str, Any] = {name: None for name, needed in _IMPLIED.items() if needed(settings)}
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
            for complaint in complaints_of(declared):
                complaints.add(declared.line, f"providers.{name}", complaint)
    wanted = {channel.provider for channel in settings.channels if channel and channel.provider}
    owners = _rules_as_plugins({name: known[name] for name in wanted & set(known)}, set(settings.providers))
    # A plugin's file also brings the providers that have its name and a hyphen before their own.
    wanted |= {name.partition("-")[0] for name in wanted - set(known)}
    loaded = {plugin.source.name for plugin in plugins.gateway}
    for name in sorted(wanted & set(sources) - loaded):
        if name not in settings.providers:
            plugins.providers.append(load_plugin(sources[name], None, complaints))
    for plugin in [*plugins.gateway, *plugins.providers]:
        if "register_providers" in plugin.hooks:
            _register(plugin, known, owners, set(settings.providers))
    return known, owners


def _rules_as_plugins(known: dict[str, Provider], taken: set[str]) -> dict[str, Plugin]:
    """For providers without code that say how to read their answers: hooks that do it."""
    owners = {}
    for name, provider in known.items():
        hooks = hooks_of(provider.rules) if provider.rules is not None else {}
        if hooks:
            origin = _DECLARED if name in taken else str(_VENDORS)
            owners[name] = Plugin(Source(name, origin, "", lambda: None, True), hooks)
    return owners


def _register(plugin: Plugin, known: dict[str, Provider], owners: dict[str, Plugin], taken: set[str]) -> None:
    subject = plugin.hooks["register_providers"].get_hookimpls()[0].plugin
    module = subject if isinstance(subject, ModuleType) else sys.modules.get(type(subject).__module__)
    options = getattr(module, "ChannelOptions", None)

    def register(provider: Provider) -> None:
        owner = owners.get(provider.name)
        if provider.name in known:  # a vendor's traffic and keys are not taken over by a slip
            declared = _DECLARED if provider.name in taken else str(_VENDORS)
            other = owner.source.origin if owner else declared
            text = f"two providers are called {provider.name!r}: {other} and {plugin.source.origin}"
            raise ConfigError([text])
        known[provider.name] = replace(provider, options=provider.options or options)
        owners[provider.name] = plugin

    try:
        plugin.hooks["register_providers"](register=register)
    except ConfigError:
        raise
    except Exception as error:  # another's code may raise anything
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
        operations=frozenset(settings.operations or ()),
        headers=settings.headers or {},
        traits=frozenset(settings.traits),
        paths={operation: path for operation, path in (settings.operations or {}).items() if path},
        end=(settings.end or "").encode(),
        checks_ok=checks_ok(settings),
        rules=settings if declares_rules(settings) else None,
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
    keys = (settings.key,) if settings.key else tuple(key for key in settings.keys if key)
    auth = settings.auth or provider.auth
    if not keys and auth != "none" and not provider.keyless and provider.respond is None:
        complaints.add(settings.line, path, "key 'key' is missing (or 'auth: none')")
    try:
        return _bound(settings, provider, keys, _options(settings, provider, path, complaints))
    except ValueError as error:
        complaints.add(settings.line, path, str(error))


def _bound(settings: ChannelSettings, provider: Provider, keys: tuple[Secret, ...], options: Any) -> Channel:
    """The channel, with what its provider declares filled in for it. Raises ValueError."""
    names = names_of(settings.name, settings.base_url or "", options)
    base_url = settings.base_url or fill(provider.base_url, names)
    if not base_url and provider.respond is None:
        raise ValueError(f"key 'base_url' is missing (provider {provider.name!r} has none)")
    base_url = base_url or "http://in-process"
    names["channel.base_url"] = base_url
    dialects, paths = fill(dict(provider.dialects), names), fill(dict(provider.paths), names)
    if dialects != provider.dialects or paths != provider.paths:
        provider = replace(provider, dialects=dialects, paths=paths)
    own = settings.body if settings.body != BodyEdits() else None
    rules = ChannelRules(provider.rules, own, names) if provider.rules is not None or own else None
    places = provider.egress if keys else provider.egress + provider.keyless_egress
    egress = origins(base_url, fill(list(places), names), settings.options)
    return Channel(settings.name, provider, base_url, keys, settings.models, settings, options, rules, egress)


def _options(settings: ChannelSettings, provider: Provider, path: str, complaints: Complaints) -> Any:
    if provider.options is None:
        return settings.options
    node = getattr(settings.options, "node", None) or node_of(settings.options, settings.line)
    return Checker(complaints).read(provider.options, node, f"{path}.options")
