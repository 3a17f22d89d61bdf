"""Whose turn it is: the channels and keys of one call's route that were not tried yet, and which of
them has room and is not at rest."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.config.settings import ChannelLimits
from gateway.domain import Call, Candidate, Route
from gateway.health import FAILING, LIMITED, resting_name
from gateway.loading import Gateway
from gateway.room import Place, claims_on, estimated_tokens, take_place
from gateway.routing.drawing import drawn_keys
from gateway.state import Refusal, Slots, StateAway

_SOMEBODY_LEAVES = 0.02  # seconds after which a place among those under way may be free
_STATE_BACK = 0.5  # seconds after which the shared state, when it is away, may be back


@dataclass(slots=True)
class Turn:
    """One channel with one key, and the room that it gave."""

    candidate: Candidate
    position: int  # of the key
    place: Place | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Of the channel, and of its key, as health and room know them."""
        channel = self.candidate.channel
        return channel.name, resting_name(channel.name, channel.keys[self.position] if channel.keys else None)


@dataclass(frozen=True, slots=True)
class Busy:
    """Why a candidate cannot be tried now, and in how many seconds it may be."""

    candidate: Candidate
    position: int
    reason: str
    seconds: float
    limited: bool = False  # by a limit, ours or the upstream's
    failing: bool = False
    away: StateAway | None = None  # nobody can say whether there is room


class Turns:
    """Never gives the same channel with the same key twice."""

    def __init__(self, gateway: Gateway, call: Call, route: Route):
        self._services = gateway.services
        self._call = call
        self._tokens = -1
        self.waiting = [(c, _distinct(c, drawn_keys(c.channel, call.id))) for c in _once(route.candidates)]
        if call.upload is not None:
            self.waiting = [(candidate, [call.upload.position]) for candidate, _ in self.waiting]

    def next(self, busy: list[Busy], but: str = "") -> Turn | None:
        """The next that can be tried now, of any channel *but* one; None, and *busy* filled with why,
        when nobody can."""
        for candidate, positions in self.waiting:
            if candidate.channel.name == but:
                continue
            turn = self._turn(candidate, positions, busy)
            if turn is not None:
                return self._taken(turn)
        return None

    def _turn(self, candidate: Candidate, positions: list[int], busy: list[Busy]) -> Turn | None:
        health, channel = self._services.health, candidate.channel
        limits, key_limits = channel.settings.limits, channel.settings.key_limits
        if health.all_well and limits is None and key_limits is None:
            return Turn(candidate, positions[0])
        if not health.due(channel.name):
            busy.append(self._resting(candidate, positions[0], channel.name))
            return None
        for position in positions:
            turn = Turn(candidate, position)
            name = turn.names[1]
            if not health.due(name):
                busy.append(self._resting(candidate, position, name))
                continue
            try:
                found = self._room(turn, limits, key_limits)
            except StateAway as error:
                busy.append(Busy(candidate, position, "nobody can say whether it has room", _STATE_BACK, away=error))
                break
            if found is None:
                at_rest = self._unproven(turn)
                if at_rest is None:
                    return turn
                busy.append(self._resting(candidate, position, at_rest))
                if at_rest == channel.name:
                    break
                continue
            again = _SOMEBODY_LEAVES if isinstance(found.claim, Slots) else found.retry_after or 1.0
            busy.append(Busy(candidate, position, f"full: {found.claim.name} {found.claim.most}", again, limited=True))
            if not found.claim.name.startswith(f"{name}:") or name == channel.name:
                break  # the account itself is full: another of its keys changes nothing
        return None

    def _unproven(self, turn: Turn) -> str | None:
        """Which of *turn*'s names is being probed by another call; its place is given back then. Asked
        last: who is a probe must be able to go."""
        channel, key = turn.names
        if self._services.health.may_try(channel):
            if key == channel or self._services.health.may_try(key):
                return None
            self._services.health.untold(channel)
            channel = key
        if turn.place is not None:
            turn.place.leave(None)
        return channel

    def _resting(self, candidate: Candidate, position: int, name: str) -> Busy:
        rest, left = self._services.health.rest(name), self._services.health.left(name)
        for_now = f"rests for {left:.0f} s" if left else "is being probed"
        if rest is None:  # it woke this moment
            return Busy(candidate, position, "rested until now", _SOMEBODY_LEAVES)
        reason = f"{for_now}: {rest.why} ({rest.said})"
        return Busy(candidate, position, reason, left or 1.0, rest.why == LIMITED, rest.why == FAILING)

    def _room(
        self, turn: Turn, limits: ChannelLimits | None, key_limits: ChannelLimits | None
    ) -> Refusal | None:
        """Takes a place for *turn*, if its channel's room is limited. What refused it, or None."""
        if limits is None and key_limits is None:
            return None
        if self._tokens < 0:
            self._tokens = estimated_tokens(self._call)
        channel, key = turn.names
        claims = claims_on(channel, limits, self._tokens)
        if key != channel:
            claims += claims_on(key, key_limits, self._tokens)
        if not claims:
            return None
        found = take_place(lambda: self._services.state, claims)
        if isinstance(found, Refusal):
            return found
        turn.place = found
        return None

    def last_resort(self, busy: list[Busy]) -> Turn | None:
        """Where nobody is well, those that failed are better than nobody."""
        failing = [each for each in busy if each.failing]
        if not failing:
            return None
        each = min(failing, key=lambda each: each.seconds)
        turn = Turn(each.candidate, each.position)
        settings = each.candidate.channel.settings
        found = self._room(turn, settings.limits, settings.key_limits)
        return self._taken(turn) if found is None else None

    def _taken(self, turn: Turn) -> Turn:
        """It is tried now, and never again with this key."""
        kept = []
        for candidate, positions in self.waiting:
            if candidate is turn.candidate:
                positions = [position for position in positions if position != turn.position]
            if positions:
                kept.append((candidate, positions))
        self.waiting = kept
        return turn

    def drop(self, which: Callable[[Candidate], bool]) -> None:
        self.waiting = [(candidate, positions) for candidate, positions in self.waiting if not which(candidate)]


def _once(candidates: list[Candidate]) -> list[Candidate]:
    """A route or a plugin may name the same channel and model twice."""
    return list({(c.channel.name, c.model): c for c in reversed(candidates)}.values())[::-1]


def _distinct(candidate: Candidate, positions: list[int]) -> list[int]:
    """A key that stands twice in the configuration is still the same key."""
    keys = candidate.channel.keys
    if len(positions) < 2:
        return positions
    return list({keys[position]: position for position in reversed(positions)}.values())[::-1]
