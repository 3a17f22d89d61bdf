"""Pages that plugins add beside the API (``register_pages``): ``view(request) -> (status, headers, bytes)``."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gateway.domain import Inbound
from gateway.endpoints import find_endpoint
from gateway.errors import ClientError, ConfigError, NotFound, PluginError
from gateway.plugin_manager import Plugin, ask, asked

View = Callable[[Inbound], tuple[int, Mapping[str, str], bytes]]


@dataclass(frozen=True, slots=True)
class Page:
    """A plugin's view of one path. An open one is shown to whoever asks: it looks after itself."""

    plugin: Plugin
    view: View
    open: bool = False


def collect_pages(plugins: Iterable[Plugin]) -> dict[str, Page]:
    """Every page by its path. Raises ConfigError for a path that is no path, or is somebody else's."""
    pages: dict[str, Page] = {}
    for plugin in plugins:

        def add(path: str, view: View, open: bool = False, plugin: Plugin = plugin) -> None:
            if not path.startswith("/") or path == "/" or _is_endpoint(path):
                raise ConfigError([f"plugin {plugin.source.name!r} registers a page at {path!r}, which is not free"])
            if path in pages:
                owner = pages[path].plugin.source.name
                raise ConfigError([f"two plugins register a page at {path!r}: {owner!r} and {plugin.source.name!r}"])
            pages[path] = Page(plugin, view, open)

        try:
            ask(plugin, "register_pages", pages=add)
        except PluginError as error:
            raise ConfigError([str(error)]) from None
    return pages


def _is_endpoint(path: str) -> bool:
    try:
        find_endpoint("GET", path, {})
    except NotFound:
        return False
    except ClientError:
        return True
    return True


def look_at(page: Page, request: Inbound) -> tuple[int, list[tuple[str, str]], bytes]:
    """What the page's view gives. Its own GatewayErrors pass; anything else becomes a PluginError."""
    return asked(page.plugin, f"its page {request.path}", _seen, page.view, request)


def _seen(view: View, request: Inbound) -> tuple[int, list[tuple[str, str]], bytes]:
    status, headers, body = view(request)
    return int(status), [(name, str(value)) for name, value in headers.items()], bytes(body)
