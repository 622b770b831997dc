"""Retention: which runs a store keeps, and what `prune` did about the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from .filters import TraceFilter
from .text import counted

Selection = TraceFilter | str
"""Runs that are meant: a filter, or a text in the filter language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Which runs a store is to keep. What any one of the bounds is against goes, the oldest first.

    Attributes:
        older_than: Runs saved longer ago than this go; or before this instant, timezone-aware.
        keep_runs: All but the newest so many go, in the order of saving.
        keep_bytes: The oldest go until the store has at most this many bytes: pages of a database
            that are in use, a JSONL file with superseded lines and the file of its annotations; on
            a server what the rows hold.
        where: Only runs that match are looked at. Alone, without a bound, all of them go.
        keep: Runs that match stay, whatever the bounds say.
        keep_annotated: So do runs that have annotations.

    Raises:
        TypeError: A value of the wrong type.
        ValueError: A negative bound, an instant without a timezone, a filter that cannot be read or
            that has a limit, or nothing at all is asked for.
    """

    older_than: timedelta | datetime | None = None
    keep_runs: int | None = None
    keep_bytes: int | None = None
    where: Selection | None = None
    keep: Selection | None = None
    keep_annotated: bool = False

    def __post_init__(self) -> None:
        for name in ("keep_runs", "keep_bytes"):
            _check_bound(name, getattr(self, name))
        _check_age(self.older_than)
        for name in ("where", "keep"):
            object.__setattr__(self, name, _filter_of(name, getattr(self, name)))
        if not self.has_bound and self.where is None:
            raise ValueError("give older_than, keep_runs, keep_bytes or where: what to delete")

    @property
    def has_bound(self) -> bool:
        """Whether it says more than which runs are looked at."""
        bounds = (self.older_than, self.keep_runs, self.keep_bytes)
        return any(bound is not None for bound in bounds)

    def cutoff(self, now: datetime) -> datetime | None:
        """The instant before which runs are too old."""
        if isinstance(self.older_than, timedelta):
            return now - self.older_than
        return self.older_than


def _check_bound(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}: {value!r:.80}")
    if value < 0:
        raise ValueError(f"{name} must not be negative: {value}")


def _check_age(value: object) -> None:
    if value is None:
        return
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"older_than has no timezone: {value!r}")
    elif not isinstance(value, timedelta):
        raise TypeError(f"older_than must be a timedelta or a datetime, not {value!r:.80}")
    elif value < timedelta(0):
        raise ValueError(f"older_than must not be negative: {value}")


def _filter_of(name: str, value: object) -> TraceFilter | None:
    if value is None:
        return None
    found = TraceFilter(where=value) if isinstance(value, str) else value
    if not isinstance(found, TraceFilter):
        raise TypeError(f"{name} must be a TraceFilter or a text, not {type(value).__name__}")
    if found.limit is not None:
        raise ValueError(f"{name} must have no limit")
    return replace(found, order_by=None)


class PruneReport(msgspec.Struct, frozen=True):
    """What `prune` did, or would do.

    Attributes:
        where: The store.
        runs: Runs that were deleted.
        spared: Runs that were to go by a bound and stayed by ``keep`` or ``keep_annotated``.
        size_before: The store's bytes before; None if it cannot tell.
        size_after: And after; of a dry run, about.
        dry_run: Whether nothing was deleted.
        run_ids: The first thousand of the runs.
    """

    where: str
    runs: int
    spared: int = 0
    size_before: int | None = None
    size_after: int | None = None
    dry_run: bool = False
    run_ids: Sequence[str] = ()

    def __str__(self) -> str:
        many = counted(self.runs, "run")
        text = f"{self.where}: {many} {'would be deleted' if self.dry_run else 'deleted'}"
        if self.spared:
            text += f", {self.spared:,} spared"
        if self.size_before is not None and self.size_after is not None:
            about = "about " if self.dry_run else ""
            text += f", {self.size_before:,} bytes before, {about}{self.size_after:,} after"
        return text
