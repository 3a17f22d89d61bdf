"""Room on a channel: the limits that its account, and each of its keys, has (`limits`, `key_limits`)."""

from dataclasses import dataclass
from typing import Any

from gateway.bodies import JsonBody
from gateway.config.settings import ChannelLimits
from gateway.domain import Call
from gateway.state import Claim, Refusal, Slots, State, Taken, Window
from gateway.usage import Usage

_BYTES_A_TOKEN = 4
_USUAL_OUTPUT = 500  # tokens, where the client names no limit


def claims_on(name: str, limits: ChannelLimits | None, tokens: int) -> list[Claim]:
    """What one call of about *tokens* claims of *name* (``channel`` or ``channel#key id``)."""
    if limits is None:
        return []
    claims: list[Claim] = []
    if limits.rpm is not None:
        claims.append(Window(f"{name}:rpm", 60, limits.rpm))
    if limits.tpm is not None:
        # One call larger than the limit itself may go when nothing else does; else it never could.
        claims.append(Window(f"{name}:tpm", 60, limits.tpm, min(tokens, limits.tpm)))
    if limits.concurrency is not None:
        claims.append(Slots(f"{name}:open", limits.concurrency))
    return claims


def estimated_tokens(call: Call) -> int:
    """About how many tokens *call* will use. Cheap: from its size alone."""
    size = len(call.body.data) if isinstance(call.body, JsonBody) else 0
    return size // _BYTES_A_TOKEN + _USUAL_OUTPUT


@dataclass(slots=True)
class Place:
    """What an attempt holds of its channel's room; ``leave`` gives it back."""

    state: State
    taken: Taken

    def leave(self, usage: Usage | None) -> None:
        """*usage* is what it came to; None: nothing reached the upstream, so nothing was used."""
        amounts = {}
        for claim in self.taken.claims:
            if isinstance(claim, Window):
                if usage is None:
                    amounts[claim.name] = 0
                elif claim.name.endswith(":tpm") and usage.total is not None:
                    amounts[claim.name] = usage.total
        self.state.settle(self.taken, amounts)


def take_place(state: Any, claims: list[Claim]) -> Place | Refusal:
    """A place for an attempt. *state* is called only when there is something to claim. Raises StateAway."""
    keeper = state()
    taken = keeper.take(claims)
    return taken.refused or Place(keeper, taken)
