"""By which of its times a run counts: its beginning or its save."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias, get_args

from .trace import EPOCH, MICROSECOND, TraceSummary

Clock: TypeAlias = Literal["started_at", "created_at"]


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
