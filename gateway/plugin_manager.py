"""Finds plugins, loads those the configuration names, and calls their hooks.

Three sources, one road: files of ``gateway/plugins`` (shipped), files of the operator's
``plugins_dir``, and installed packages with an entry point in the group ``gateway``. A name that
comes twice is an error that names both.

Provider plugins are loaded when a channel names one of their providers; gateway plugins when
``plugins:`` names them. Every hook of every plugin becomes a caller of its own, bound once: no
plugin is asked about another's channel, an idle hook costs nothing, and whoever raises is known.
"""

import importlib.metadata
import importlib.util
import inspect
import logging
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from gateway import hookspecs
from gateway.config.checker import Checker
from gateway.config.document import Complaints, Node
from gateway.config.kinds import Options
from gateway.errors import ConfigError, GatewayError, PluginError
from gateway.plugin_api import api_of

log = logging.getLogger("gateway.plugins")

SHIPPED = Path(__file__).resolve().parent / "plugins"
if not SHIPPED.is_dir():  # a bare checkout keeps them beside the package
    SHIPPED = Path(__file__).resolve().parent.parent / "plugins"
HOOK_NAMES = [name for name, member in vars(hookspecs).items() if hasattr(member, f"{hookspecs.PROJECT}_spec")]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plugin can be had; ``load()`` imports it."""

    name: str
    origin: str  # a path, or a distribution's name and version
    version: str
    load: Callable[[], Any]
    provider: bool = False  # a file in providers/


@dataclass(slots=True)
class Plugin:
    """A loaded plugin and a bound caller for each hook it has."""

    source: Source
    hooks: dict[str, Any]
    errors: int = 0


@dataclass(slots=True)
class Plugins:
    """Everything loaded for one configuration."""

    gateway: list[Plugin] = field(default_factory=list)  # in the order of `plugins:`
    providers: list[Plugin] = field(default_factory=list)
    _with: dict[str, tuple[Plugin, ...]] = field(default_factory=dict)

    def on(self, hook: str) -> tuple[Plugin, ...]:
        """The gateway plugins that have *hook*, in the order of the YAML list. All must be there."""
        found = self._with.get(hook)
        if found is None:
            found = self._with[hook] = tuple(plugin for plugin in self.gateway if hook in plugin.hooks)
        return found


def find_plugins(plugins_dir: Path | None = None) -> dict[str, Source]:
    """Every plugin there is, by name; nothing is imported. Raises ConfigError for a name that
    comes twice or a folder that is not there."""
    sources: dict[str, Source] = {}
    shipped = [(SHIPPED / "providers", True), (SHIPPED / "features", False)]
    for folder, provider in shipped:
        for path in sorted(folder.glob("*.py")):
            _add(sources, _file_source(path, provider))
    if plugins_dir is not None:
        if not plugins_dir.is_dir():
            raise ConfigError([f"plugins_dir: no such folder: {str(plugins_dir)!r}"])
        for path in sorted(plugins_dir.glob("*.py")):
            _add(sources, _file_source(path, False))
    for point in importlib.metadata.entry_points(group=hookspecs.PROJECT):
        release = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
        version = point.dist.version if point.dist else ""
        _add(sources, Source(point.name, release, version, point.load))
    return sources


def _add(sources: dict[str, Source], source: Source) -> None:
    other = sources.get(source.name)
    if other is not None:
        raise ConfigError([f"two plugins are called {source.name!r}: {other.origin} and {source.origin}"])
    sources[source.name] = source


def _file_source(path: Path, provider: bool) -> Source:
    return Source(path.stem, str(path), "", lambda: _import_file(path), provider)


def _import_file(path: Path) -> ModuleType:
    name = f"gateway_plugin_{path.stem}_{abs(hash(str(path.parent))):x}"
    if name in sys.modules:  # a reload: the operator's newest text counts
        del sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:  # half a module must not be found by the next import
        del sys.modules[name]
        raise
    return module


def load_plugin(source: Source, options: Options | None, complaints: Complaints) -> Plugin:
    """Import *source*, check its options, and bind its hooks.

    Raises ConfigError when it cannot be imported, a hook is misspelt, or an implementation takes
    an argument that is not there or has a default, or would not run when it is called.
    """
    module = _had(source, "imported", source.load)
    api_of(module, source.name, source.origin)
    subject = _with_options(module, source, options, complaints)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(subject, source.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise ConfigError([f"plugin {source.name!r} ({source.origin}): {_explained(error)}"]) from None
    hooks = {}
    for name in HOOK_NAMES:
        caller = getattr(manager.hook, name)
        implementations = caller.get_hookimpls()
        if implementations:
            only = implementations[0]
            _refuse_unfit(only, name, source)
            hooks[name] = caller if only.wrapper or only.hookwrapper else _Only(only)
    version = source.version or str(getattr(module, "__version__", ""))
    return Plugin(Source(source.name, source.origin, version, source.load, source.provider), hooks)


def _with_options(module: Any, source: Source, options: Options | None, complaints: Complaints) -> Any:
    """A module with ``class Plugin`` is registered as ``Plugin(options)``, options being its
    ``class Options`` (a frozen dataclass) as read from the YAML; any other as it is."""
    kind = getattr(module, "Options", None)
    if options and kind is None:
        complaints.add(options.line, f"plugins.{source.name}", "this plugin takes no options")
    factory = getattr(module, "Plugin", None)
    if factory is None:
        return module
    if kind is None:
        return _had(source, "made", factory)
    line = (options.line if options is not None else 0) or 1
    node = Node(line, dict(options or {}))
    before = len(complaints.lines)
    values = Checker(complaints).read(kind, node, f"plugins.{source.name}")
    if wrong := complaints.lines[before:]:
        del complaints.lines[before:]
        raise ConfigError(wrong)
    return _had(source, "made", factory, values)


def _had(source: Source, how: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What *function*, the plugin's own, gives. Whatever it raises is a complaint about the plugin."""
    try:
        return function(*arguments)
    except Exception as error:  # another's code may raise anything
        log.exception("plugin %s could not be %s", source.name, how)
        raise ConfigError([f"plugin {source.name!r} ({source.origin}) cannot be {how}: {error!r}"]) from None


