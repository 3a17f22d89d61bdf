"""Which version of the interface a plugin was written for.

The interface is hookspecs, what ``gateway/__init__.py`` offers, and ``gateway.testing``. It grows
without a new version: hooks and arguments are only added, so a plugin that was made for an older
one keeps working. The number rises when a plugin can be made that this gateway could not run.
"""

from typing import Any

from gateway.errors import ConfigError

API = 1


def api_of(module: Any, name: str, origin: str) -> int:
    """The version that the plugin's *module* says it was made for (``API = 1``; 1 if it says nothing).

    Raises ConfigError for one that is still to come, and for what is no version.
    """
    wanted = getattr(module, "API", 1)
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise ConfigError([f"plugin {name!r} ({origin}): API is {wanted!r}; expected a whole number, such as {API}"])
    if wanted > API:
        text = f"it was made for version {wanted} of the plugin interface, and this gateway has version {API}"
        raise ConfigError([f"plugin {name!r} ({origin}): {text}; a newer gateway is needed"])
    return wanted
