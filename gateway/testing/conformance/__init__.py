"""The conformance suite: what every plugin has to keep, checked on the plugin itself.

Nothing is taken on trust: real calls go through the whole gateway to a scripted upstream, and the
plugin's hooks are watched meanwhile. ``check(subject, folder)`` gives the findings.
"""

import inspect
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.concealing import forms_of, without
from gateway.errors import ConfigError, GatewayError
from gateway.plugin_manager import HOOK_NAMES, Plugin
from gateway.testing.bench import DIALECTS, Bench
from gateway.testing.conformance import refusals, streams, whole
from gateway.testing.conformance.findings import FAILED, NOTED, PASSED, SKIPPED, Failed, Finding, NotApplicable
from gateway.testing.guard import Guard
from gateway.testing.subject import Subject

# The last two look at what all the others left behind.
CHECKS: tuple[Callable[[Bench], str], ...] = (
    whole.answers, whole.pure, whole.request_bytes, whole.reply_bytes, streams.incremental, streams.every_cut,
    streams.split_characters, streams.line_ends, streams.large_event, streams.abort, streams.truncation,
    refusals.errors, refusals.refresh, refusals.canary, refusals.network,
)  # fmt: skip
_STAND_IN = "check-vendor"  # serves the calls that a plugin without a provider looks at
_REPEATS = 200


def check(subject: Subject, folder: Path, guard: Guard, samples: Path | None = None) -> Iterator[Finding]:
    """The findings, as they are made. *folder* is a place to write in; *samples* see samples.Samples."""
    yield Finding("", "loads", PASSED, subject.origin)
    if subject.loaded is not None:
        yield _hooks(subject.loaded)
    names = subject.providers
    if not names:
        names = [_STAND_IN]
        vendor = {"dialects": list(DIALECTS), "base_url": "http://127.0.0.1"}
        subject.given = subject.given | {"providers": {_STAND_IN: vendor}}
    for name in names:
        try:
            bench = Bench(subject, name, folder, guard, samples)
        except ConfigError as error:
            yield Finding(name, "channel", FAILED, "; ".join(error.complaints))
            continue
        with bench:
            shown = "" if name == _STAND_IN else name
            yield from _on(bench, shown, subject)


def _hooks(plugin: Plugin) -> Finding:
    """What the plugin hooks into; a function that only looks like a hook is one that was forgotten."""
    owner = next(iter(plugin.hooks.values())).get_hookimpls()[0].plugin if plugin.hooks else None
    members = {name for name, _ in inspect.getmembers(owner, inspect.isroutine)} if owner is not None else set()
    forgotten = sorted(members & set(HOOK_NAMES) - set(plugin.hooks))
    if forgotten:
        return Finding("", "hooks", FAILED, f"{', '.join(forgotten)}: without @hookimpl it is never called")
    if not plugin.hooks:
        return Finding("", "hooks", FAILED, "it has none: no function is marked with @hookimpl")
    return Finding("", "hooks", PASSED, ", ".join(plugin.hooks))


def _on(bench: Bench, shown: str, subject: Subject) -> Iterator[Finding]:
    refused = _refused(bench) if not subject.providers else ""
    for function in CHECKS:
        if refused and function not in (refusals.canary, refusals.network):
            yield Finding(shown, function.__name__, SKIPPED, refused)
        else:
            yield _one(bench, shown, function)
    yield from _times(bench, shown)


def _one(bench: Bench, shown: str, function: Callable[[Bench], str]) -> Finding:
    try:
        return Finding(shown, function.__name__, PASSED, function(bench))
    except Failed as error:
        outcome, detail = FAILED, str(error)
    except NotApplicable as error:
        outcome, detail = SKIPPED, str(error)
    except GatewayError as error:  # the answer, read as a client does, says an error
        outcome, detail = FAILED, f"the client is told {error.fault.message!r}"
    except Exception as error:  # of the plugin's, met in a hook or a filter: the other checks go on
        outcome, detail = FAILED, f"the check itself broke on {type(error).__name__}: {error}"
    # What was sent and got is quoted above.
    return Finding(shown, function.__name__, outcome, without(forms_of(bench.secrets), detail))


def _refused(bench: Bench) -> str:
    """Why a policy refuses the calls of the checks; empty if it lets them pass."""
    answer = bench.ask("chat", bench.said("chat"))
    if answer.status < 400 or bench.upstream.sent:
        return ""
    return f"the plugin refuses the checks' calls ({answer.status}); --config may give it options that let them pass"


def _times(bench: Bench, shown: str) -> Iterator[Finding]:
    """How long each hook took, in the middle; reported, not judged."""
    if bench.spies is None:
        return
    for repeat in bench.spies.requests:
        for _ in range(_REPEATS):
            repeat()
    for hook, seconds in bench.spies.seconds.items():
        middle = statistics.median(seconds) * 1e6
        yield Finding(shown, f"time of {hook}", NOTED, f"{middle:.1f} us (median of {len(seconds)})")
