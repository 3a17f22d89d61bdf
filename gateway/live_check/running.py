"""Many checks at once, none of which can hold the others or the operator up."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from queue import SimpleQueue

from gateway.domain import Candidate, Channel
from gateway.errors import GatewayError
from gateway.live_check.asking import Asking, Wish
from gateway.live_check.findings import Findings
from gateway.live_check.listing import Listing, model_to_try
from gateway.live_check.reaching import reach
from gateway.live_check.tiny_calls import address_of, tiny_call
from gateway.loading import Gateway

log = logging.getLogger("gateway.live_check")

_GRACE = 1.0  # seconds beyond the time-out for what cannot be timed (a name server, bytes that only drip)


def checks_of(channels: Iterable[Channel], every_key: bool = False) -> list[Findings]:
    """One check, still to be made, for each channel with its first key, or with each of them."""
    checks = []
    for channel in channels:
        numbers: list[int | None] = [*range(len(channel.keys))] or [None]
        checks += [Findings(channel, number) for number in (numbers if every_key else numbers[:1])]
    return checks


def run(gateway: Gateway, checks: list[Findings], wish: Wish, jobs: int) -> Iterator[Findings]:
    """Make the *checks*, up to *jobs* of them at once; yields each when it has ended.

    All threads are daemons: whoever stops listening (Ctrl-C) has to wait for nobody.
    """
    waiting, ended = deque(checks), SimpleQueue[Findings]()

    def work() -> None:
        while True:
            try:
                findings = waiting.popleft()
            except IndexError:
                return
            check = threading.Thread(target=_check, args=(gateway, findings, wish), daemon=True)
            check.start()
            check.join(wish.timeout + _GRACE)
            if check.is_alive():
                findings.give_up()
            ended.put(findings)

    for _ in range(min(jobs, len(checks))):
        threading.Thread(target=work, daemon=True).start()
    for _ in checks:
        yield ended.get()


def _check(gateway: Gateway, findings: Findings, wish: Wish) -> None:
    findings.start()
    ends_at = time.monotonic() + wish.timeout
    try:
        findings.dialect = next(iter(findings.channel.provider.dialects))
        if reach(findings.channel, _url(gateway, findings, wish), findings, ends_at):
            Asking(gateway, findings, wish, ends_at).run()
    except Exception as error:  # of a plugin, say: the other checks and the table go on
        log.debug("the check of %s failed", findings.name, exc_info=True)
        findings.fail(f"failed unexpectedly ({type(error).__name__})")
    finally:
        findings.end()


def _url(gateway: Gateway, findings: Findings, wish: Wish) -> str:
    """Where the channel's calls go."""
    channel, dialect = findings.channel, findings.dialect
    model = model_to_try(channel, wish.model, Listing(None)) or "model"
    try:
        call = tiny_call(channel, dialect, model, True, wish.tokens)
        plugin = gateway.provider_plugins.get(channel.provider.name)
        return address_of(call, Candidate(channel, model, "live check", dialect), plugin)
    except GatewayError:  # the call itself will tell
        return channel.base_url
