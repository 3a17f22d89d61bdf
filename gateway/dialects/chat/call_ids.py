"""Names for tool calls that came without an id.

Old clients (``functions``), Gemini and some vendors give none, while chat and others tie every
result to its call by it. Made up by position, so that the same conversation always gets the same
ids and upstream caches keep working.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    kind: str
    answered: bool = False


class CallIds:
    """The calls of one conversation, in its order."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._known: set[str] = set()

    def called(self, call_id: str | None, name: str, kind: str = "function") -> str:
        """A call is made: its id, made up if it has none."""
        call_id = call_id or self._new()
        self._known.add(call_id)
        self._calls.append(_Call(call_id, name, kind))
        return call_id

    def answered(self, call_id: str | None, name: str | None = None) -> _Call:
        """A result comes in: the call it belongs to. One without an id answers the first call
        that is still open (of that *name*, if it says one)."""
        call = self._named(call_id) if call_id else self._open(name)
        call = call or _Call(call_id or self._new(), name or "", "function")
        call.answered = True
        return call

    def _named(self, call_id: str) -> _Call | None:
        # From the end: vendors that count their calls per answer use an id twice.
        return next((call for call in reversed(self._calls) if call.id == call_id), None)

    def _open(self, name: str | None) -> _Call | None:
        return next((call for call in self._calls if not call.answered and name in (None, "", call.name)), None)

    def _new(self) -> str:
        number = len(self._calls)
        while f"call_{number}" in self._known:
            number += 1
        self._known.add(f"call_{number}")
        return f"call_{number}"
