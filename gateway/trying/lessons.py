"""What the attempts of one call tell of channels and keys: health and bearings hear of it."""

import time

from gateway.account import Account
from gateway.attempt.verdicts import BAD_KEY, LIMITED, Verdict, verdict_on
from gateway.domain import COMPLETE, TRUNCATED
from gateway.errors import ChannelAnswered, ChannelFailed
from gateway.loading import Gateway
from gateway.trying.turns import Turn


class Lessons:
    """Of each turn in the order of its life: ``began``, ``answered`` or ``failed``, ``untold``, ``ended``."""

    def __init__(self, gateway: Gateway, account: Account):
        self._gateway = gateway
        self._account = account
        self._health = gateway.services.health
        self._bearings = gateway.services.bearings

    def began(self, turn: Turn) -> None:
        self._bearings.began(turn.candidate.channel.name)

    def answered(self, turn: Turn, seconds: float) -> None:
        """Something worth showing came after so long."""
        self._bearings.answered(turn.candidate.channel.name, seconds)
        for name in turn.names:
            if self._health.rest(name) is not None:  # it was the probe
                self._health.succeeded(name)

    def unanswered(self, turn: Turn, sent: bool) -> None:
        """Nothing came. *sent*: it may have reached the upstream all the same."""
        self._bearings.ended(turn.candidate.channel.name)
        if turn.place is not None:  # what was sent counts as a call, with no tokens known of
            turn.place.leave(self._account.usage if sent else None)

    def failed(self, turn: Turn, error: ChannelFailed) -> Verdict:
        """What *error* means, once it is noted."""
        verdict = verdict_on(self._gateway, turn.candidate, error)
        name = turn.candidate.channel.name
        probed = self._health.rest(name) is not None and self._health.due(name)
        if probed and isinstance(error, ChannelAnswered) and error.status < 500:
            self._health.succeeded(name)  # whoever says what is wrong with a request is well again
        self._note(turn, verdict)
        return verdict

    def _note(self, turn: Turn, verdict: Verdict) -> None:
        channel, key = turn.names
        settings = self._gateway.settings.health
        if not settings.enabled:
            return
        if verdict.kind == LIMITED:
            self._health.limited(key, settings, verdict.retry_after, verdict.said)
        elif verdict.kind == BAD_KEY:
            self._health.refused(key, settings, verdict.said)
        elif verdict.retry_after:
            self._health.limited(channel, settings, verdict.retry_after, verdict.said)
        elif verdict.counts:
            self._health.failed(channel, settings, verdict.said)

    def untold(self, turn: Turn) -> None:
        """A failure of the channel tells nothing of a key that was being probed, nor a key's of the
        channel; what was told of rests anew, or is well."""
        for name in turn.names:
            self._health.untold(name)

    def ended(self, turn: Turn, began: float, seconds: float) -> None:
        """The answer has been passed on, as far as it went. It *began* with its request, by time.monotonic();
        *seconds* after that all of it was here, or 0 if it came while it was passed on."""
        account, channel = self._account, turn.candidate.channel.name
        self._bearings.ended(channel)
        if turn.place is not None:
            turn.place.leave(account.usage)
        if account.outcome == COMPLETE:
            for name in turn.names:
                self._health.succeeded(name)
            if self._bearings.measures_speed:
                self._bearings.wrote(channel, account.usage.output, seconds or time.monotonic() - began)
        elif account.outcome == TRUNCATED and self._gateway.settings.health.enabled:
            self._health.failed(channel, self._gateway.settings.health, account.error or "cut")
