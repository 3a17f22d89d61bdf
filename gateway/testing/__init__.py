"""For those who write plugins: a gateway to ask, an upstream that says what it is told, and the rules.

``gateway.testing.plugin`` gives these as pytest fixtures, and is in use wherever the gateway is installed.
"""

import tempfile
from pathlib import Path

from gateway.testing.asking import Answer
from gateway.testing.cassette import Cassette, CassetteRefused
from gateway.testing.client import Client
from gateway.testing.conformance import check
from gateway.testing.conformance.findings import FAILED, Finding
from gateway.testing.golden import decoded, filtered, golden
from gateway.testing.guard import Guard
from gateway.testing.live import LiveGateway
from gateway.testing.samples import Samples
from gateway.testing.subject import subject
from gateway.testing.upstream import CUT, RESET, Scripted, ScriptedUpstream, Sent, Stall, Wait, cut, document, stream

__all__ = [
    "Answer", "CUT", "Cassette", "CassetteRefused", "Client", "Finding", "LiveGateway", "RESET", "Samples", "Scripted",
    "ScriptedUpstream", "Sent", "Stall", "Wait", "checked", "cut", "decoded", "document", "failed_checks", "filtered",
    "golden", "stream",
]  # fmt: skip


def checked(
    target: str, config: Path | None = None, provider: str = "", samples: Path | None = None
) -> list[Finding]:
    """The findings of ``gateway plugin check``. Raises ConfigError when *target* cannot be loaded."""
    guard = Guard()
    with tempfile.TemporaryDirectory(prefix="gateway-check-") as name, guard:
        folder = Path(name)
        return list(check(subject(target, folder, config, provider), folder, guard, samples))


def failed_checks(
    target: str, config: Path | None = None, provider: str = "", samples: Path | None = None
) -> list[Finding]:
    """Those that failed; none, for a plugin that keeps the rules."""
    return [finding for finding in checked(target, config, provider, samples) if finding.outcome == FAILED]
