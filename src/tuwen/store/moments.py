"""Moments as the store keeps them: whole microseconds since 1970, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_moment(when: datetime) -> int:
    """A time without a zone is UTC."""
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def from_moment(moment: int) -> datetime:
    """UTC, with its zone."""
    return EPOCH + timedelta(microseconds=moment)


def now() -> int:
    return time.time_ns() // 1000
