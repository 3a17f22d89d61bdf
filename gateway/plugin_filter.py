"""A plugin's filter over a stream's events (``rewrite_stream``, ``filter_reply``), with its failures named."""

from typing import Any

from gateway.errors import PluginError
from gateway.plugin_manager import Plugin, asked


class PluginFilter:
    """``feed(events) -> bytes`` and ``close() -> bytes`` of the plugin's own filter, which *hook* gave.
    What they raise breaks the stream, as an error that names the plugin."""

    def __init__(self, plugin: Plugin, own: Any, hook: str = "rewrite_stream"):
        self._plugin = plugin
        self._hook = hook
        try:
            self._feed, self._close = own.feed, own.close
        except AttributeError as error:
            raise PluginError(f"plugin {plugin.source.name!r}: {hook} gave no filter ({error})") from None

    def feed(self, whole: bytes) -> bytes:
        return asked(self._plugin, self._hook, self._feed, whole)

    def close(self) -> bytes:
        return asked(self._plugin, self._hook, self._close)
