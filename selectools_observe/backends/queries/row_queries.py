"""What the runs of a store answer, over the few reads that a backend supplies.

Pages, cursors, orders, streams, searches by reading, and what runs add up to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import TypeAlias

import msgspec

from ...errors import CorruptTraceError
from ...model import timestamps
from ...model.clock import Clock, time_of
from ...model.filters import (
    TraceFilter,
    asks_for_texts,
    check_filter,
    grouped,
    order_of,
    scored,
)
from ...model.groups import FacetCollector, GroupCollector, GroupPage
from ...model.histogram import Tally, TraceHistogram, bounds_of, only_times
from ...model.ordering import Order, SortKey
from ...model.pagination import Position, TracePage, from_cursor, to_cursor
from ...model.rollups import Rollup
from ...model.statistics import Collector
from ...model.trace import TraceFacts
from ...runtime.interface import Runtime
from .paging import PageRequest, PageRow, summaries_of
from .rollup_memory import RollupMemory, version_of
from .text_scan import FEWEST_AT_ONCE, MOST_AT_ONCE, TextScan, facts_of_stored, rollups_of

EVERYTHING = TraceFilter()
SUMMARIES_AT_ONCE = 512

Loaded: TypeAlias = bytes | CorruptTraceError | None
"""A trace's JSON, or why there is none."""


