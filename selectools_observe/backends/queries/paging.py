"""Page requests and page rows: what the base class asks of a backend, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import msgspec

from ...model.filters import TraceFilter
from ...model.pagination import Position
from ...model.trace import TraceFacts, TraceSummary


class PageRequest(msgspec.Struct, frozen=True):
    """Which summaries a page is to hold.

    Attributes:
        filters: What they must match; its ``limit`` is for the methods, not for the backend.
        after: The page begins after this place, in its own direction.
        limit: The most that it holds; None for all.
        offset: How many to leave out first.
        oldest_first: The direction.
        newest: Nothing saved after this place.
    """

    filters: TraceFilter
    after: Position | None = None
    limit: int | None = None
    offset: int = 0
    oldest_first: bool = False
    newest: Position | None = None


class PageRow(msgspec.Struct, frozen=True, gc=False):
    """A summary and its place in the order of saving.

    Attributes:
        key: Its number in that order.
        summary: The summary.
        tiebreaker: How many of the same instant are older.
        facts: What filters ask of the run's steps, where it came with the summary.
    """

    key: int
    summary: TraceSummary
    tiebreaker: int = 0
    facts: TraceFacts | None = None


class PlacedSummaries(Sequence[PageRow]):
    """Rows of a page that are made when they are asked for: most pages give their summaries."""

    def __init__(self, keys: Sequence[int], summaries: Sequence[TraceSummary]) -> None:
        self._keys = keys
        self.summaries = summaries

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, at: int) -> PageRow: ...
    @overload
    def __getitem__(self, at: slice) -> PlacedSummaries: ...
    def __getitem__(self, at: int | slice) -> PageRow | PlacedSummaries:
        if isinstance(at, slice):
            return PlacedSummaries(self._keys[at], self.summaries[at])
        return PageRow(self._keys[at], self.summaries[at])


def summaries_of(rows: Sequence[PageRow]) -> Sequence[TraceSummary]:
    """The summaries of a page's rows."""
    if isinstance(rows, PlacedSummaries):
        return rows.summaries
    return [row.summary for row in rows]
