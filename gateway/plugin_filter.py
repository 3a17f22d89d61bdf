"""A provider plugin's filter over a stream's events (``rewrite_stream``), with its failures named."""

import logging
from collections.abc import Callable
from typing import Any

from gateway.errors import GatewayError, PluginError
from gateway.plugin_manager import Plugin

log = logging.getLogger("gateway.plugins")


class PluginFilter:
    """``feed(events) -> bytes`` and ``close() -> bytes`` of the plugin's own filter. What they raise
    breaks the stream, as an error that names the plugin."""

    def __init__(self, plugin: Plugin, own: Any):
        self._plugin = plugin
        try:
            self._feed, self._close = own.feed, own.close
        except AttributeError as error:
            raise PluginError(f"plugin {plugin.source.name!r}: rewrite_stream gave no filter ({error})") from None

    def feed(self, whole: bytes) -> bytes:
        return self._call(self._feed, whole)

    def close(self) -> bytes:
        return self._call(self._close)

    def _call(self, function: Callable[..., bytes], *arguments: bytes) -> bytes:
        try:
            return function(*arguments)
        except GatewayError:
            raise
        except Exception as error:
            self._plugin.errors += 1
            name = self._plugin.source.name
            log.exception("plugin %s failed in the filter of rewrite_stream", name)
            raise PluginError(f"plugin {name!r} failed in rewrite_stream") from error
