"""The methods of a store, written once: what all backends share.

A backend supplies the ``_`` methods below: where the JSON goes and how it is found. Everything that
a method means (snapshots, errors, pages, cursors, streams) is here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time as clock
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from ..errors import (
    AnnotationsNotKeptError,
    CorruptTraceError,
    InvalidTraceError,
    StoreClosedError,
    TraceNotFoundError,
)
from ..model.annotations import Annotation, Source, check_annotation
from ..model.clock import Clock
from ..model.codec import LARGE, TraceType, decode, decode_in_pieces
from ..model.filters import (
    TraceFilter,
    asks_for_texts,
    check_filter,
    check_page,
    order_of,
    scored,
    with_text,
)
from ..model.groups import (
    FacetCollector,
    GroupCollector,
    GroupPage,
    TraceFacets,
    check_group_order,
)
from ..model.health import StoreHealth
from ..model.histogram import Tally, TraceHistogram, bounds_of, check_histogram, only_times
from ..model.ordering import Order, SortKey
from ..model.pagination import Position, TracePage, from_cursor, to_cursor
from ..model.reports import Progress
from ..model.retention import PruneReport, Retention
from ..model.rollups import Rollup
from ..model.statistics import BY_DEFAULT, Collector, Statistics
from ..model.text_query import SearchPage, parse_text
from ..model.trace import AgentTrace, TraceFacts, TraceSummary
from ..model.validation import is_storable_id
from ..protocols import Annotations, Change, RunIds
from ..runtime.interface import Runtime
from . import journal_file, timestamps
from .paging import PageRequest, PageRow
from .retention_keeper import PrunedStore, Pruning, RetentionKeeper
from .rollup_memory import RollupMemory, version_of
from .text_scan import (
    FEWEST_AT_ONCE,
    MOST_AT_ONCE,
    TextScan,
    facts_of_stored,
    hits_of,
    rollups_of,
)

log = logging.getLogger(__name__)

_EVERYTHING = TraceFilter()
_NO_RUN = f"health-{uuid.uuid4().hex}"
_SUMMARIES_AT_ONCE = 512
_TRACES_AT_ONCE = 32


class Prepared(Protocol):
    """A snapshot of a trace, as a backend keeps it."""

    @property
    def run_id(self) -> str: ...
    @property
    def created_at(self) -> datetime | None:
        """When it is to have been saved; None: now."""


Loaded: TypeAlias = bytes | CorruptTraceError | None
"""A trace's JSON, or why there is none."""

PreparedT = TypeVar("PreparedT", bound=Prepared)


