"""What gateway plugins do to a reply on its way out (``filter_reply``): in the client's dialect, after any
translation, the last plugin of the list first."""

from collections.abc import Sequence
from typing import Any

from gateway.domain import Call, UpstreamReply
from gateway.errors import BadRequest
from gateway.interpreter import wants_array
from gateway.plugin_filter import PluginFilter
from gateway.plugin_manager import Plugin, ask, asked

_HOOK = "filter_reply"


class ReplyFilters:
    """The filters of one call. There are none for most gateways: then nothing here costs anything."""

    def __init__(self, plugins: Sequence[Plugin], call: Call):
        """Raises BadRequest for a call whose stream is no stream of events: nothing could look into it."""
        self._filters: list[tuple[Plugin, Any]] = []
        for plugin in reversed(plugins):
            own = ask(plugin, _HOOK, call=call)
            if own is not None:
                self._filters.append((plugin, own))
        if self._filters:
            if call.stream and wants_array(call):
                raise BadRequest("this gateway looks into replies: stream with alt=sse", code="sse_needed")
            call.hold_whole = True

    def __bool__(self) -> bool:
        return bool(self._filters)

    def before(self, plugin: Plugin) -> "ReplyFilters":
        """Those that are left when *plugin* itself gives the answer: of the plugins named before it."""
        left = ReplyFilters((), None)  # type: ignore[arg-type]
        names = [other.source.name for other, _ in self._filters]
        at = names.index(plugin.source.name) + 1 if plugin.source.name in names else 0
        left._filters = self._filters[at:]
        return left

    def on_events(self) -> list[PluginFilter]:
        """Filters over a stream of events."""
        return [PluginFilter(plugin, own, _HOOK) for plugin, own in self._filters if hasattr(own, "feed")]

    def events(self, whole: bytes) -> bytes:
        """All the events of a stream that is there already."""
        for each in self.on_events():
            whole = each.feed(whole) + each.close()
        return whole

    def reply(self, response: UpstreamReply) -> None:
        """A whole reply, changed in place."""
        for plugin, own in self._filters:
            if hasattr(own, "whole"):
                asked(plugin, _HOOK, own.whole, response)
