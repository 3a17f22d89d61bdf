"""One provider on the bench: a gateway in this process, a scripted upstream, spies on the hooks."""

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.domain import Channel, Provider
from gateway.plugin_manager import tell
from gateway.testing.asking import Answer
from gateway.testing.client import Client
from gateway.testing.guard import Guard
from gateway.testing.samples import Samples
from gateway.testing.spies import Spies
from gateway.testing.subject import Subject, as_text
from gateway.testing.upstream import Scripted, ScriptedUpstream, document, stream

PLAIN, RENAMED, UPSTREAM_MODEL = "plain-model", "public-model", "upstream-model"
DIALECTS = ("chat", "responses", "messages", "gemini")
_SHORT = {"connect": 5, "first_event": 10, "idle": 10, "total": 60}


class Bench:
    """``ask`` goes through the whole gateway to ``upstream``. Everything that the client got or the
    log said is kept in ``answers`` and ``logged``, to be searched for ``secrets``. A context manager."""

    def __init__(self, subject: Subject, name: str, folder: Path, guard: Guard, samples: Path | None = None):
        """*folder* is a place to write in. Raises ConfigError when a channel of the provider *name*
        cannot be made."""
        self.subject = subject
        self.name = name
        self.answers: list[Answer] = []
        self.secrets = [_key_of(subject, name) or f"sk-CANARY-{secrets.token_hex(8)}"]
        self.logged = _Kept()
        self.upstream = ScriptedUpstream()
        self.guard = guard
        guard.allowed.add(("127.0.0.1", urlsplit(self.upstream.url).port or 0))
        own = folder / name
        own.mkdir()
        try:
            # Not begun: nothing in the background may put a channel to rest again that _begin wakes.
            self._client = Client(as_text(self._configuration()), own, begins=False)
        except BaseException:  # Ctrl-C, too: nobody else knows of the server
            self.upstream.close()
            raise
        gateway = self._client.gateway
        self.channel: Channel = gateway.channels[0]
        self.provider: Provider = self.channel.provider
        self.samples = Samples(self.provider.end, samples)
        loaded = [*gateway.plugins.gateway, *gateway.plugins.providers]
        self._plugin = next((plugin for plugin in loaded if plugin.source.name == subject.plugin), None)
        self.spies = Spies(self._plugin, self.secrets) if self._plugin is not None else None

    def _configuration(self) -> dict[str, Any]:
        own = self.subject.channels.get(self.name, {})
        channel = {name: own[name] for name in ("options", "auth", "headers", "body") if own.get(name)}
        channel |= {"name": "check", "provider": self.name, "key": self.secrets[0], "timeout": _SHORT,
                    "base_url": self.upstream.url + _path_of(self.subject.addresses.get(self.name, "")),
                    "models": [PLAIN, {RENAMED: UPSTREAM_MODEL}]}  # fmt: skip
        return self.subject.given | {"state": "memory://", "channels": [channel]}

    @property
    def dialects(self) -> list[str]:
        """What the provider speaks."""
        return [dialect for dialect in DIALECTS if dialect in self.provider.dialects]

    @property
    def hooks(self) -> Mapping[str, tuple[str, ...]]:
        """The plugin's hooks, with the arguments that they take."""
        return self.spies.arguments if self.spies is not None else {}

    @property
    def inside(self) -> bool:
        """Whether the provider answers inside the gateway."""
        return self.provider.respond is not None

    def ask(self, dialect: str, *answers: Scripted, model: str = PLAIN, stream: bool = False, **members: Any) -> Answer:
        """The client's answer to a question in *dialect*, when the upstream says *answers*."""
        self._begin(answers)
        self.answers.append(self._client.ask(dialect, "hello", model, stream=stream, **members))
        return self.answers[-1]

    def post(self, path: str, body: bytes, dialect: str, *answers: Scripted) -> Answer:
        """The same with a body of one's own."""
        self._begin(answers)
        self.answers.append(self._client.post(path, body, None, dialect))
        return self.answers[-1]

    def _begin(self, answers: tuple[Scripted, ...]) -> None:
        self.upstream.forget()
        self.upstream.say(*answers)
        health = self._client.gateway.services.health
        for name in health.names():  # what failed in the check before must not rest now
            health.wake(name)

    def asked_in(self, client: str) -> str:
        """The dialect that the upstream is asked in for a client that speaks *client*."""
        return self.channel.nearest_dialect(client)

    def said(self, dialect: str) -> Scripted:
        """The sample reply, whole."""
        return document(self.samples.reply(dialect))

    def streamed(self, dialect: str, *pieces: Any) -> Scripted:
        """The sample stream, or these pieces of it."""
        whole = pieces or (self.samples.stream(dialect),)
        return stream(*whole, media_type=self.samples.media_type(dialect))

    def sample_error(self, dialect: str, status: int, message: str) -> Scripted:
        headers = {"retry-after": "7"} if status == 429 else {}
        return document(self.samples.error(dialect, status, message), status, headers)

    def __enter__(self) -> "Bench":
        self.logged.begin()
        self._tell("begin", services=self._client.gateway.services)
        return self

    def __exit__(self, *error: object) -> None:
        self._tell("end")
        self._client.close()
        self.upstream.close()
        self.logged.end()

    def _tell(self, hook: str, **arguments: Any) -> None:
        if self._plugin is not None and hook in self._plugin.hooks:
            tell(self._plugin, hook, **arguments)


class _Kept(logging.Handler):
    """Everything that is logged meanwhile, but by the libraries below, whose debugging shows URLs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter())
        self.lines: list[str] = []
        self._level = logging.NOTSET

    def begin(self) -> None:
        root = logging.getLogger()
        self._level = root.level
        self._quiet = [(handler, handler.level) for handler in root.handlers]
        for handler, _ in self._quiet:
            handler.setLevel(logging.CRITICAL)
        root.setLevel(logging.DEBUG)
        root.addHandler(self)

    def end(self) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)
        for handler, level in self._quiet:
            handler.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("urllib3", "werkzeug", "requests")):
            self.lines.append(self.format(record))


def _key_of(subject: Subject, name: str) -> str:
    own = subject.channels.get(name, {})
    return str(own.get("key") or next(iter(own.get("keys") or ()), ""))


def _path_of(address: str) -> str:
    """The path that the provider's own address has, if it can be told without a channel's options."""
    path = urlsplit(address).path
    return "" if "$" in path else path
