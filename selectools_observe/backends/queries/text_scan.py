"""What is told of runs by reading them: whether their texts match, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ...model.codec import decode
from ...model.facets import facts_of
from ...model.filters import TraceFilter, needed_text, verdict
from ...model.rollups import Rollup, rollup_of
from ...model.text_query import JSONSieve, SearchHit, TextQuery, hits_in
from ...model.trace import AgentTrace, TraceFacts, TraceSummary
from .paging import PageRow

# A page from a scan begins with few rows, since what is common is found at once.
FEWEST_AT_ONCE, MOST_AT_ONCE = 64, 512


class TextScan:
    """Decides about runs by their JSON; most are left out without being decoded."""

    def __init__(self, filters: TraceFilter) -> None:
        self._filters = filters
        needed = needed_text(filters)
        self._sieve = None if needed is None else JSONSieve(needed)

    def matches(self, summary: TraceSummary, data: bytes) -> bool:
        """Whether a run matches; one that cannot be read does not."""
        if self._sieve is not None and not self._sieve.may_match(data):
            return False
        trace = decoded(data)
        return trace is not None and bool(verdict(self._filters, summary, facts_of(trace), trace))

    def chosen(self, rows: Sequence[PageRow], stored: Sequence[object]) -> list[PageRow]:
        """Those rows that match, told by what is stored of each."""
        return [
            row
            for row, data in zip(rows, stored, strict=True)
            if isinstance(data, bytes) and self.matches(row.summary, data)
        ]


def decoded(data: bytes) -> AgentTrace | None:
    """The trace of its JSON; None if it cannot be read."""
    try:
        trace: AgentTrace = decode(data)
    except ValueError:
        return None
    return trace


def rollups_of(stored: Sequence[object]) -> list[Rollup | None]:
    """What the calls of each run add up to; None if it cannot be read."""
    return [None if trace is None else rollup_of(trace) for trace in _traces_of(stored)]


def facts_of_stored(stored: Sequence[object]) -> list[TraceFacts | None]:
    """What filters ask of each run's steps; None if it cannot be read."""
    return [None if trace is None else facts_of(trace) for trace in _traces_of(stored)]


def _traces_of(stored: Sequence[object]) -> Iterator[AgentTrace | None]:
    return (decoded(data) if isinstance(data, bytes) else None for data in stored)


def hits_of(query: TextQuery, stored: Sequence[object], most: int) -> list[SearchHit]:
    """Where the query is found in each run, so many places of each at most."""

    def all_hits() -> Iterator[SearchHit]:
        for data in stored:
            trace = decoded(data) if isinstance(data, bytes) else None
            if trace is not None:
                yield from islice(hits_in(query, trace, most), most)

    return list(all_hits())
