"""By which of its times a run counts: its beginning or its save."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias, get_args

from .filters import TraceFilter
from .trace import EPOCH, MICROSECOND, TraceSummary

Clock: TypeAlias = Literal["started_at", "created_at"]

_BOUNDS: dict[Clock, tuple[str, str]] = {
    "started_at": ("started_since", "started_until"),
    "created_at": ("since", "until"),
}


def check_clock(time: str) -> None:
    """Refuse what is no time of a run.

    Raises:
        ValueError: It is none.
    """
    if time not in get_args(Clock):
        raise ValueError(f"time is started_at or created_at, not {time!r:.80}")


def time_of(summary: TraceSummary, time: Clock) -> datetime:
    """When a run counts; one whose beginning nothing tells counts with its save."""
    began = summary.started_at if time == "started_at" else None
    return summary.created_at if began is None else began


def moment_of(summary: TraceSummary, time: Clock) -> int:
    """The same in microseconds since 1970."""
    return (time_of(summary, time) - EPOCH) // MICROSECOND


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
