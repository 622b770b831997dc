"""Page requests and page rows: what the base class asks of a backend, and the answer."""

from __future__ import annotations

import msgspec

from ..model.filters import TraceFilter
from ..model.pagination import Position
from ..model.trace import TraceSummary


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
    """

    key: int
    summary: TraceSummary
    tiebreaker: int = 0
