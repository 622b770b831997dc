"""A store in front of another: every verb goes through, but for what a subclass does otherwise.

Written once, as coroutines, as backends are. Around an async store they await it; around a blocking
one they never suspend, so that the blocking faces drive them where they are called.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, tzinfo
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, cast

from ..errors import InvalidTraceError, TraceNotFoundError
from ..model.filters import TraceFilter
from ..model.groups import GroupPage, TraceFacets
from ..model.histogram import TraceHistogram
from ..model.pagination import TracePage
from ..model.statistics import BY_DEFAULT, Clock, Statistics
from ..model.text_query import SearchPage
from ..model.trace import TraceSummary
from ..protocols import (
    AsyncQueryableTraceStore,
    AsyncTraceStore,
    Change,
    RunIds,
    TraceStore,
    is_async_store,
)
from .methods import BlockingMethods

T = TypeVar("T")
AnyStore: TypeAlias = AsyncTraceStore | TraceStore
CoreT = TypeVar("CoreT", bound="WrappingCore")


async def given(result: Awaitable[T] | T) -> T:
    """What a verb of either kind of store gives."""
    return await result if inspect.isawaitable(result) else result


def check_kind(store: object, name: str, *, is_async: bool) -> None:
    """Refuse a store of the other kind.

    Raises:
        TypeError: It is of the other kind, or no store at all.
    """
    if not callable(getattr(store, "save", None)):
        raise TypeError(f"not a trace store: {store!r}")
    if is_async_store(store) is not is_async:
        other = name.removeprefix("Async") if is_async else f"Async{name}"
        kind = "a blocking" if is_async else "an async"
        raise TypeError(f"{store!r} is {kind} store: use {other}")


def behind(store: object) -> Iterator[object]:
    """The store, and all those behind it."""
    while True:
        yield store
        if not isinstance(store, WrappingCore | BlockingWrapper):
            return
        store = store.store


def changed_trace(run_id: str, trace: Any) -> Any:
    """What an update is to save.

    Raises:
        InvalidTraceError: It is a trace of another run.
    """
    found = getattr(trace, "run_id", run_id)
    if trace is not None and found != run_id:
        reason = f"must be that of the run that is updated, {run_id!r}"
        raise InvalidTraceError(found, "run_id", reason)
    return trace


def innermost(store: object) -> object:
    """The store behind all that stand in front of it."""
    *_, last = behind(store)
    return last


class WrappingCore:
    """Gives every verb to the store that it stands in front of."""

    def __init__(self, store: AnyStore) -> None:
        self.store = store
        # As far as it goes: five verbs may be all.
        self._archive = cast("AsyncQueryableTraceStore", store)

    async def save(self, trace: Any) -> str:
        """See `AsyncTraceStore.save`."""
        return await given(self._archive.save(trace))

    async def save_many(self, traces: Iterable[Any]) -> RunIds:
        """See `AsyncQueryableTraceStore.save_many`; a store without it saves one by one."""
        if hasattr(self.store, "save_many"):
            return await given(self._archive.save_many(traces))
        return [await given(self._archive.save(trace)) for trace in traces]

    async def update(self, run_id: str, change: Change) -> bool:
        """See `AsyncQueryableTraceStore.update`; a store without it loads and saves."""
        if hasattr(self.store, "update"):
            return await given(self._archive.update(run_id, change))
        stored: Any = None
        with suppress(TraceNotFoundError):
            stored = await given(self._archive.load(run_id))
        changed = changed_trace(run_id, change(stored))
        if changed is not None:
            await WrappingCore.save(self, changed)  # a subclass did its part in the change
        return changed is not None

    async def load(self, run_id: str) -> Any:
        """See `AsyncTraceStore.load`."""
        return await given(self._archive.load(run_id))

    async def load_many(self, run_ids: Iterable[str]) -> dict[str, Any]:
        """See `AsyncQueryableTraceStore.load_many`."""
        return await given(self._archive.load_many(run_ids))

    async def list(
        self, limit: int = 50, offset: int = 0, *, cursor: str | None = None
    ) -> TracePage:
        """See `AsyncQueryableTraceStore.list`."""
        return await given(self._archive.list(limit, offset, **_set(cursor=cursor)))

    async def query(self, filters: TraceFilter, *, cursor: str | None = None) -> TracePage:
        """See `AsyncQueryableTraceStore.query`."""
        return await given(self._archive.query(filters, **_set(cursor=cursor)))

    async def count(self, filters: TraceFilter | None = None) -> int:
        """See `AsyncQueryableTraceStore.count`."""
        return await given(self._archive.count(filters))

    async def histogram(
        self, filters: TraceFilter | None = None, *, buckets: int = 60
    ) -> TraceHistogram:
        """See `AsyncQueryableTraceStore.histogram`."""
        return await given(self._archive.histogram(filters, buckets=buckets))

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
        found = self._archive.search(
            text, filters, limit=limit, cursor=cursor, hits_per_run=hits_per_run
        )
        return await given(found)

    async def statistics(
        self,
        filters: TraceFilter | None = None,
        *,
        by: Collection[str] = BY_DEFAULT,
        zone: tzinfo = UTC,
        time: Clock = "started_at",
    ) -> Statistics:
        """See `AsyncQueryableTraceStore.statistics`."""
        return await given(self._archive.statistics(filters, by=by, zone=zone, time=time))

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
        return await given(
            self._archive.groups(by, filters, order_by=order_by, limit=limit, cursor=cursor)
        )

    async def facets(
        self,
        filters: TraceFilter | None = None,
        *,
        most: int = 100,
    ) -> TraceFacets:
        """See `AsyncQueryableTraceStore.facets`."""
        return await given(self._archive.facets(filters, most=most))

    async def iter_summaries(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[TraceSummary]:
        """See `AsyncQueryableTraceStore.iter_summaries`."""
        async for item in _stream(self._archive.iter_summaries(filters, oldest_first=oldest_first)):
            yield item

    async def iter_traces(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[Any]:
        """See `AsyncQueryableTraceStore.iter_traces`."""
        async for item in _stream(self._archive.iter_traces(filters, oldest_first=oldest_first)):
            yield item

    async def delete(self, run_id: str) -> bool:
        """See `AsyncTraceStore.delete`."""
        return await given(self._archive.delete(run_id))

    async def aclose(self) -> None:
        """Close the store behind, if it can be closed."""
        for name in ("aclose", "close"):
            close = getattr(self.store, name, None)
            if close is not None:
                await given(close())
                return

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"


class AsyncContext(WrappingCore):
    """``async with``: enter the store behind, and close at the end."""

    async def __aenter__(self) -> Self:
        enter = getattr(self.store, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class BlockingWrapper(BlockingMethods[CoreT]):
    """The verbs, blocking, over the same coroutines."""

    @property
    def store(self) -> AnyStore:
        """The store behind."""
        return self._core.store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"


async def _stream(items: AsyncIterator[T] | Iterator[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterator):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _set(**options: Any) -> dict[str, Any]:
    """The options that were given: a store of five verbs knows none of them."""
    return {name: value for name, value in options.items() if value is not None}
