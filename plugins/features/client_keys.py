"""Client keys from the configuration's ``keys:``. In use whenever there are any."""

import hashlib
import hmac
from datetime import UTC, datetime

from gateway import Forbidden, Principal, Unauthorized, hookimpl


class Plugin:
    """Keys are found by their SHA-256, so that no comparison ever touches a key itself; what is
    left to decide is decided in constant time."""

    def __init__(self):
        self._keys = {}  # digest -> (settings of the key, its Principal)

    @hookimpl
    def check_config(self, config):
        complaints, teams = [], {team.name: team for team in config.teams if team}
        for key in config.keys:
            if key is None or not (key.key or key.sha256):
                continue  # the configuration has complained of it already
            digest = key.sha256 or _digest(key.key)
            if digest in self._keys:
                complaints.append((key.line, f"{self._keys[digest][0].name!r} and {key.name!r} have the same key"))
            if key.team and key.team not in teams and not config.store:
                complaints.append((key.line, f"{key.name!r} is of a team {key.team!r} that `teams:` does not name"))
            self._keys[digest] = (key, Principal.of(key, teams.get(key.team)))
        return complaints

    @hookimpl
    def authenticate(self, request):
        if not request.credentials:
            return None
        digest = _digest(request.credentials[0])
        found = digest if digest in self._keys else ""
        if not hmac.compare_digest(found, digest):
            return None  # another plugin may know it
        key, principal = self._keys[found]
        if key.expires is not None and datetime.now(UTC) >= key.expires:
            raise Unauthorized("this API key has expired", code="expired_api_key")
        if key.allow_ips and not _within(request.address, key.allow_ips):
            raise Forbidden("this API key may not be used from this address", code="address_not_allowed")
        return principal


def _digest(secret):
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _within(address, networks):
    address = getattr(address, "ipv4_mapped", None) or address
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )
