"""The verbs for code that blocks, over coroutines that never suspend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, tzinfo
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..model.filters import TraceFilter
from ..model.groups import GroupPage, TraceFacets
from ..model.histogram import TraceHistogram
from ..model.pagination import TracePage
from ..model.statistics import BY_DEFAULT, Clock, Statistics
from ..model.text_query import SearchPage
from ..model.trace import TraceSummary
from ..protocols import AsyncQueryableTraceStore, Change, RunIds
from ..runtime.interface import iterate_sync, run_sync

CoreT = TypeVar("CoreT", bound=AsyncQueryableTraceStore)


class ClosedAtEnd(ABC):
    """``with``: closed at the end."""

    @abstractmethod
    def close(self) -> None:
        """Close; closing again does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class BlockingMethods(ClosedAtEnd, Generic[CoreT]):
    """Each verb drives the core's coroutine of that name, where it is called."""

    def __init__(self, core: CoreT) -> None:
        self._core = core

    def save(self, trace: Any) -> str:
        """See `TraceStore.save`."""
        return run_sync(self._core.save(trace))

    def save_many(self, traces: Iterable[Any]) -> RunIds:
        """See `QueryableTraceStore.save_many`."""
        return run_sync(self._core.save_many(traces))

    def update(self, run_id: str, change: Change) -> bool:
        """See `QueryableTraceStore.update`."""
        return run_sync(self._core.update(run_id, change))

    def load(self, run_id: str) -> Any:
        """See `TraceStore.load`."""
        return run_sync(self._core.load(run_id))

    def load_many(self, run_ids: Iterable[str]) -> dict[str, Any]:
        """See `QueryableTraceStore.load_many`."""
        return run_sync(self._core.load_many(run_ids))

    def list(self, limit: int = 50, offset: int = 0, *, cursor: str | None = None) -> TracePage:
        """See `QueryableTraceStore.list`."""
        return run_sync(self._core.list(limit, offset, cursor=cursor))

    def query(self, filters: TraceFilter, *, cursor: str | None = None) -> TracePage:
        """See `QueryableTraceStore.query`."""
        return run_sync(self._core.query(filters, cursor=cursor))

    def count(self, filters: TraceFilter | None = None) -> int:
        """See `QueryableTraceStore.count`."""
        return run_sync(self._core.count(filters))

    def histogram(self, filters: TraceFilter | None = None, *, buckets: int = 60) -> TraceHistogram:
        """See `QueryableTraceStore.histogram`."""
        return run_sync(self._core.histogram(filters, buckets=buckets))

    def search(
        self,
        text: str,
        filters: TraceFilter | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        hits_per_run: int = 3,
    ) -> SearchPage:
        """See `QueryableTraceStore.search`."""
        return run_sync(
            self._core.search(text, filters, limit=limit, cursor=cursor, hits_per_run=hits_per_run)
        )

    def statistics(
        self,
        filters: TraceFilter | None = None,
        *,
        by: Collection[str] = BY_DEFAULT,
        zone: tzinfo = UTC,
        time: Clock = "started_at",
    ) -> Statistics:
        """See `QueryableTraceStore.statistics`."""
        return run_sync(self._core.statistics(filters, by=by, zone=zone, time=time))

    def groups(
        self,
        by: str,
        filters: TraceFilter | None = None,
        *,
        order_by: str = "-last",
        limit: int = 50,
        cursor: str | None = None,
    ) -> GroupPage:
        """See `QueryableTraceStore.groups`."""
        return run_sync(
            self._core.groups(by, filters, order_by=order_by, limit=limit, cursor=cursor)
        )

    def facets(
        self,
        filters: TraceFilter | None = None,
        *,
        most: int = 100,
    ) -> TraceFacets:
        """See `QueryableTraceStore.facets`."""
        return run_sync(self._core.facets(filters, most=most))

    def iter_summaries(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> Iterator[TraceSummary]:
        """See `QueryableTraceStore.iter_summaries`."""
        return iterate_sync(self._core.iter_summaries(filters, oldest_first=oldest_first))

    def iter_traces(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> Iterator[Any]:
        """See `QueryableTraceStore.iter_traces`."""
        return iterate_sync(self._core.iter_traces(filters, oldest_first=oldest_first))

    def delete(self, run_id: str) -> bool:
        """See `TraceStore.delete`."""
        return run_sync(self._core.delete(run_id))

    def close(self) -> None:
        """See `QueryableTraceStore.close`."""
        run_sync(self._core.aclose())
