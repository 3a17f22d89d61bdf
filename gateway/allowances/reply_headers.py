"""What a reply says of its key's limits, in the names that the dialect's clients know.

OpenAI: ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``, the reset as a span (``6m0s``).
Anthropic: ``anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}``, the reset as a time (RFC 3339).
"""

import math
import time
from collections.abc import Iterable

from gateway.allowances.plans import Meter
from gateway.state import Level, Refusal

Headers = list[tuple[str, str]]


def rate_headers(dialect: str, levels: Iterable[tuple[Meter, Level]], now: float) -> Headers:
    """For requests and for tokens the one limit that will be reached first; none for a measure
    without limits. Observed limits are not shown: a client must not hold back for them."""
    tightest: dict[str, tuple[float, Meter, Level]] = {}
    for meter, level in levels:
        if not meter.seconds or meter.observe:
            continue
        share = level.used / meter.most if meter.most else 1.0
        other = tightest.get(meter.measure)
        if other is None or share > other[0]:
            tightest[meter.measure] = share, meter, level
    write = _anthropic if dialect == "messages" else _openai
    headers: Headers = []
    for measure, (_, meter, (_, used, frees)) in tightest.items():
        resets = (frees or float(meter.seconds)) if used else 0.0
        headers += write(measure, str(meter.most), str(max(meter.most - used, 0)), resets, now)
    return headers


def refused_headers(refusal: Refusal) -> Headers:
    """When a client is to come back, as its SDK reads it: milliseconds, or not at all."""
    if refusal.retry_after is None:
        return [("x-should-retry", "false")]
    return [("retry-after-ms", str(max(math.ceil(refusal.retry_after * 1000), 1)))]


def would_refuse(meters: Iterable[Meter]) -> str:
    """What observed limits would have refused: ``key:alice rpm, team:search usd``."""
    texts = (f"{meter.scope}{f'/{meter.glob}' if meter.glob else ''} {meter.word}" for meter in meters)
    return ", ".join("".join(c if c.isascii() and c.isprintable() else "?" for c in text) for text in texts)[:2000]


def _openai(measure: str, most: str, left: str, resets: float, _: float) -> Headers:
    return [
        (f"x-ratelimit-limit-{measure}", most),
        (f"x-ratelimit-remaining-{measure}", left),
        (f"x-ratelimit-reset-{measure}", _span(resets)),
    ]


def _anthropic(measure: str, most: str, left: str, resets: float, now: float) -> Headers:
    reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(math.ceil(now + resets)))
    return [
        (f"anthropic-ratelimit-{measure}-limit", most),
        (f"anthropic-ratelimit-{measure}-remaining", left),
        (f"anthropic-ratelimit-{measure}-reset", reset),
    ]


def _span(seconds: float) -> str:
    """``120ms``, ``59s``, ``6m0s``, ``23h59m0s``; never earlier than it is."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds <= 59:
        return f"{math.ceil(seconds)}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{rest}s"
