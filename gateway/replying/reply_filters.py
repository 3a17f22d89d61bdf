"""What gateway plugins do to a reply on its way out (``filter_reply``): in the client's dialect, after any
translation, the last plugin of the list first."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gateway.attempt.plugin_filter import PluginFilter
from gateway.domain import Call, UpstreamReply
from gateway.errors import BadRequest, PluginError, StreamCut
from gateway.interpreter import wants_array
from gateway.plugin_manager import Plugin, ask, asked

_HOOK, _ANSWER = "filter_reply", "answer_call"
_MOST_HELD = 64 * 1024 * 1024
TOO_LARGE = "the reply is too large for this gateway's policies to look into"


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

    def before(self, plugin: Plugin, order: Sequence[Plugin]) -> "ReplyFilters":
        """Those that are left when *plugin* itself gives the answer: of the plugins before it in *order*,
        the configuration's."""
        left = ReplyFilters((), None)  # type: ignore[arg-type]
        names = [other.source.name for other in order]
        earlier = set(names[: names.index(plugin.source.name)])
        left._filters = [pair for pair in self._filters if pair[0].source.name in earlier]
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


class OwnPieces:
    """The pieces of an answer that *plugin* gave: what it raises there breaks the reply and names it, and
    whatever it holds is closed when the reply is."""

    def __init__(self, plugin: Plugin, pieces: Iterable[bytes]):
        self._plugin = plugin
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        pieces = asked(self._plugin, _ANSWER, iter, self._pieces)
        while True:
            piece = asked(self._plugin, _ANSWER, next, pieces, None)
            if piece is None:
                return
            if not isinstance(piece, bytes):
                raise PluginError(f"plugin {self._plugin.source.name!r}: {_ANSWER} gave pieces that are not bytes")
            yield piece

    def joined(self) -> bytes:
        """All of them. Raises StreamCut for more than may be held."""
        try:
            found, size = [], 0
            for piece in self:
                found.append(piece)
                size += len(piece)
                if size > _MOST_HELD:
                    raise StreamCut(TOO_LARGE, code="reply_too_large")
            return b"".join(found)
        finally:
            self.close()

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            asked(self._plugin, _ANSWER, close)
