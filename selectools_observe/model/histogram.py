"""Runs over time: what `histogram` returns, and the counting that all backends share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from .clock import Clock, check_clock, moment_of
from .filters import TraceFilter
from .trace import EPOCH, MICROSECOND, TraceSummary

_LAST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND

MOST_BUCKETS = 10_000

_BOUNDS: dict[Clock, tuple[str, str]] = {
    "started_at": ("started_since", "started_until"),
    "created_at": ("since", "until"),
}


class TraceHistogram(msgspec.Struct, frozen=True):
    """How many runs began, or were saved, when.

    Attributes:
        since: When the first bucket begins, aware.
        until: The last instant that counts.
        bucket: How long each bucket is. Each begins where the one before it ends.
        runs: How many runs of each bucket match, oldest first.
        errors: How many of them have an error.
    """

    since: datetime | None = None
    until: datetime | None = None
    bucket: timedelta = timedelta(0)
    runs: list[int] = []
    errors: list[int] = []

    @property
    def total(self) -> int:
        """Count of matching runs."""
        return sum(self.runs)


class Tally:
    """Counts runs by the microsecond at which they began, or were saved.

    Args:
        since: The first microsecond that counts, since 1970.
        until: The last.
        buckets: How many parts of that time.
        time: Which time of a run counts.
    """

    def __init__(self, since: int, until: int, buckets: int, time: Clock) -> None:
        self.time = time
        self.since = since
        self.until = until
        # Whole microseconds, so that every backend finds the same bucket for a run.
        self.width = max(0, until - since) // buckets + 1
        self._runs = [0] * buckets
        self._errors = [0] * buckets

    def bucket_of(self, moment: int) -> int | None:
        """The bucket of a microsecond; None if it is outside."""
        return (moment - self.since) // self.width if self.since <= moment <= self.until else None

    def add(self, bucket: int, runs: int, errors: int) -> None:
        """Count runs, and those of them that have an error."""
        self._runs[bucket] += runs
        self._errors[bucket] += errors

    def add_run(self, moment: int, *, has_error: bool) -> None:
        """Count one run, if it is inside."""
        bucket = self.bucket_of(moment)
        if bucket is not None:
            self.add(bucket, 1, int(has_error))

    def add_summary(self, summary: TraceSummary) -> None:
        """Count the run of a summary, if it is inside."""
        self.add_run(moment_of(summary, self.time), has_error=summary.has_error)

    @property
    def total(self) -> int:
        """How many runs were counted."""
        return sum(self._runs)

    def result(self) -> TraceHistogram:
        """What was counted."""
        width = self.width * MICROSECOND
        return TraceHistogram(
            _moment(self.since), _moment(self.until), width, self._runs, self._errors
        )


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=min(microseconds, _LAST_US))


def bounds_of(filters: TraceFilter, time: Clock) -> tuple[int | None, int | None]:
    """The filter's own bounds of that time, in microseconds since 1970."""
    since, until = (
        None if moment is None else (moment - EPOCH) // MICROSECOND
        for moment in (getattr(filters, name) for name in _BOUNDS[time])
    )
    return since, until


def only_times(filters: TraceFilter) -> TraceFilter:
    """A filter's bounds of time alone, of both times."""
    names = [name for bounds in _BOUNDS.values() for name in bounds]
    return TraceFilter(**{name: getattr(filters, name) for name in names})


def check_histogram(filters: TraceFilter, buckets: int, time: str) -> None:
    """Refuse what no histogram can be made of.

    Raises:
        TypeError: ``buckets`` is not an integer.
        ValueError: There are none, or too many; the filter has a limit; there is no such time.
    """
    check_clock(time)
    if isinstance(buckets, bool) or not isinstance(buckets, int):
        raise TypeError(
            f"buckets must be an integer, not {type(buckets).__name__}: {buckets!r:.80}"
        )
    if not 1 <= buckets <= MOST_BUCKETS:
        raise ValueError(f"buckets must be from 1 to {MOST_BUCKETS}: {buckets!r:.80}")
    if filters.limit is not None:
        raise ValueError("a histogram has no limit: it counts all runs that match")
