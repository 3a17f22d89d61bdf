"""What all workers (and with Redis all machines) must agree on: rates, slots, purses, and a board of notices.

A limit kept in one process would silently multiply by the number of workers. So it is kept here:
in an embedded SQLite file for one machine, in Redis for several.
"""

import hashlib
import importlib
from pathlib import Path

from gateway.errors import ConfigError
from gateway.state.claims import ALIVE, BEAT, Claim, Level, Purse, Refusal, Slots, State, StateAway, Taken, Window
from gateway.state.sqlite import SqliteState
from gateway.temporary import private_folder

__all__ = [
    "ALIVE", "BEAT", "Claim", "Level", "Purse", "Refusal", "Slots", "State", "StateAway", "Taken", "Window",
    "default_url", "open_state",
]  # fmt: skip


def open_state(url: str, folder: Path) -> State:
    """The state at *url*: ``sqlite:///path`` (a relative one from *folder*), ``memory://`` (one worker
    only), ``redis://...`` or ``rediss://...``. Raises ConfigError for another form, StateAway when it
    cannot be opened."""
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        return SqliteState(":memory:")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return SqliteState(str(folder / rest[1:]))
    if scheme in ("redis", "rediss"):
        try:
            door = importlib.import_module("gateway.state.redis")
        except ImportError:
            raise ConfigError(["state: redis needs an extra: pip install 'llm-gateway[redis]'"]) from None
        return door.RedisState(url)
    found = f", found {scheme}://..." if rest and scheme.isalnum() else ""  # else it may be anything: a password, too
    raise ConfigError([f"state: expected sqlite:///path, redis://host:port/0 or memory://{found}"])


def default_url(config: Path) -> str:
    """Where the state of the configuration file *config* is when the file does not say. Raises ConfigError
    when there is no folder for it that is ours alone."""
    try:
        folder = private_folder()
    except ConfigError as error:
        raise ConfigError([f"state: {text}; or name a file with `state:`" for text in error.complaints]) from None
    name = hashlib.sha256(str(config.resolve()).encode()).hexdigest()[:16]
    return f"sqlite:///{folder / name}.db"
