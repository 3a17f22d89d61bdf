"""What upstreams say, fit to be shown: no secret, no escape sequence, no novel."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.concealing import forms_of, without
from gateway.domain import Channel

_LONGEST = 300
_SECRET_NAME = re.compile(r"auth|cookie|credential|key|pass|secret|signature|token", re.IGNORECASE)


class Discreet:
    """Makes texts about one channel fit to be shown; call it with the text."""

    def __init__(self, channel: Channel):
        self._secrets = forms_of(_secrets(channel))

    def __call__(self, text: str) -> str:
        """*text* without the channel's secrets, on one line, of at most some 300 characters."""
        text = without(self._secrets, text)
        text = "".join(c if c.isprintable() else " " for c in text)
        text = " ".join(text.split())
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _secrets(channel: Channel) -> Iterator[str]:
    settings = channel.settings
    for key in channel.keys:
        yield key.reveal()
    proxy = urlsplit(settings.proxy or "").netloc.rpartition("@")[0]
    yield proxy
    yield proxy.partition(":")[2]
    for named in (settings.headers.set, channel.provider.headers, settings.options):
        yield from _named_as_secret(named)


def _named_as_secret(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _named_as_secret(value)
        elif isinstance(value, str) and _SECRET_NAME.search(name):
            yield value
            yield value.rpartition(" ")[2]  # behind "Bearer"
