"""Client keys from the store (`gateway keys`), beside those of the configuration. In use whenever there is
a `store:`."""

import hashlib
from dataclasses import dataclass

from gateway import GatewayError, hookimpl, issuer, option


@dataclass(frozen=True, kw_only=True)
class Options:
    grace: float = option("seconds for which known keys are valid while the store is away", 60, least=2)
    cached: int = option("keys that a worker keeps in mind", 10_000, least=1)


class NotYet(GatewayError):
    """The worker has not begun: the key may be good."""

    status = 503
    code = "store_unavailable"


class Plugin:
    def __init__(self, options):
        self._options = options
        self._teams = {}
        self._directory = None

    @hookimpl
    def check_config(self, config):
        self._teams = {team.name: team for team in config.teams if team}
        return [] if config.store else ["it needs a `store:`"]

    @hookimpl
    def begin(self, services):
        options = self._options
        self._directory = services.store.directory(self._teams, size=options.cached, grace=options.grace)
        self._directory.follow(services, "stored_keys")

    @hookimpl
    def end(self):
        if self._directory is not None:
            self._directory.leave()

    @hookimpl
    def authenticate(self, request):
        if not request.credentials:
            return None
        secret = request.credentials[0].reveal()
        if issuer.is_token(secret):  # not ours to know
            return None
        if self._directory is None:
            raise NotYet("the gateway's database is not open yet", retry_after=1)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return self._directory.admit(digest, request.address)