def _refuse_unfit(implementation: Any, hook: str, source: Source) -> None:
    """What pluggy takes, and then calls in vain: a policy would be left out without a word."""
    function, text = implementation.function, ""
    named = [p.name for p in inspect.signature(function).parameters.values() if p.default is not p.empty]
    if named:
        said = f"{hook}({', '.join(named)}=...): a hook's argument with a default is never filled in"
        text = f"{said}; remove the default"
    elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        text = f"{hook} is an `async def`, which nobody awaits; write a plain `def`"
    elif inspect.isgeneratorfunction(function) and not (implementation.wrapper or implementation.hookwrapper):
        text = f"{hook} holds a `yield`, so that calling it runs nothing of it; return what it is to give"
    if text:
        raise ConfigError([f"plugin {source.name!r} ({source.origin}): {text}"])


def _explained(error: pluggy.PluginValidationError) -> str:
    text = " ".join(str(error).split())
    return f"{text} (hooks are: {', '.join(HOOK_NAMES)})" if "unknown hook" in text else text


class _Only:
    """Calls a hook's only implementation as pluggy does, without the loop in which it would run others."""

    def __init__(self, implementation: Any):
        self._implementation = implementation

    def __call__(self, **arguments: Any) -> list[Any]:
        only = self._implementation
        result = only.function(*[arguments[name] for name in only.argnames])
        return [] if result is None else [result]

    def get_hookimpls(self) -> list[Any]:
        return [self._implementation]


HookObserver = Callable[[str, str, float, bool, Any], None]


class WatchedHook:
    """A hook's caller that tells *observer* (plugin, hook, seconds, whether it failed, whose call it
    was if it was anybody's) of each time it is called."""

    def __init__(self, caller: Any, plugin: str, hook: str, observer: HookObserver):
        self._caller = caller
        self._names = plugin, hook
        self._observer = observer

    def __call__(self, **arguments: Any) -> Any:
        began, failed = time.perf_counter(), True
        try:
            results = self._caller(**arguments)
            failed = False
            return results
        finally:
            self._observer(*self._names, time.perf_counter() - began, failed, arguments.get("call"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._caller, name)


def watch_hooks(plugins: Iterable[Plugin], observer: HookObserver) -> None:
    """From now on *observer* is told of each call of a hook of *plugins*."""
    for plugin in plugins:
        for hook, caller in plugin.hooks.items():
            plugin.hooks[hook] = WatchedHook(caller, plugin.source.name, hook, observer)


# A plugin may raise anything, and must not bring down the worker or another's call with it. Nobody but
# the two functions that say so below catches everything for that.


def ask(plugin: Plugin, hook: str, **arguments: Any) -> Any:
    """Call a policy hook: its own refusal passes, anything else it raises fails the call closed."""
    results = asked(plugin, hook, plugin.hooks[hook], **arguments)
    return results[0] if results else None


def asked(plugin: Plugin, hook: str, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    """Call *function*, which is or came from a policy *hook*. Raises its GatewayErrors as they are, and
    PluginError, which names the plugin, for anything else."""
    try:
        return function(*arguments, **named)
    except GatewayError:
        raise
    except Exception as error:  # another's code may raise anything
        _blame(plugin, hook)
        raise PluginError(f"plugin {plugin.source.name!r} failed in {hook}") from error


def tell(plugin: Plugin, hook: str, **arguments: Any) -> Any:
    """Call an observer hook: what it raises is counted and logged, and never reaches a client."""
    try:
        results = plugin.hooks[hook](**arguments)
    except Exception:  # another's code may raise anything
        _blame(plugin, hook)
        return None
    return results[0] if results else None


def _blame(plugin: Plugin, hook: str) -> None:
    plugin.errors += 1
    log.exception("plugin %s failed in %s", plugin.source.name, hook)