class RowQueries(ABC):
    """The queries of a store as coroutines, for either runtime."""

    _runtime: Runtime
    _is_ready: bool
    """Neither closed nor in need of `_begin`."""
    _kind: str
    """What cursors of this kind of store say they belong to."""
    _largest_key = 2**63
    """What the keys of this kind of store are less than."""
    _reads_texts = False
    """Whether `_page`, `_count` and `_histogram` look at the texts of a run themselves."""
    _rollup_memory: RollupMemory | None = None
    """Where what the calls of runs add up to is remembered, if it is."""
    _is_costly_to_page = False
    """Whether one page costs as much as all of them, so that streams ask once."""

    async def _give_page(
        self, filters: TraceFilter, limit: int | None, offset: int, cursor: str | None
    ) -> TracePage:
        if not self._is_ready:
            await self._begin()
        after = None if cursor is None else self._from_cursor(cursor, filters)
        order = None if filters.order_by is None else order_of(filters)
        newest = None if order is None else await self._newest_then(after)
        # One more than asked tells whether there is another page.
        more = None if limit is None else limit + 1
        ask = PageRequest(filters, after, more, offset, newest=newest)
        found = await self._rows(ask) if limit != 0 else []
        page = found[:limit]
        summaries = summaries_of(page)
        if limit is None or len(found) <= limit or not page:
            return TracePage(summaries)
        position = self._position(page[-1])
        if order is not None:
            position = msgspec.structs.replace(
                position,
                order_by=filters.order_by,
                value=order.value_of(page[-1].summary),
                newest=None if newest is None else newest.key,
            )
        return TracePage(summaries, partial(to_cursor, position))

    def _from_cursor(self, cursor: str, filters: TraceFilter) -> Position:
        return from_cursor(cursor, self._kind, filters.order_by, largest=self._largest_key)

    async def _newest_then(self, after: Position | None) -> Position | None:
        """The newest trace when the first page was given, which bounds the pages after it."""
        if after is None:
            return await self._newest()
        if after.newest is None or after.epoch != self._epoch():
            return None
        return Position(self._kind, after.newest, after.epoch)

    async def _stream(
        self, filters: TraceFilter | None, at_once: int, *, oldest_first: bool
    ) -> AsyncIterator[Sequence[PageRow]]:
        filters = check_filter(EVERYTHING if filters is None else filters)
        if filters.order_by is not None and oldest_first:
            raise ValueError("oldest_first is an order of its own: leave out order_by")
        await self._begin()
        newest = await self._newest()
        after: Position | None = None
        left = filters.limit
        if newest is not None and (filters.order_by is not None or self._is_costly_to_page):
            found = await self._rows(PageRequest(filters, limit=left, newest=newest))
            found = found[::-1] if oldest_first else found
            for start in range(0, len(found), at_once):
                self._check_open()
                yield found[start : start + at_once]
            return
        if newest is not None and oldest_first and left is not None:
            after = await self._before_the_newest(left, filters, newest)
        while newest is not None and left != 0:
            self._check_open()
            size = at_once if left is None else min(at_once, left)
            found = await self._rows(PageRequest(filters, after, size, 0, oldest_first, newest))
            yield found
            if len(found) < size:
                return
            after = self._position(found[-1])
            left = None if left is None else left - size

    async def _statistics(self, filters: TraceFilter, collector: Collector) -> None:
        """Hand all runs that match, and what their calls add up to, to the collector."""
        async for found in self._stream(filters, SUMMARIES_AT_ONCE, oldest_first=False):
            rollups: Sequence[Rollup | None] = [None] * len(found)
            if collector.needs_traces:
                rollups = await self._rollups(found)
            for row, rollup in zip(found, rollups, strict=True):
                collector.add_summary(row.summary)
                if rollup is not None:
                    collector.add_rollup(rollup, time_of(row.summary, collector.time))
                collector.add_annotations(row.summary, rollup)

    async def _group_page(
        self,
        filters: TraceFilter,
        collector: GroupCollector,
        order_by: str,
        limit: int,
        cursor: str | None,
    ) -> GroupPage:
        """Hand all runs that match to the collector, and give its page."""
        asked = grouped(filters, collector.by)
        async for found in self._stream(asked, SUMMARIES_AT_ONCE, oldest_first=False):
            for row in found:
                collector.add(row.summary)
        return collector.page(order_by, limit, cursor)

    async def _facets(self, filters: TraceFilter, collector: FacetCollector) -> None:
        """Hand all runs that match, and what filters ask of their steps, to the collector."""
        async for found in self._stream(filters, SUMMARIES_AT_ONCE, oldest_first=False):
            for row, facts in zip(found, await self._facts(found), strict=True):
                collector.add(row.summary, facts)

    async def _rollups(self, rows: Sequence[PageRow]) -> Sequence[Rollup | None]:
        """What the calls of each run add up to; None if it cannot be read."""
        if self._rollup_memory is None:
            return await self._read_rollups(rows)
        known = self._rollup_memory.known(self._epoch(), rows)
        unknown = [row for row in rows if version_of(row) not in known]
        if unknown:
            read = await self._read_rollups(unknown)
            new = dict(zip(map(version_of, unknown), read, strict=True))
            self._rollup_memory.add(new)
            known |= new
        return [known[version_of(row)] for row in rows]

    async def _read_rollups(self, rows: Sequence[PageRow]) -> Sequence[Rollup | None]:
        stored = await self._peek([row.summary.run_id for row in rows])
        work = partial(rollups_of, stored)
        return await self._runtime.call(work) if self._runtime.hops else work()

    async def _facts(self, rows: Sequence[PageRow]) -> Sequence[TraceFacts | None]:
        """What filters ask of each run's steps; None if it cannot be read."""
        stored = await self._peek([row.summary.run_id for row in rows])
        work = partial(facts_of_stored, stored)
        return await self._runtime.call(work) if self._runtime.hops else work()

    async def _rows(self, ask: PageRequest) -> Sequence[PageRow]:
        """The rows asked for, whatever the backend itself can do."""
        if ask.limit == 0:
            return []
        order = None if ask.filters.order_by is None else order_of(ask.filters)
        if order is not None and not await self._can_order(ask.filters, order):
            return await self._ordered(ask, order)
        if self._must_read(ask.filters):
            return await self._read(ask)
        return await self._page(ask)

    async def _ordered(self, ask: PageRequest, order: Order) -> Sequence[PageRow]:
        """The rows in another order than that of saving: all that match are looked at."""
        every = PageRequest(unordered(ask.filters), newest=ask.newest)
        epoch = self._epoch()
        is_same_epoch = ask.after is None or ask.after.epoch == epoch

        def key_of(row: PageRow) -> SortKey:
            value = order.value_of(row.summary)
            if is_same_epoch:
                return order.key(value, (row.key,))
            created_us = timestamps.to_microseconds(row.summary.created_at)
            return order.key(value, (created_us, row.tiebreaker))

        last: SortKey | None = None
        if ask.after is not None:
            after = ask.after
            place = (after.key,) if is_same_epoch else (after.created_us, after.tiebreaker)
            last = order.key(after.value, place)
        end = None if ask.limit is None else ask.offset + ask.limit

        def keyed(rows: Sequence[PageRow]) -> list[tuple[SortKey, PageRow]]:
            pairs = [(key_of(row), row) for row in rows]
            return [pair for pair in pairs if last is None or order.is_after(pair[0], last)]

        if end is None or not order.is_of_score:
            found = keyed(await self._rows(every))
        else:  # few have one
            rows = await self._rows(
                msgspec.structs.replace(every, filters=scored(every.filters, order))
            )
            found = keyed(rows)
            if len(found) < end:
                seen = {row.key for row in rows}
                most = end + len(rows) if is_same_epoch else None
                others = await self._rows_as_saved(every, order, ask.after, most)
                found += keyed([row for row in others if row.key not in seen])
        found.sort(key=itemgetter(0), reverse=order.descending)
        return [row for _, row in found[ask.offset : end]]

    async def _rows_as_saved(
        self, every: PageRequest, order: Order, after: Position | None, most: int | None
    ) -> Sequence[PageRow]:
        """The first rows as they were saved: as those come, last of all, that have no score."""
        if most is None:
            return await self._rows(every)
        begin = after if after is not None and after.value is None else None
        is_rising = not order.descending
        return await self._rows(
            msgspec.structs.replace(every, after=begin, limit=most, oldest_first=is_rising)
        )

    async def _read(self, ask: PageRequest) -> Sequence[PageRow]:
        """The rows whose traces match, told by reading those that the backend cannot leave out."""
        scan = TextScan(ask.filters)
        wanted = None if ask.limit is None else ask.offset + ask.limit
        found: list[PageRow] = []
        async for rows in self._likely_rows(ask):
            stored = await self._peek([row.summary.run_id for row in rows])
            work = partial(scan.chosen, rows, stored)
            found += await self._runtime.call(work) if self._runtime.hops else work()
            if wanted is not None and len(found) >= wanted:
                break
        return found[ask.offset : wanted]

    async def _likely_rows(self, ask: PageRequest) -> AsyncIterator[Sequence[PageRow]]:
        """The rows whose texts may match, some at a time, in the page's order."""
        size, after = FEWEST_AT_ONCE, ask.after
        while True:
            part = msgspec.structs.replace(ask, after=after, limit=size, offset=0)
            rows = await self._page(part)
            yield rows
            if len(rows) < size:
                return
            after = self._position(rows[-1])
            size = min(2 * size, MOST_AT_ONCE)

    async def _can_order(self, filters: TraceFilter, order: Order) -> bool:  # noqa: ARG002
        """Whether `_page` itself gives what this filter asks for in this order."""
        return False

    def _must_read(self, filters: TraceFilter) -> bool:
        """Whether traces are read here to decide about them."""
        return not self._reads_texts and asks_for_texts(filters)

    async def _histogram_by_reading(
        self, filters: TraceFilter, buckets: int, time: Clock
    ) -> TraceHistogram:
        since, until = bounds_of(filters, time)
        if since is None or until is None:
            span = await self._span(only_times(filters), time)
            if span is None:
                return TraceHistogram()
            since = span[0] if since is None else since
            until = span[1] if until is None else until
        tally = Tally(since, until, buckets, time)
        for row in await self._rows(PageRequest(filters)):
            tally.add_summary(row.summary)
        return tally.result()

    async def _span(self, within: TraceFilter, time: Clock) -> tuple[int, int] | None:
        """The first and the last time of a run, in microseconds; None if there is none."""
        every = await self._histogram(within, 1, time)
        if every.since is None or every.until is None or not every.total:
            return None
        return timestamps.to_microseconds(every.since), timestamps.to_microseconds(every.until)

    async def _before_the_newest(
        self, many: int, filters: TraceFilter, newest: Position
    ) -> Position | None:
        """The place before the newest so many that match; None if there are no more than that."""
        after: Position | None = None
        while many > 0:
            size = min(SUMMARIES_AT_ONCE, many)
            found = await self._rows(PageRequest(filters, after, size, newest=newest))
            if len(found) < size:
                return None
            after = self._position(found[-1])
            many -= size
        return None if after is None else msgspec.structs.replace(after, key=after.key - 1)

    def _position(self, found: PageRow) -> Position:
        created_us = timestamps.to_microseconds(found.summary.created_at)
        return Position(
            self._kind, found.key, self._epoch(), created_us, found.summary.run_id, found.tiebreaker
        )

    # What a backend supplies.

    @abstractmethod
    async def _begin(self) -> None:
        """Before each method: refuse if closed; get ready at the first."""

    @abstractmethod
    def _check_open(self) -> None:
        """Refuse if closed."""

    @abstractmethod
    async def _load_many(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        """The JSON of each trace, in this order."""

    async def _peek(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        """`_load_many`, where it matters that nobody asked for these."""
        return await self._load_many(run_ids)

    @abstractmethod
    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        """The summaries asked for.

        Left out is what `verdict` refuses, given summary and facts; what only the texts tell is
        decided by whoever asked, unless ``_reads_texts``.
        """

    @abstractmethod
    async def _count(self, filters: TraceFilter) -> int:
        """How many match, up to the filter's limit."""

    @abstractmethod
    async def _histogram(self, filters: TraceFilter, buckets: int, time: Clock) -> TraceHistogram:
        """How many match, over time.

        Bounds that the filter does not say are the first and the last of the runs that match its
        bounds of time (`only_times`).
        """

    @abstractmethod
    async def _newest(self) -> Position | None:
        """The place of the newest trace; None if there is none."""

    def _epoch(self) -> str:
        """Which numbering the keys of `PageRow` belong to."""
        return ""


def unordered(filters: TraceFilter) -> TraceFilter:
    return filters if filters.order_by is None else replace(filters, order_by=None)
