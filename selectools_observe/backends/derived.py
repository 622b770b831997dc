"""All methods of a store, derived from the five that a third party wrote.

`DerivedStore` is a backend whose storage is another store. `AsyncDerivedMethods` and
`DerivedMethods` are for a class to inherit that has the five methods, as those of
`collections.abc` are.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import msgspec

from ..errors import CorruptTraceError, TraceNotFoundError
from ..model import timestamps
from ..model.clock import Clock, moment_of
from ..model.codec import EncodedTrace, decode, encode
from ..model.filters import TraceFilter, asks_for_texts
from ..model.histogram import TraceHistogram
from ..model.pagination import Position
from ..model.trace import AgentTrace, TraceSummary
from ..runtime.interface import BlockingRuntime, Runtime, iterate_sync, run_sync
from ..runtime.loop_local import LoopLocal
from .base import StoreCore
from .method_table import AsyncDerivedTable, DerivedTable
from .queries.paging import PageRequest, PageRow
from .queries.row_queries import Loaded
from .queries.text_scan import FEWEST_AT_ONCE, TextScan

log = logging.getLogger(__name__)

T = TypeVar("T")

_EVERYTHING = TraceFilter()
_PLACES = 1 << 10  # in the order of saving, for each microsecond


class FiveMethods(Protocol):
    """Calls one of the five methods of a store."""

    def __call__(self, name: str, /, *args: Any) -> Awaitable[Any]: ...


async def given(result: Awaitable[T] | T) -> T:
    """What a method of either kind of store gives."""
    return await result if inspect.isawaitable(result) else result


class DerivedStore(StoreCore[EncodedTrace]):
    """What a store can do by its five methods alone.

    Whatever takes more than one call of them is not atomic: an update is a load and a save, and
    saving many is saving one by one, each guarded only against others of this object. A page in
    the midst costs as much as all runs.

    Pages go by the times of saving: they hold still as long as no clock steps back.
    """

    _kind = "derived"
    _is_costly_to_page = True

    def __init__(self, call: FiveMethods, runtime: Runtime, where: str) -> None:
        super().__init__(runtime, where, AgentTrace)
        self._call = call
        self._warned = False
        self._changing = LoopLocal(runtime, runtime.lock, lambda _: None)

    def _prepare(self, trace: object) -> EncodedTrace:
        return encode(trace)

    async def _save(self, traces: Sequence[EncodedTrace]) -> None:
        if not self._warned and any(trace.created_at is not None for trace in traces):
            self._warned = True
            log.warning(
                "%s: it has only the five methods, which cannot say when a run was saved first: "
                "created_at is the time of this save",
                self._where,
            )

        async def save_all() -> None:
            for trace in traces:
                await self._call("save", decode(trace.trace))

        await self._runtime.with_lock(self._changing.current(), save_all)

    async def _update(
        self, run_id: str, change: Callable[[bytes | None], EncodedTrace | None]
    ) -> bool:
        async def update() -> bool:
            changed = change(await self._load(run_id))
            if changed is not None:
                await self._call("save", decode(changed.trace))
            return changed is not None

        return await self._runtime.with_lock(self._changing.current(), update)

    async def _load(self, run_id: str) -> bytes | None:
        try:
            return encode(await self._call("load", run_id)).trace
        except TraceNotFoundError:
            return None

    async def _load_many(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        stored: list[Loaded] = []
        for run_id in run_ids:
            try:
                stored.append(await self._load(run_id))
            except CorruptTraceError as error:
                stored.append(error)
        return stored

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        if ask.limit is not None and ask.after is None and not ask.oldest_first:
            first = await self._first(ask)
            if first is not None:
                return first
        rows = _numbered(await self._query(_without_texts(ask.filters), None))
        if ask.newest is not None:
            newest = ask.newest.key
            rows = [row for row in rows if row.key <= newest]
        if ask.oldest_first:
            rows.reverse()
        if ask.after is not None:
            after, forward = ask.after.key, ask.oldest_first
            rows = [row for row in rows if (row.key > after if forward else row.key < after)]
        end = None if ask.limit is None else ask.offset + ask.limit
        return rows[ask.offset : end]

    async def _first(self, ask: PageRequest) -> Sequence[PageRow] | None:
        """The newest rows, told without the others; None if that cannot be."""
        if ask.newest is not None or ask.limit is None:
            return None
        filters, limit = _without_texts(ask.filters), ask.limit
        if filters == _EVERYTHING:
            found: Sequence[TraceSummary] = await self._call("list", limit, ask.offset)
        else:
            found = (await self._query(filters, ask.offset + limit))[ask.offset :]
        rows = _numbered(found)
        # Where the last of them has others of its instant behind it, its place is not known.
        is_told = len(rows) < limit or len(rows) < 2 or rows[-2].key % _PLACES == 0
        return rows if is_told else None

    async def _read(self, ask: PageRequest) -> Sequence[PageRow]:
        rows = await self._page(msgspec.structs.replace(ask, limit=None, offset=0))
        scan, found = TextScan(ask.filters), list[PageRow]()
        end = None if ask.limit is None else ask.offset + ask.limit
        for start in range(0, len(rows), FEWEST_AT_ONCE):
            some = rows[start : start + FEWEST_AT_ONCE]
            found += scan.chosen(some, await self._peek([row.summary.run_id for row in some]))
            if end is not None and len(found) >= end:
                break
        return found[ask.offset : end]

    async def _query(self, filters: TraceFilter, limit: int | None) -> Sequence[TraceSummary]:
        found: Sequence[TraceSummary] = await self._call("query", replace(filters, limit=limit))
        return found

    async def _count(self, filters: TraceFilter) -> int:
        return len(await self._query(filters, filters.limit))

    async def _histogram(self, filters: TraceFilter, buckets: int, time: Clock) -> TraceHistogram:
        return await self._histogram_by_reading(filters, buckets, time)

    async def _span(self, within: TraceFilter, time: Clock) -> tuple[int, int] | None:
        moments = [moment_of(row.summary, time) for row in await self._page(PageRequest(within))]
        return (min(moments), max(moments)) if moments else None

    async def _delete(self, run_id: str) -> bool:
        return bool(await self._call("delete", run_id))

    async def _newest(self) -> Position | None:
        rows = await self._page(PageRequest(_EVERYTHING, limit=2))
        return self._position(rows[0]) if rows else None

    async def _close(self) -> None:
        """Whoever made the store closes it."""


def _without_texts(filters: TraceFilter) -> TraceFilter:
    """What any store decides about; orders and texts are seen to here."""
    if asks_for_texts(filters):
        filters = replace(filters, text=None, where=None)
    return filters if filters.order_by is None else replace(filters, order_by=None)


def _numbered(newest_first: Sequence[TraceSummary]) -> list[PageRow]:
    """The summaries with their places: numbers that rise with the order of saving."""
    rows: list[PageRow] = []
    last = -1
    for summary in reversed(newest_first):
        last = max(last + 1, timestamps.to_microseconds(summary.created_at) * _PLACES)
        rows.append(PageRow(last, summary))
    rows.reverse()
    return rows


class AsyncDerivedMethods(AsyncDerivedTable):
    """Gives a class that has the five methods of `AsyncTraceStore` all others.

    What they cost and promise is said at `DerivedStore`. For pages with cursors see `as_async`.
    """

    __derived: DerivedStore | None = None

    def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        call: Awaitable[Any] = getattr(self.__all(), name)(*args, **kwargs)
        return call

    def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        items: AsyncIterator[Any] = getattr(self.__all(), name)(*args, **kwargs)
        return items

    def __all(self) -> DerivedStore:
        if self.__derived is None:
            self.__derived = derived_store(self, is_async=True)
        return self.__derived


class DerivedMethods(DerivedTable):
    """`AsyncDerivedMethods` for a class with the five methods of `TraceStore`."""

    __derived: DerivedStore | None = None

    def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return run_sync(getattr(self.__all(), name)(*args, **kwargs))

    def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return iterate_sync(getattr(self.__all(), name)(*args, **kwargs))

    def __all(self) -> DerivedStore:
        if self.__derived is None:
            self.__derived = derived_store(self, is_async=False)
        return self.__derived


def derived_store(
    store: object, *, is_async: bool, call: FiveMethods | None = None
) -> DerivedStore:
    """All methods over the five of a store."""

    async def directly(name: str, /, *args: Any) -> Any:
        return await given(getattr(store, name)(*args))

    runtime: Runtime = BlockingRuntime()
    if is_async:
        from ..runtime.asyncio_ import AsyncioRuntime  # noqa: PLC0415 - blocking code needs none

        runtime = AsyncioRuntime()
    return DerivedStore(directly if call is None else call, runtime, repr(store))
