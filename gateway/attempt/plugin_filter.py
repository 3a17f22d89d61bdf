"""What a plugin lets a stream pass through (``rewrite_stream``, ``filter_reply``, ``decode_stream``), with its
failures named."""

from typing import Any

from gateway.errors import PluginError
from gateway.plugin_manager import Plugin, asked


class PluginFilter:
    """``feed(bytes) -> bytes`` and ``close() -> bytes`` of the plugin's own filter or decoder, which *hook*
    gave. What they raise breaks the stream, as an error that names the plugin."""

    def __init__(self, plugin: Plugin, own: Any, hook: str = "rewrite_stream"):
        self._plugin = plugin
        self._hook = hook
        try:
            self._feed, self._close = own.feed, own.close
        except AttributeError as error:
            text = f"plugin {plugin.source.name!r}: {hook} gave nothing to feed and close ({error})"
            raise PluginError(text) from None

    def feed(self, whole: bytes) -> bytes:
        return asked(self._plugin, self._hook, self._feed, whole)

    def close(self) -> bytes:
        return asked(self._plugin, self._hook, self._close)
