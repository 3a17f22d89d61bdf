"""What a channel's failure means: for the call, for the channel, for its key."""

import re
from dataclasses import dataclass

from gateway.domain import Candidate, UpstreamReply
from gateway.errors import ChannelAnswered, ChannelFailed
from gateway.headers import Headers, retry_seconds
from gateway.loading import Gateway
from gateway.plugin_manager import ask

# What the relay does next.
RETRY = "retry"  # another channel may do better
BAD_KEY = "bad_key"  # another key of the channel may
LIMITED = "rate_limited"  # the same; this one may again after a while
TOO_LONG = "too_long"  # only a model that reads more may
FATAL = "fatal"  # nobody could do better

REFUSED_KEY = frozenset({401, 402, 403})  # an account without money is as good as closed
# 504 and 524 are not here: the work may still be running upstream, and a second try would be billed
# too. `routing.retry_on` names them for those who want that.
_RETRIED = frozenset({408, 409, *range(500, 600)} - {501, 504, 505, 524})
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "context_window_exceeded", "model_context_window_exceeded"})
# Anthropic and Gemini have no code for it.
_TOO_LONG_WORDS = re.compile(
    r"prompt is too long|context (?:length|window)|maximum context|input token count .{0,40}exceeds", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``counts``: against the channel itself. ``retry_after`` is in seconds, if it was said: for that
    long the key (LIMITED) or the channel (else) is left alone."""

    kind: str
    counts: bool = False
    retry_after: float | None = None
    said: str = ""


def verdict_on(gateway: Gateway, candidate: Candidate, error: ChannelFailed) -> Verdict:
    """What *error* of *candidate* means: the provider's own word if it has one, else by status."""
    # An upstream's own word: it is shown to operators and to the clients of other calls.
    code = re.sub(r"[^\w.-]", "?", str(error.fault.code or error.code or "")[:64], flags=re.ASCII)
    said = f"{error.status} {code}".strip()
    if not isinstance(error, ChannelAnswered):
        return Verdict(RETRY, True, None, said)
    after = retry_seconds(error.headers)
    word = _own_word(gateway, candidate, error)
    if isinstance(word, int | float) and not isinstance(word, bool):
        return Verdict(RETRY, False, float(word), said)
    if word == LIMITED:
        return Verdict(LIMITED, False, after, said)
    if word == RETRY:
        return Verdict(RETRY, True, after, said)
    if word == BAD_KEY:
        return Verdict(BAD_KEY, False, None, said)
    if word in (FATAL, "ok"):  # nothing another channel could do better
        return Verdict(FATAL)
    return _by_status(gateway, error, after, said)


def _own_word(gateway: Gateway, candidate: Candidate, error: ChannelAnswered) -> object:
    plugin = gateway.provider_plugins.get(candidate.channel.provider.name)
    if plugin is None or "classify_failure" not in plugin.hooks:
        return None
    response = UpstreamReply(error.status, Headers(error.headers), error.body)
    return ask(plugin, "classify_failure", channel=candidate.channel, response=response)


def _by_status(gateway: Gateway, error: ChannelAnswered, after: float | None, said: str) -> Verdict:
    status = error.status
    if status in REFUSED_KEY:
        return Verdict(BAD_KEY, False, None, said)
    if status == 429:  # limits are often a key's own
        return Verdict(LIMITED, False, after, said)
    if status in (400, 413) and (
        error.fault.code in _TOO_LONG_CODES or _TOO_LONG_WORDS.search(error.fault.message or "")
    ):
        return Verdict(TOO_LONG)
    if status in _RETRIED or status in gateway.settings.routing.retry_on:
        return Verdict(RETRY, status >= 500, after, said)
    return Verdict(FATAL, status >= 500, None, said)
