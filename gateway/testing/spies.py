"""A loaded plugin's hooks, watched while real calls go through them."""

import copy
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway import json_text
from gateway.domain import Call, Channel, UpstreamRequest
from gateway.plugin_manager import Plugin
from gateway.testing.guard import another_time, touched
from gateway.transport.egress import HttpClient
from gateway.transport.upstream_body import Answer

_FILTERS = ("rewrite_stream", "filter_reply", "decode_stream")


class Spies:
    """Puts itself around each hook of *plugin*; what the hooks do stays as it is, but that a token
    asked for by ``tools.http`` is made up here, and is one of *secrets* from then on.

    ``seconds`` has each hook's times, ``impure`` what ``rewrite_request`` did that it must not,
    ``makers`` per filter hook a function that makes another filter for the last stream, ``edits``
    how often ``rewrite_request`` edited, ``refreshed`` the ``refresh`` of each ``authorize``.
    """

    def __init__(self, plugin: Plugin, secrets: list[str]):
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.impure: list[str] = []
        self.makers: dict[str, Callable[[], Any]] = {}
        self.refreshed: list[bool] = []
        self.requests: list[Callable[[], None]] = []
        self._secrets = secrets
        self.arguments: dict[str, tuple[str, ...]] = {}
        self.owners: list[Any] = []
        for hook, caller in plugin.hooks.items():
            implementation = caller.get_hookimpls()[0]
            self.arguments[hook] = tuple(implementation.argnames)
            self.owners = [implementation.plugin]
            implementation.function = self._around(hook, implementation.function, self.arguments[hook])

    def _around(self, hook: str, function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
        special = {"rewrite_request": self._rewrite_request, "authorize": self._authorize}
        special |= dict.fromkeys(_FILTERS, self._filter)
        around = special.get(hook, _as_it_is)

        def watched(*values: Any) -> Any:
            began = time.perf_counter()
            try:
                return around(hook, function, dict(zip(names, values, strict=True)))
            finally:
                if around is _as_it_is:
                    self.seconds[hook].append(time.perf_counter() - began)

        return watched

    def _timed(self, hook: str, function: Callable[..., Any], given: dict[str, Any]) -> Any:
        began = time.perf_counter()
        try:
            return function(*given.values())
        finally:
            self.seconds[hook].append(time.perf_counter() - began)

    def _rewrite_request(self, hook: str, function: Callable[..., Any], given: dict[str, Any]) -> Any:
        kept = _copies(given)
        result = self._timed(hook, function, given)
        again, later = _copies(kept), _copies(kept)
        with touched() as notes:
            function(*again.values())
        self.impure += notes
        with another_time(function):
            function(*later.values())
        for name, other in (("called twice it gives two requests", again), ("it depends on the time", later)):
            if _told(other.get("request")) != _told(given.get("request")):
                self.impure.append(name)
        self.requests = [lambda: self._timed(hook, function, _copies(kept))]
        return result

    def _authorize(self, hook: str, function: Callable[..., Any], given: dict[str, Any]) -> Any:
        self.refreshed.append(bool(given.get("refresh")))
        if "tools" in given:
            # Without the channel there is no knowing whither it may go; then it goes nowhere.
            channel = given.get("channel")
            http = HttpClient(channel.egress if channel else self.egress, self._token)
            given = given | {"tools": replace(given["tools"], http=http)}
        return self._timed(hook, function, given)

    egress: frozenset[str] = frozenset()

    def _token(self, request: UpstreamRequest, timeout: float) -> Answer:
        token = f"tok-CANARY-{len(self._secrets):04}-{id(self):x}"
        self._secrets.append(token)
        body = {"access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": 3600}
        return Answer(200, [("content-type", "application/json")], _Told(json_text.write(body)))

    def _filter(self, hook: str, function: Callable[..., Any], given: dict[str, Any]) -> Any:
        kept = _copies(given)
        made = self._timed(hook, function, given)
        if made is not None:
            self.makers[hook] = lambda: function(*_copies(kept).values())
        return made


class _Told:
    """A body that is all there."""

    def __init__(self, data: bytes):
        self._pieces = [data, b""]

    def receive(self, seconds: float) -> bytes:
        return self._pieces.pop(0)

    def close(self) -> None:
        pass


def _as_it_is(hook: str, function: Callable[..., Any], given: dict[str, Any]) -> Any:
    return function(*given.values())


def _copies(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments anew, so that what is done to them does not last."""
    return {name: _copy(value) for name, value in given.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, UpstreamRequest):
        return value.copy()
    if isinstance(value, Call):
        other = copy.copy(value)
        other.notes = copy.deepcopy(value.notes)
        return other
    return value if isinstance(value, Channel) else copy.copy(value)


def _told(request: Any) -> Any:
    if not isinstance(request, UpstreamRequest):
        return None
    body = getattr(request.body, "data", request.body)
    return request.method, request.url, dict(request.headers), body, request.body_edits
