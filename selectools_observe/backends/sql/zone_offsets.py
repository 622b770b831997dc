"""The offsets of a time zone over a span of time, for SQL that counts by its hours and days."""

from __future__ import annotations

from datetime import UTC, timedelta, tzinfo
from typing import NamedTuple

from ...model.statistics import QUARTER_US
from ...model.trace import EPOCH, MICROSECOND

_QUARTER = QUARTER_US * MICROSECOND
_DAY = timedelta(days=1) // _QUARTER
_MOST_DAYS = 100 * 366


class Offset(NamedTuple):
    """A time in which a zone keeps its distance from UTC.

    Attributes:
        until: The first quarter of an hour since 1970 that is after it.
        quarters: How many quarters the zone is ahead.
    """

    until: int
    quarters: int


def offsets_of(zone: tzinfo, first: int, last: int) -> list[Offset] | None:
    """The offsets of a zone from a quarter of an hour on to another, in order.

    None where they are no whole quarters, as before there were time zones, or the span is too long
    to look through.
    """
    if zone is UTC:
        return [Offset(last + 1, 0)]
    if last - first > _MOST_DAYS * _DAY:
        return None
    found: list[Offset] = []
    at, offset = first, _offset(zone, first)
    while at <= last:
        following = min(at + _DAY, last + 1)
        changed = _offset(zone, following)
        if changed != offset:
            following = _change(zone, at, following)
            found.append(Offset(following, offset // _QUARTER))
            changed = _offset(zone, following)
        if offset % _QUARTER or changed % _QUARTER:
            return None
        at, offset = following, changed
    return [*found, Offset(last + 1, offset // _QUARTER)]


def _change(zone: tzinfo, before: int, after: int) -> int:
    """The first quarter with another offset."""
    offset = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if _offset(zone, middle) != offset else (middle, after)
    return after


def _offset(zone: tzinfo, quarter: int) -> timedelta:
    return (EPOCH + quarter * _QUARTER).astimezone(zone).utcoffset() or timedelta()
