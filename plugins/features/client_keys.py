"""Client keys from the configuration's ``keys:``. In use whenever there are any."""

import hashlib
import hmac
from datetime import UTC, datetime

from gateway import Forbidden, Principal, Unauthorized, hookimpl

_LOOK = 0.4  # seconds between two looks at changes of the store's teams


class Plugin:
    """Keys are found by their SHA-256, so that no comparison ever touches a key itself; what is
    left to decide is decided in constant time."""

    def __init__(self):
        self._keys = {}  # digest -> (settings of the key, its Principal; None: its team is the store's)
        self._of_stored_teams = {}  # digest -> (edition of the store's teams, its Principal)
        self._directory = None
        self._stop = None

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
            elsewhere = key.team and key.team not in teams
            self._keys[digest] = (key, None if elsewhere else Principal.of(key, teams.get(key.team)))
        return complaints

    @hookimpl
    def begin(self, services):
        if all(principal is not None for _, principal in self._keys.values()):
            return
        self._directory = services.store.directory({})
        self._stop = services.every(_LOOK, self._directory.look, "client_keys")

    @hookimpl
    def end(self):
        if self._stop is not None:
            self._stop.set()

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
        return principal or self._of_stored_team(found, key)

    def _of_stored_team(self, digest, key):
        """Its Principal, with the team's limits as they are now. While the store is away it is the last known."""
        edition = self._directory and self._directory.edition
        known = self._of_stored_teams.get(digest)
        if known is None or known[0] != edition:
            team = self._directory.team(key.team) if self._directory else None
            if team is None:  # its calls would have no limits
                raise Forbidden("the team of this API key is not known here", code="access_denied")
            known = self._of_stored_teams[digest] = edition, Principal.of(key, team)
        return known[1]


def _digest(secret):
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _within(address, networks):
    address = getattr(address, "ipv4_mapped", None) or address
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )
