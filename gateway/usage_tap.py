"""Looks for a call's usage in what goes by; can change and delay nothing."""

from gateway import json_text, sse
from gateway.account import Account
from gateway.domain import Channel
from gateway.plugin_manager import Plugin, tell


class UsageTap:
    """Shows every document of an answer to the provider plugin's ``read_usage``; the latest usage
    that it finds counts. Has the face of a stream filter, and hands on what it is given."""

    def __init__(self, plugin: Plugin, channel: Channel, account: Account):
        self._plugin = plugin
        self._channel = channel
        self._account = account

    def feed(self, whole: bytes) -> bytes:
        for event in sse.events(whole):
            self.look(event.data)
        return whole

    def close(self) -> bytes:
        return b""

    def look(self, data: bytes) -> None:
        """One document, as JSON text; anything else is no document."""
        try:
            document = json_text.parse(data)
        except json_text.NotJson:
            return
        usage = tell(self._plugin, "read_usage", channel=self._channel, document=document)
        if usage is not None:
            self._account.usage = usage
