"""Any store behind one async interface with cursors and counts.

A blocking store is called in threads. A store with only the five methods gets pages that count from
the newest; they hold still only while nothing is saved.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import anyio
import anyio.to_thread

from ..backends import timestamps
from ..backends.base import StoreCore
from ..errors import InvalidTraceError, TraceStoreError
from ..model.codec import EncodedTrace, encode
from ..model.filters import TraceFilter
from ..model.histogram import Tally, TraceHistogram, bounds_of
from ..model.pagination import TracePage
from ..model.text_query import SearchHit, SearchPage, hits_in, parse_text, trace_matches
from ..model.trace import AgentTrace, TraceSummary
from ..model.validation import as_agent_trace
from ..protocols import (
    AsyncQueryableTraceStore,
    AsyncTraceStore,
    Summaries,
    TraceStore,
    is_async_store,
)

T = TypeVar("T")

Run: TypeAlias = AgentTrace | EncodedTrace
"""A run on its way into a store."""

Saved: TypeAlias = Sequence[str | TraceStoreError]
"""For each run its id, or why it was not saved."""

EVERYTHING = TraceFilter()
_THREADS = 16  # a blocking store's calls at a time
_AT_ONCE = 512
_LONGEST_OFFSET = 16


class Reach(Protocol):
    """What the routes ask of a store."""

    def prepare(self, trace: AgentTrace) -> Run: ...
    async def save(self, trace: Run) -> str: ...
    async def save_each(self, traces: Sequence[Run]) -> Saved: ...
    async def load(self, run_id: str) -> Any: ...
    async def delete(self, run_id: str) -> bool: ...
    async def page(self, filters: TraceFilter, limit: int, cursor: str | None) -> TracePage: ...
    async def count(self, filters: TraceFilter) -> int: ...
    async def histogram(self, filters: TraceFilter, buckets: int) -> TraceHistogram: ...
    async def search(
        self, text: str, filters: TraceFilter, limit: int, cursor: str | None, hits: int
    ) -> SearchPage: ...
    def summaries(self, filters: TraceFilter) -> AsyncIterator[TraceSummary]: ...


def reach(store: AsyncTraceStore | TraceStore) -> Reach:
    """A store of any kind, as the routes use it.

    Raises:
        TypeError: It is not a store.
    """
    missing = [v for v in ("save", "load", "list", "query", "delete") if not hasattr(store, v)]
    if missing:
        raise TypeError(f"{store!r:.80} is not a trace store, it has no {', '.join(missing)}")
    is_archive = hasattr(store, "count") and hasattr(store, "iter_summaries")
    if is_async_store(store):
        return AsyncArchive(store) if is_archive else FiveVerbs(store)
    return BlockingArchive(store) if is_archive else FiveVerbs(InThreads(store))


class _AsIs:
    def prepare(self, trace: AgentTrace) -> Run:
        """The run as the store takes it; called in a thread if the run is large."""
        return trace


class AsyncArchive(_AsIs):
    """An async store with the methods that scale."""

    def __init__(self, store: Any) -> None:
        self._store: AsyncQueryableTraceStore = store
        self._is_ours = isinstance(store, StoreCore)
        self.save = self._store.save
        self.load = self._store.load
        self.delete = self._store.delete
        self.count = self._store.count
        self.summaries = self._store.iter_summaries

    def prepare(self, trace: AgentTrace) -> Run:
        """Encode it, if the store is one of ours: they would do it on the event loop."""
        return encode(trace) if self._is_ours else trace

    async def save_each(self, traces: Sequence[Run]) -> Saved:
        try:
            # One of ours takes what it has prepared, too.
            return await self._store.save_many(cast("Sequence[AgentTrace]", traces))
        except TraceStoreError as error:
            return await _one_by_one(self.save, traces, error)

    async def histogram(self, filters: TraceFilter, buckets: int) -> TraceHistogram:
        if hasattr(self._store, "histogram"):
            return await self._store.histogram(filters, buckets=buckets)
        return await _histogram(self, filters, buckets)

    async def search(
        self, text: str, filters: TraceFilter, limit: int, cursor: str | None, hits: int
    ) -> SearchPage:
        if hasattr(self._store, "search"):
            options: dict[str, Any] = {"limit": limit, "cursor": cursor, "hits_per_run": hits}
            return await self._store.search(text, filters, **options)
        return await _search(self, text, filters, limit, cursor, hits)

    async def page(self, filters: TraceFilter, limit: int, cursor: str | None) -> TracePage:
        if filters == EVERYTHING:
            return await self._store.list(limit, cursor=cursor)
        return await self._store.query(replace(filters, limit=limit), cursor=cursor)


class BlockingArchive(_AsIs):
    """A blocking store with the methods that scale, each call in a thread."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._in_thread = _Threads()

    async def save(self, trace: Any) -> str:
        return await self._in_thread(lambda: str(self._store.save(trace)))

    async def load(self, run_id: str) -> Any:
        return await self._in_thread(lambda: self._store.load(run_id))

    async def delete(self, run_id: str) -> bool:
        return await self._in_thread(lambda: bool(self._store.delete(run_id)))

    async def count(self, filters: TraceFilter) -> int:
        return await self._in_thread(lambda: int(self._store.count(filters)))

    async def save_each(self, traces: Sequence[Run]) -> Saved:
        try:
            return await self._in_thread(lambda: list(self._store.save_many(traces)))
        except TraceStoreError as error:
            return await _one_by_one(self.save, traces, error)

    async def histogram(self, filters: TraceFilter, buckets: int) -> TraceHistogram:
        if not hasattr(self._store, "histogram"):
            return await _histogram(self, filters, buckets)

        def look() -> TraceHistogram:
            counted: TraceHistogram = self._store.histogram(filters, buckets=buckets)
            return counted

        return await self._in_thread(look)

    async def search(
        self, text: str, filters: TraceFilter, limit: int, cursor: str | None, hits: int
    ) -> SearchPage:
        if not hasattr(self._store, "search"):
            return await _search(self, text, filters, limit, cursor, hits)

        def look() -> SearchPage:
            options: dict[str, Any] = {"limit": limit, "cursor": cursor, "hits_per_run": hits}
            found: SearchPage = self._store.search(text, filters, **options)
            return found

        return await self._in_thread(look)

    async def page(self, filters: TraceFilter, limit: int, cursor: str | None) -> TracePage:
        def look() -> TracePage:
            found: TracePage
            if filters == EVERYTHING:
                found = self._store.list(limit, cursor=cursor)
            else:
                found = self._store.query(replace(filters, limit=limit), cursor=cursor)
            return found

        return await self._in_thread(look)

    async def summaries(self, filters: TraceFilter) -> AsyncIterator[TraceSummary]:
        cursor: str | None = None
        while True:
            found = await self.page(filters, _AT_ONCE, cursor)
            for summary in found:
                yield summary
            cursor = found.next_cursor
            if cursor is None:
                return


