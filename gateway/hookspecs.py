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


# --- while a worker serves -----------------------------------------------------------------------


@hookspec
def begin(services: Any) -> None:
    """This configuration begins to serve: ``services.state``, ``.every(seconds, work, name)``, ... Once per worker."""


@hookspec
def end() -> None:
    """This configuration serves no new calls any more: another took its place, or the worker ends."""


# --- gateway hooks: every plugin in `plugins:`, in its order on the way in, in reverse on the way out


@hookspec
def authenticate(request: Any) -> Any:
    """Return a Principal, or None to leave it to the next; raise Unauthorized or Forbidden. Once per call."""


@hookspec
def before_call(call: Any) -> None:
    """Look at the call, note something, or refuse it by raising a ClientError. Once per call."""


@hookspec
def filter_reply(call: Any) -> Any:
    """Return a filter over the reply in the client's dialect, or None: ``feed(events: bytes) -> bytes`` and
    ``close() -> bytes`` for streams, ``whole(response)`` (an UpstreamReply to change) else. Once per call."""


@hookspec
def answer_call(call: Any) -> Any:
    """Return an Answered in place of any channel's answer, or None. First answer wins. Once per call."""


@hookspec
def arrange_channels(call: Any, route: Any) -> None:
    """Sort ``route.candidates`` in place, ``route.drop(candidate, reason)``, or refuse. Once per call."""


# --- provider hooks: only on the plugin that registered the channel's provider -------------------


@hookspec
def rewrite_request(call: Any, channel: Any, request: Any) -> None:
    """Change the URL, headers or body members of *request*. Each attempt; pure, no I/O."""


@hookspec
def authorize(channel: Any, key: Any, request: Any, tools: Any, refresh: Any) -> Any:
    """Add the credentials and return True. Each attempt, last; once more with ``refresh=True`` after a 401, if the
    hook takes ``refresh``. ``tools``: ``http``, ``cache``, ``log``. Nobody else sees the secret."""


@hookspec
def decode_stream(call: Any, channel: Any, media_type: Any) -> Any:
    """Return a decoder of an answer in another framing, or None: ``feed(bytes) -> bytes`` and ``close() -> bytes`` give
    server-sent events (or what its ``media_type`` says). Each answer below 400, as it begins."""


@hookspec
def classify_failure(channel: Any, response: Any) -> Any:
    """Return "ok", "retry", "bad_key", "fatal", seconds to leave the channel alone, or None. Each bad answer;
    with ``Provider.checks_ok`` also each whole answer, and each stream's first event, of another status."""


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
