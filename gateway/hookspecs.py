"""The hooks, in the order a call meets them. One door to pluggy, with plugin_manager.

Take any subset of a hook's arguments; new ones are only ever added. Give none a default: pluggy
would never fill it.
"""

from typing import Any

import pluggy

PROJECT = "gateway"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

# --- when the configuration loads --------------------------------------------------------------


@hookspec
def register_providers(register: Any) -> None:
    """Call ``register(Provider(...))`` for each vendor you bring. Once per load."""


@hookspec
def check_config(config: Any) -> Any:
    """Return complaints about the settings, each a text or (line, text); or None. Once per load."""


@hookspec
def register_commands(cli: Any) -> None:
    """Add click commands to the group *cli*. Once, when the command line starts."""


@hookspec
def register_pages(pages: Any) -> None:
    """Call ``pages(path, view)``; ``view(request) -> (status, headers, bytes)``. Once per load."""


# --- gateway hooks: every plugin in `plugins:`, in its order on the way in, in reverse on the way out


@hookspec
def authenticate(request: Any) -> Any:
    """Return a Principal, or None to leave it to the next; raise Unauthorized or Forbidden. Once per call."""


@hookspec
def before_call(call: Any) -> None:
    """Look at the call, note something, or refuse it by raising a ClientError. Once per call."""


@hookspec
def arrange_channels(call: Any, route: Any) -> None:
    """Sort ``route.candidates`` in place, or ``route.drop(candidate, reason)``. Once per call."""


# --- provider hooks: only on the plugin that registered the channel's provider -------------------


@hookspec
def rewrite_request(call: Any, channel: Any, request: Any) -> None:
    """Change the URL, headers or body members of *request*. Each attempt; pure, no I/O."""


@hookspec
def authorize(channel: Any, key: Any, request: Any) -> Any:
    """Add the credentials and return True. Each attempt, last; nobody else sees the secret."""


@hookspec
def classify_failure(channel: Any, response: Any) -> Any:
    """Return "ok", "retry", "bad_key", "fatal", seconds to leave the channel alone, or None. Each bad answer."""


@hookspec
def rewrite_response(call: Any, channel: Any, response: Any) -> None:
    """Change status, headers or body of a whole reply. Once per reply that is not streamed."""


@hookspec
def rewrite_stream(call: Any, channel: Any) -> Any:
    """Return a filter ``feed(events: bytes) -> bytes``, ``close() -> bytes``, or None. Once per stream."""


@hookspec
def read_usage(channel: Any, document: Any) -> Any:
    """Return the Usage in a reply or event, or None to let the dialect look. Once per document."""


# --- the way out -------------------------------------------------------------------------------


@hookspec
def attempt_finished(call: Any, attempt: Any) -> None:
    """Observe one try on one channel. Once per attempt."""


@hookspec
def after_call(call: Any, record: Any) -> None:
    """Observe the call's account. Once per call, also of refused and abandoned ones."""