class StoreCore(ABC, Generic[PreparedT]):
    """A store as coroutines, for either runtime."""

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

    def __init__(self, runtime: Runtime, where: str, trace_type: TraceType) -> None:
        self._runtime = runtime
        self._where = where
        self._trace_type = trace_type
        self._closed = False
        self._has_recovered = False
        self._is_ready = False  # neither closed nor in need of `_recover`
        self._name = type(self).__name__
        self._keeper: RetentionKeeper | None = None

    @property
    def path(self) -> str | None:
        """The file that the traces are in; None in memory."""
        return None

    async def save(self, trace: Any) -> str:
        """See `AsyncTraceStore.save`."""
        prepared = self._prepare(trace)  # before anything else can happen to the trace
        if not self._is_ready:
            await self._begin()
        await self._save((prepared,))
        if self._keeper is not None:
            await self._saved(1)
        return prepared.run_id

    async def save_many(
        self,
        traces: Iterable[Any],
        *,
        created_at: Iterable[datetime | None] | None = None,
    ) -> RunIds:
        """See `AsyncQueryableTraceStore.save_many`."""
        prepared = [self._prepare(trace) for trace in traces]
        if created_at is not None:
            prepared = _dated(prepared, timestamps.stated(created_at, len(prepared)))
        await self._begin()
        if prepared:
            await self._save(prepared)
            await self._saved(len(prepared))
        return [trace.run_id for trace in prepared]

    async def update(
        self, run_id: str, change: Change, *, created_at: datetime | None = None
    ) -> bool:
        """See `AsyncQueryableTraceStore.update`."""
        (moment,) = timestamps.stated([created_at], 1)
        await self._begin()
        if not is_storable_id(run_id):
            raise InvalidTraceError(run_id, "run_id", "must be a non-empty string")
        changed = await self._update(run_id, partial(self._changed, run_id, change, moment))
        if changed:
            await self._saved(1)
        return changed

    def _changed(
        self, run_id: str, change: Change, moment: datetime | None, stored: bytes | None
    ) -> PreparedT | None:
        """What a change makes of a stored trace, as the backend keeps it; None if nothing."""
        changed = change(None if stored is None else self._decoded_here(run_id, stored))
        if changed is None:
            return None
        prepared = self._prepare(changed)
        if prepared.run_id != run_id:
            reason = f"must be that of the run that is updated, {run_id!r}"
            raise InvalidTraceError(prepared.run_id, "run_id", reason)
        return prepared if moment is None else _dated([prepared], [moment])[0]

    async def load(self, run_id: str) -> Any:
        """See `AsyncTraceStore.load`."""
        if not self._is_ready:
            await self._begin()
        data = await self._load(_stored_id(run_id, self._where))
        if data is None:
            raise TraceNotFoundError(run_id, self._where)
        return await self._decoded(run_id, data)

    async def load_many(self, run_ids: Iterable[str]) -> dict[str, Any]:
        """See `AsyncQueryableTraceStore.load_many`."""
        await self._begin()
        asked = list(dict.fromkeys(run_ids))
        traces: dict[str, Any] = {}
        async for run_id, loaded in self._loaded(asked):
            if isinstance(loaded, CorruptTraceError):
                raise loaded
            traces[run_id] = loaded
        return traces

    async def list(
        self, limit: int = 50, offset: int = 0, *, cursor: str | None = None
    ) -> TracePage:
        """See `AsyncQueryableTraceStore.list`."""
        check_page(limit, offset)
        return await self._give_page(_EVERYTHING, limit, offset, cursor)

    async def query(self, filters: TraceFilter, *, cursor: str | None = None) -> TracePage:
        """See `AsyncQueryableTraceStore.query`."""
        return await self._give_page(check_filter(filters), filters.limit, 0, cursor)

    async def count(self, filters: TraceFilter | None = None) -> int:
        """See `AsyncQueryableTraceStore.count`."""
        filters = check_filter(_EVERYTHING if filters is None else filters)
        await self._begin()
        if self._must_read(filters):
            return len(await self._rows(PageRequest(_unordered(filters), limit=filters.limit)))
        return await self._count(_unordered(filters))

    async def histogram(
        self,
        filters: TraceFilter | None = None,
        *,
        buckets: int = 60,
        time: Clock = "started_at",
    ) -> TraceHistogram:
        """See `AsyncQueryableTraceStore.histogram`."""
        filters = check_filter(_EVERYTHING if filters is None else filters)
        check_histogram(filters, buckets, time)
        await self._begin()
        filters = _unordered(filters)
        if self._must_read(filters):
            return await self._histogram_by_reading(filters, buckets, time)
        return await self._histogram(filters, buckets, time)

    async def iter_summaries(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[TraceSummary]:
        """See `AsyncQueryableTraceStore.iter_summaries`."""
        async for found in self._stream(filters, _SUMMARIES_AT_ONCE, oldest_first=oldest_first):
            for item in found:
                yield item.summary

    async def iter_traces(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[Any]:
        """See `AsyncQueryableTraceStore.iter_traces`."""
        async for found in self._stream(filters, _TRACES_AT_ONCE, oldest_first=oldest_first):
            # One that was deleted meanwhile is left out.
            async for _, loaded in self._loaded([item.summary.run_id for item in found]):
                if isinstance(loaded, CorruptTraceError):
                    log.warning("%s: skipped", loaded)
                else:
                    yield loaded

    async def search(
        self,
        text: str,
        filters: TraceFilter | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        hits_per_run: int = 3,
    ) -> SearchPage:
        """See `AsyncQueryableTraceStore.search`."""
        filters = check_filter(_EVERYTHING if filters is None else filters)
        check_page(limit, hits_per_run)
        query = parse_text(text)
        asked = with_text(filters, text)
        page = await self._give_page(asked, limit, 0, cursor)
        stored = await self._peek([summary.run_id for summary in page])
        work = partial(hits_of, query, stored, hits_per_run)
        hits = await self._runtime.call(work) if self._runtime.hops else work()
        return SearchPage(hits, page.next_cursor)

    async def statistics(
        self,
        filters: TraceFilter | None = None,
        *,
        by: Collection[str] = BY_DEFAULT,
        zone: tzinfo = UTC,
        time: Clock = "started_at",
    ) -> Statistics:
        """See `AsyncQueryableTraceStore.statistics`."""
        filters = check_filter(_EVERYTHING if filters is None else filters)
        collector = Collector(by, zone, time)
        await self._begin()
        await self._statistics(filters, collector)
        return collector.result()

    async def groups(
        self,
        by: str,
        filters: TraceFilter | None = None,
        *,
        order_by: str = "-last",
        limit: int = 50,
        cursor: str | None = None,
    ) -> GroupPage:
        """See `AsyncQueryableTraceStore.groups`."""
        filters = check_filter(_EVERYTHING if filters is None else filters)
        collector = GroupCollector(by)
        check_group_order(order_by)
        check_page(limit, 0)
        await self._begin()
        return await self._group_page(filters, collector, order_by, limit, cursor)

    async def facets(
        self,
        filters: TraceFilter | None = None,
        *,
        most: int = 100,
    ) -> TraceFacets:
        """See `AsyncQueryableTraceStore.facets`."""
        filters = check_filter(_EVERYTHING if filters is None else filters)
        check_page(most, 0)
        collector = FacetCollector()
        await self._begin()
        await self._facets(filters, collector)
        return collector.result(most)

    async def annotate(
        self,
        run_id: str,
        name: str,
        *,
        label: str | None = None,
        score: float | None = None,
        note: str | None = None,
        step: int | None = None,
        author: str | None = None,
        source: Source = "human",
    ) -> Annotation:
        """See `AsyncQueryableTraceStore.annotate`."""
        (kept,) = await self.annotate_many(
            [Annotation(run_id, name, label, score, note, step, author, source)]
        )
        return kept

    async def annotate_many(self, annotations: Iterable[Annotation]) -> Annotations:
        """See `AsyncQueryableTraceStore.annotate_many`."""
        checked = [check_annotation(one) for one in annotations]
        await self._begin()
        if not checked:
            return []
        kept = await self._annotate(checked)
        if isinstance(kept, str):
            raise TraceNotFoundError(kept, self._where)
        return list(kept)

    async def annotations(self, run_id: str) -> Annotations:
        """See `AsyncQueryableTraceStore.annotations`."""
        await self._begin()
        (found,) = await self._annotations([_stored_id(run_id, self._where)])
        if found is None:
            raise TraceNotFoundError(run_id, self._where)
        return found

    async def annotations_of(self, run_ids: Iterable[str]) -> dict[str, Annotations]:
        """See `AsyncQueryableTraceStore.annotations_of`."""
        await self._begin()
        asked = [run_id for run_id in dict.fromkeys(run_ids) if is_storable_id(run_id)]
        found = await self._annotations(asked) if asked else []
        pairs = zip(asked, found, strict=True)
        return {run_id: those for run_id, those in pairs if those is not None}

    async def remove_annotation(
        self, run_id: str, *, name: str | None = None, annotation_id: str | None = None
    ) -> int:
        """See `AsyncQueryableTraceStore.remove_annotation`."""
        if name is None and annotation_id is None:
            raise ValueError("give the name or the annotation_id of the annotations to remove")
        await self._begin()
        if not is_storable_id(run_id):
            return 0
        return await self._remove_annotations(run_id, name, annotation_id)

    async def delete(self, run_id: str, *, descendants: bool = False) -> bool:
        """See `AsyncQueryableTraceStore.delete`."""
        await self._begin()
        if not is_storable_id(run_id):
            return False
        if descendants:
            return bool(await self._delete_many([run_id, *await self._descendants(run_id)]))
        return await self._delete(run_id)

    async def _descendants(self, run_id: str) -> RunIds:
        """The runs that a run started, and those that they started."""
        found = {run_id: None}
        waiting = [run_id]
        while waiting:
            asked = TraceFilter(parent_run_id=waiting.pop())
            for row in await self._rows(PageRequest(asked)):
                if row.summary.run_id not in found:
                    found[row.summary.run_id] = None
                    waiting.append(row.summary.run_id)
        return [each for each in found if each != run_id]

    async def delete_many(self, run_ids: Iterable[str]) -> int:
        """See `AsyncQueryableTraceStore.delete_many`."""
        await self._begin()
        asked = [run_id for run_id in dict.fromkeys(run_ids) if is_storable_id(run_id)]
        gone = await self._delete_many(asked) if asked else 0
        if gone:
            await self._give_back(all_of_it=False)
        return gone

    async def prune(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_runs: int | None = None,
        keep_bytes: int | None = None,
        where: TraceFilter | str | None = None,
        keep: TraceFilter | str | None = None,
        keep_annotated: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> PruneReport:
        """See `AsyncQueryableTraceStore.prune`."""
        rule = Retention(
            older_than=older_than,
            keep_runs=keep_runs,
            keep_bytes=keep_bytes,
            where=where,
            keep=keep,
            keep_annotated=keep_annotated,
        )
        await self._begin()
        pruning = Pruning(self._pruned(), self._where, rule, dry_run=dry_run, progress=progress)
        return await pruning.run()

    def _pruned(self) -> PrunedStore:
        return PrunedStore(
            self._rows_oldest_first,
            self._rows,
            self.count,
            self._size,
            self._sizes_of,
            self._delete_rows,
            self._give_back,
            self._delete_oldest,
            self._deletes_at_once,
            self._prune_slack,
        )

    # What pruning needs of a backend: see `PrunedStore`.

    _deletes_at_once = 256
    _delete_oldest: Callable[[int], Awaitable[int]] | None = None
    _prune_slack = 0.0

    def _rows_oldest_first(
        self, filters: TraceFilter, at_once: int
    ) -> AsyncIterator[Sequence[PageRow]]:
        """All rows that match, so many at a time."""
        return self._stream(filters, at_once, oldest_first=True)

    async def _size(self) -> int | None:
        """The bytes in use; None if nothing tells."""
        return None

    async def _sizes_of(self, rows: Sequence[PageRow]) -> Sequence[int]:
        """About how many bytes each row has: on average, unless the backend knows."""
        size = await self._size()
        if size is None:
            return [0] * len(rows)
        return [size // max(1, await self.count())] * len(rows)

    async def _delete_rows(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Sequence[str]:
        """Delete those of the rows that are as they were when they were read; their run ids."""
        ids = [row.summary.run_id for row in rows]
        present = await self._rows(PageRequest(TraceFilter(run_ids=ids))) if ids else []
        saved_at = {row.summary.run_id: row.summary.created_at for row in present}
        gone: list[str] = []
        for row in rows:
            run_id = row.summary.run_id
            if saved_at.get(run_id) != row.summary.created_at:
                continue  # saved again meanwhile, or gone
            is_spared = spare_annotated and bool((await self._annotations([run_id]))[0])
            if not is_spared and await self._delete(run_id):
                gone.append(run_id)
        return gone

    async def _give_back(self, *, all_of_it: bool) -> None:
        """Give space back that is free now."""

    def _keep_to(self, retention: Retention | None) -> None:
        """Keep to a rule from now on."""
        if retention is not None and not isinstance(retention, Retention):
            raise TypeError(f"retention must be a Retention, not {type(retention).__name__}")
        self._keeper = None if retention is None else RetentionKeeper(retention)

    async def _saved(self, number: int) -> None:
        """After this many runs were saved: a step of the retention, if it is time for one."""
        if self._keeper is not None and self._keeper.saved(number):
            await self._keeper.step(self._pruned(), self._where)

    async def health(self) -> StoreHealth:
        """See `AsyncQueryableTraceStore.health`."""
        await self._begin()
        began = clock.perf_counter()
        read_only = await self._is_read_only()
        return StoreHealth((clock.perf_counter() - began) * 1000, read_only)

    async def _is_read_only(self) -> bool:
        """Ask the storage something that touches no run; whether it takes no saves."""
        await self._load_many([_NO_RUN])
        path = self.path
        return path is not None and os.path.exists(path) and not os.access(path, os.W_OK)  # noqa: ASYNC240 - one stat

    async def aclose(self) -> None:
        """See `AsyncQueryableTraceStore.aclose`."""
        self._closed, self._is_ready = True, False
        await self._close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and self._is_open():
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            self._abandon()

    def __repr__(self) -> str:
        return f"{self._name}({self._where!r})"

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
        summaries = [item.summary for item in page]
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
        return TracePage(summaries, to_cursor(position))

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
        filters = check_filter(_EVERYTHING if filters is None else filters)
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
        async for found in self._stream(filters, _SUMMARIES_AT_ONCE, oldest_first=False):
            rollups: Sequence[Rollup | None] = [None] * len(found)
            if collector.needs_traces:
                rollups = await self._rollups(found)
            for row, rollup in zip(found, rollups, strict=True):
                collector.add_summary(row.summary)
                if rollup is not None:
                    collector.add_rollup(rollup)
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
        async for found in self._stream(filters, _SUMMARIES_AT_ONCE, oldest_first=False):
            for row in found:
                collector.add(row.summary)
        return collector.page(order_by, limit, cursor)

    async def _facets(self, filters: TraceFilter, collector: FacetCollector) -> None:
        """Hand all runs that match, and what filters ask of their steps, to the collector."""
        async for found in self._stream(filters, _SUMMARIES_AT_ONCE, oldest_first=False):
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

    def _can_order(self, filters: TraceFilter, order: Order) -> bool:  # noqa: ARG002
        """Whether `_page` itself gives what this filter asks for in this order."""
        return False

    def _must_read(self, filters: TraceFilter) -> bool:
        """Whether traces are read here to decide about them."""
        return not self._reads_texts and asks_for_texts(filters)

    async def _rows(self, ask: PageRequest) -> Sequence[PageRow]:
        """The rows asked for, whatever the backend itself can do."""
        if ask.limit == 0:
            return []
        order = None if ask.filters.order_by is None else order_of(ask.filters)
        if order is not None and not self._can_order(ask.filters, order):
            return await self._ordered(ask, order)
        if self._must_read(ask.filters):
            return await self._read(ask)
        return await self._page(ask)

    async def _ordered(self, ask: PageRequest, order: Order) -> Sequence[PageRow]:
        """The rows in another order than that of saving: all that match are looked at."""
        unordered = PageRequest(_unordered(ask.filters), newest=ask.newest)
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
        keyed: list[tuple[SortKey, PageRow]] = []
        # What has no score comes last: those that have one may be enough, and are few.
        asks = [unordered] if end is None or not order.is_of_score else [
            msgspec.structs.replace(unordered, filters=scored(unordered.filters, order)), unordered
        ]  # fmt: skip
        for each in asks:
            keyed = [(key_of(row), row) for row in await self._rows(each)]
            keyed = [pair for pair in keyed if last is None or order.is_after(pair[0], last)]
            if end is not None and len(keyed) >= end:
                break
        keyed.sort(key=itemgetter(0), reverse=order.descending)
        return [row for _, row in keyed[ask.offset : end]]

    async def _read(self, ask: PageRequest) -> Sequence[PageRow]:
        """The rows whose traces match, told by reading those that the backend cannot leave out."""
        scan = TextScan(ask.filters)
        wanted = None if ask.limit is None else ask.offset + ask.limit
        found: list[PageRow] = []
        size, after = FEWEST_AT_ONCE, ask.after
        while True:
            part = msgspec.structs.replace(ask, after=after, limit=size, offset=0)
            rows = await self._page(part)
            stored = await self._peek([row.summary.run_id for row in rows])
            work = partial(scan.chosen, rows, stored)
            found += await self._runtime.call(work) if self._runtime.hops else work()
            if len(rows) < size or (wanted is not None and len(found) >= wanted):
                return found[ask.offset : wanted]
            after = self._position(rows[-1])
            size = min(2 * size, MOST_AT_ONCE)

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
            size = min(_SUMMARIES_AT_ONCE, many)
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

    async def _decoded(self, run_id: str, data: bytes) -> Any:
        if not self._runtime.hops or len(data) <= LARGE:
            return self._decoded_here(run_id, data)
        try:
            trace = await self._runtime.call(partial(decode_in_pieces, data, self._trace_type))
        except ValueError as error:
            raise CorruptTraceError(run_id, self._place_of(run_id), str(error)) from error
        return self._of_this_run(run_id, trace)

    def _decoded_here(self, run_id: str, data: bytes) -> Any:
        try:
            trace = decode(data, self._trace_type)
        except ValueError as error:
            raise CorruptTraceError(run_id, self._place_of(run_id), str(error)) from error
        return self._of_this_run(run_id, trace)

    def _of_this_run(self, run_id: str, trace: Any) -> Any:
        found = getattr(trace, "run_id", run_id)
        if found != run_id:
            reason = f"it holds the trace of run {found!r} instead"
            raise CorruptTraceError(run_id, self._place_of(run_id), reason)
        return trace

    async def _loaded(self, run_ids: Sequence[str]) -> AsyncIterator[tuple[str, Any]]:
        """Those of the runs that are there, decoded, or what is wrong with them."""
        storable = [run_id for run_id in run_ids if is_storable_id(run_id)]
        stored = await self._load_many(storable)
        for run_id, loaded in zip(storable, stored, strict=True):
            if loaded is None:
                continue
            if isinstance(loaded, CorruptTraceError):
                yield run_id, loaded
                continue
            try:
                trace = await self._decoded(run_id, loaded)
            except CorruptTraceError as error:
                yield run_id, error
            else:
                yield run_id, trace

    def _call_it(self, name: str) -> None:
        """Go by another name in messages: that of the store that people see."""
        self._name = name

    async def _begin(self) -> None:
        """Before each method: refuse if closed; at the first, take in what killed programs left."""
        self._check_open()
        if not self._has_recovered:
            self._has_recovered = True
            await self._recover()
        self._is_ready = not self._closed

    async def recover(self) -> RunIds:
        """Put runs into the store whose programs were killed while a live record was kept.

        Happens by itself at the first method. They carry ``"unfinished": true`` in their metadata.

        Returns:
            The ids of these runs.
        """
        self._check_open()
        return await self._recover()

    async def _recover(self) -> RunIds:
        folder = None if self.path is None else journal_file.folder_of(self.path)
        if folder is None or not os.path.isdir(folder):  # noqa: ASYNC240 - one stat
            return []
        keeper = _StoreRecoveryTarget(self._load_many, self._save_all)
        owners = journal_file.owners_of(self.path)
        return await journal_file.recover(folder, keeper, self._runtime.call, owners)

    async def _save_all(self, traces: Iterable[object]) -> None:
        prepared = [self._prepare(trace) for trace in traces]
        if prepared:
            await self._save(prepared)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(self._where)

    # What a backend supplies.

    async def _open(self) -> None:
        """Open now, rather than at first use. Opening again does nothing."""
        self._check_open()

    @abstractmethod
    def _prepare(self, trace: object) -> PreparedT:
        """A snapshot of the trace, as the backend keeps it.

        Raises:
            InvalidTraceError: It cannot be stored.
        """

    @abstractmethod
    async def _save(self, traces: Sequence[PreparedT]) -> None:
        """Make the traces durable, all or none, in their order."""

    @abstractmethod
    async def _update(
        self, run_id: str, change: Callable[[bytes | None], PreparedT | None]
    ) -> bool:
        """Save what the function makes of the stored JSON, if it makes something; whether it did.

        Nobody else changes the run meanwhile.
        """

    @abstractmethod
    async def _load(self, run_id: str) -> bytes | None:
        """The JSON of a trace.

        Raises:
            CorruptTraceError: It is not what was saved.
        """

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
    async def _delete(self, run_id: str) -> bool:
        """Remove a trace; whether there was one."""

    async def _delete_many(self, run_ids: Sequence[str]) -> int:
        """Remove traces, all or none; how many there were."""
        return sum([await self._delete(run_id) for run_id in run_ids])

    async def _annotate(
        self,
        annotations: Sequence[Annotation],  # noqa: ARG002
    ) -> Sequence[Annotation] | str:
        """Make annotations durable, all or none, each `stamped`; or the id of a run that is not."""
        raise AnnotationsNotKeptError(self._where)

    async def _annotations(self, run_ids: Sequence[str]) -> Sequence[Annotations | None]:
        """The annotations of each run, oldest first; None where there is no such run."""
        return [None if one is None else [] for one in await self._load_many(run_ids)]

    async def _remove_annotations(
        self,
        run_id: str,  # noqa: ARG002
        name: str | None,  # noqa: ARG002
        annotation_id: str | None,  # noqa: ARG002
    ) -> int:
        """Remove those that have the name and the id, as far as these are given; how many."""
        return 0

    @abstractmethod
    async def _newest(self) -> Position | None:
        """The place of the newest trace; None if there is none."""

    @abstractmethod
    async def _close(self) -> None:
        """Finish and let go of everything; may be called again."""

    def _place_of(self, run_id: str) -> str:  # noqa: ARG002
        """Where a trace stands, for people."""
        return self._where

    def _epoch(self) -> str:
        """Which numbering the keys of `PageRow` belong to."""
        return ""

    def _is_open(self) -> bool:
        """Whether something would be left behind without `_close`."""
        return False

    def _abandon(self) -> None:
        """Let go without waiting."""


class _StoreRecoveryTarget:
    """A store as runs are recovered into it: it has begun already, and gives traces of ours."""

    def __init__(
        self,
        load: Callable[[Sequence[str]], Awaitable[Sequence[Loaded]]],
        save: Callable[[Sequence[AgentTrace]], Awaitable[None]],
    ) -> None:
        self._load = load
        self._save = save

    async def stored(self, run_ids: Sequence[str]) -> dict[str, AgentTrace]:
        found: dict[str, AgentTrace] = {}
        for run_id, data in zip(run_ids, await self._load(run_ids), strict=True):
            if isinstance(data, bytes):
                with contextlib.suppress(ValueError):
                    found[run_id] = decode(data)
        return found

    async def keep(self, traces: Sequence[AgentTrace]) -> None:
        await self._save(traces)


def checked_path(path: str | os.PathLike[str]) -> str:
    """A path as text.

    Raises:
        TypeError: It is none, or one of bytes.
        ValueError: No file can have this name.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"a path must be text, not {type(text).__name__}: {path!r}")
    if not text or "\0" in text:
        raise ValueError(f"invalid file name: {text!r}")
    return text


def _dated(traces: Sequence[PreparedT], moments: Sequence[datetime | None]) -> list[PreparedT]:
    """The traces with the times at which they are to have been saved."""
    pairs = zip(traces, moments, strict=True)
    replace_field: Any = msgspec.structs.replace
    return [replace_field(trace, created_at=moment) for trace, moment in pairs]


def _unordered(filters: TraceFilter) -> TraceFilter:
    return filters if filters.order_by is None else replace(filters, order_by=None)


def _stored_id(run_id: str, where: str) -> str:
    if not is_storable_id(run_id):
        raise TraceNotFoundError(run_id, where)
    return run_id
