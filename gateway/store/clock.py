"""Times as the store has them: microseconds since 1970, UTC."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> int:
    return time.time_ns() // 1000


def micros(moment: datetime) -> int:
    """Of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def day_of(micros: int) -> str:
    """``2026-11-21``"""
    return moment(micros).strftime("%Y-%m-%d")