class InThreads:
    """A blocking store of five methods, as coroutines."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._in_thread = _Threads()

    async def save(self, trace: Any) -> str:
        return await self._in_thread(lambda: str(self._store.save(trace)))

    async def load(self, run_id: str) -> Any:
        return await self._in_thread(lambda: self._store.load(run_id))

    async def list(self, limit: int = 50, offset: int = 0) -> Summaries:
        return await self._in_thread(lambda: list(self._store.list(limit, offset)))

    async def query(self, filters: TraceFilter) -> Summaries:
        return await self._in_thread(lambda: list(self._store.query(filters)))

    async def delete(self, run_id: str) -> bool:
        return await self._in_thread(lambda: bool(self._store.delete(run_id)))


class FiveVerbs(_AsIs):
    """An async store of five methods only."""

    def __init__(self, store: Any) -> None:
        self._store: AsyncTraceStore = store
        self.save = self._store.save
        self.load = self._store.load
        self.delete = self._store.delete

    async def page(self, filters: TraceFilter, limit: int, cursor: str | None) -> TracePage:
        offset = _offset_of(cursor)
        end = offset + limit
        if filters == EVERYTHING:
            found = await self._store.list(limit + 1, offset)
        else:
            found = (await self._store.query(replace(filters, limit=end + 1)))[offset:]
        more = len(found) > limit
        return TracePage(found[:limit], f"offset-{end}" if more else None)

    async def count(self, filters: TraceFilter) -> int:
        return len(await self._store.query(filters))

    async def save_each(self, traces: Sequence[Run]) -> Saved:
        return await _one_by_one(self.save, traces)

    async def histogram(self, filters: TraceFilter, buckets: int) -> TraceHistogram:
        return await _histogram(self, filters, buckets)

    async def search(
        self, text: str, filters: TraceFilter, limit: int, cursor: str | None, hits: int
    ) -> SearchPage:
        return await _search(self, text, filters, limit, cursor, hits)

    async def summaries(self, filters: TraceFilter) -> AsyncIterator[TraceSummary]:
        for summary in await self._store.query(filters):
            yield summary


async def _one_by_one(
    save: Callable[[Run], Awaitable[str]],
    traces: Sequence[Run],
    refusal: TraceStoreError | None = None,
) -> Saved:
    """Save run by run, unless it was the store as a whole that refused."""
    if refusal is not None and not isinstance(refusal, InvalidTraceError):
        return [refusal] * len(traces)
    saved: list[str | TraceStoreError] = []
    for trace in traces:
        try:
            saved.append(await save(trace))
        except TraceStoreError as error:
            saved.append(error)
    return saved


async def _histogram(store: Reach, filters: TraceFilter, buckets: int) -> TraceHistogram:
    """`AsyncQueryableTraceStore.histogram` of a store that has none, from its summaries."""
    since, until = bounds_of(filters)
    if since is None or until is None:
        every = [_saved_at(summary) async for summary in store.summaries(EVERYTHING)]
        if not every:
            return TraceHistogram()
        since = min(every) if since is None else since
        until = max(every) if until is None else until
    tally = Tally(since, until, buckets)
    async for summary in store.summaries(filters):
        tally.add_run(_saved_at(summary), has_error=summary.has_error)
    return tally.result()


async def _search(  # noqa: PLR0917
    store: Reach, text: str, filters: TraceFilter, limit: int, cursor: str | None, most: int
) -> SearchPage:
    """`AsyncQueryableTraceStore.search` of a store that has none, by loading its runs."""
    query, offset, runs = parse_text(text), _offset_of(cursor), 0
    hits: list[SearchHit] = []
    async for summary in store.summaries(filters):
        trace = as_agent_trace(await store.load(summary.run_id))
        if not trace_matches(query, trace):
            continue
        runs += 1
        if runs > offset + limit:
            return SearchPage(hits, f"offset-{offset + limit}")
        if runs > offset:
            hits += hits_in(query, trace, most)
    return SearchPage(hits)


def _saved_at(summary: TraceSummary) -> int:
    return timestamps.to_microseconds(summary.created_at)


class _Threads:
    """Runs a store's calls in threads, so many at a time."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, work: Callable[[], T]) -> T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)


def _offset_of(cursor: str | None) -> int:
    if cursor is None:
        return 0
    digits = cursor.removeprefix("offset-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < _LONGEST_OFFSET):
        raise ValueError(f"invalid cursor for this store: {cursor!r:.80}")
    return int(digits)
