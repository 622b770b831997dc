"""Callers that await both kinds of store, so that each check is written once."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from ..model.annotations import Annotation
from ..model.filters import TraceFilter
from ..model.groups import GroupPage, TraceFacets
from ..model.health import StoreHealth
from ..model.histogram import TraceHistogram
from ..model.reports import BackupReport, CompactReport, RepairReport, VerifyReport
from ..model.retention import PruneReport
from ..model.statistics import Statistics
from ..model.text_query import SearchPage
from ..model.trace import AgentTrace, TraceSummary
from ..protocols import Annotations, Change, RunIds
from ..runtime.interface import run_sync

Call: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]
Outcomes: TypeAlias = list[Any]

_THREADS = 16


class StoreCaller(ABC):
    """A store's methods as coroutines, whether the store is async or blocking.

    Over a blocking store they never suspend, so that a check can be driven without an event loop.

    Attributes:
        store: The store itself.
    """

    def __init__(self, store: Any) -> None:
        self.store = store

    async def save(self, trace: object) -> str:
        __tracebackhide__ = True
        return str(await _done(self.store.save(trace)))

    async def update(self, run_id: str, change: Change, **options: Any) -> bool:
        __tracebackhide__ = True
        saved: bool = await _done(self.store.update(run_id, change, **options))
        return saved

    async def load(self, run_id: str) -> AgentTrace:
        __tracebackhide__ = True
        loaded: AgentTrace = await _done(self.store.load(run_id))
        return loaded

    async def list(self, *args: Any, **options: Any) -> Sequence[TraceSummary]:
        __tracebackhide__ = True
        found: Sequence[TraceSummary] = await _done(self.store.list(*args, **options))
        return found

    async def query(self, filters: TraceFilter, **options: Any) -> Sequence[TraceSummary]:
        __tracebackhide__ = True
        found: Sequence[TraceSummary] = await _done(self.store.query(filters, **options))
        return found

    async def delete(self, run_id: str, **options: Any) -> bool:
        __tracebackhide__ = True
        deleted: bool = await _done(self.store.delete(run_id, **options))
        return deleted

    async def save_many(self, traces: Iterable[object], **options: Any) -> RunIds:
        __tracebackhide__ = True
        saved: RunIds = await _done(self.store.save_many(traces, **options))
        return saved

    async def load_many(self, run_ids: Iterable[str]) -> dict[str, AgentTrace]:
        __tracebackhide__ = True
        loaded: dict[str, AgentTrace] = await _done(self.store.load_many(run_ids))
        return loaded

    async def count(self, filters: TraceFilter | None = None) -> int:
        __tracebackhide__ = True
        number: int = await _done(self.store.count(filters))
        return number

    async def histogram(self, filters: TraceFilter | None = None, **options: Any) -> TraceHistogram:
        __tracebackhide__ = True
        counted: TraceHistogram = await _done(self.store.histogram(filters, **options))
        return counted

    async def search(self, *args: Any, **options: Any) -> SearchPage:
        __tracebackhide__ = True
        found: SearchPage = await _done(self.store.search(*args, **options))
        return found

    async def statistics(self, *args: Any, **options: Any) -> Statistics:
        __tracebackhide__ = True
        found: Statistics = await _done(self.store.statistics(*args, **options))
        return found

    async def groups(self, *args: Any, **options: Any) -> GroupPage:
        __tracebackhide__ = True
        found: GroupPage = await _done(self.store.groups(*args, **options))
        return found

    async def facets(self, *args: Any, **options: Any) -> TraceFacets:
        __tracebackhide__ = True
        found: TraceFacets = await _done(self.store.facets(*args, **options))
        return found

    async def annotate(self, *args: Any, **options: Any) -> Annotation:
        __tracebackhide__ = True
        kept: Annotation = await _done(self.store.annotate(*args, **options))
        return kept

    async def annotate_many(self, annotations: Iterable[Annotation]) -> Annotations:
        __tracebackhide__ = True
        kept: Annotations = await _done(self.store.annotate_many(annotations))
        return kept

    async def annotations(self, run_id: str) -> Annotations:
        __tracebackhide__ = True
        found: Annotations = await _done(self.store.annotations(run_id))
        return found

    async def annotations_of(self, run_ids: Iterable[str]) -> dict[str, Annotations]:
        __tracebackhide__ = True
        found: dict[str, Annotations] = await _done(self.store.annotations_of(run_ids))
        return found

    async def remove_annotation(self, run_id: str, **options: Any) -> int:
        __tracebackhide__ = True
        removed: int = await _done(self.store.remove_annotation(run_id, **options))
        return removed

    async def delete_many(self, run_ids: Iterable[str]) -> int:
        __tracebackhide__ = True
        deleted: int = await _done(self.store.delete_many(run_ids))
        return deleted

    async def prune(self, **options: Any) -> PruneReport:
        __tracebackhide__ = True
        report: PruneReport = await _done(self.store.prune(**options))
        return report

    async def health(self) -> StoreHealth:
        __tracebackhide__ = True
        found: StoreHealth = await _done(self.store.health())
        return found

    async def verify(self, **options: Any) -> VerifyReport:
        __tracebackhide__ = True
        report: VerifyReport = await _done(self.store.verify(**options))
        return report

    async def backup(self, path: Path, **options: Any) -> BackupReport:
        __tracebackhide__ = True
        report: BackupReport = await _done(self.store.backup(path, **options))
        return report

    async def repair(self, into: Path, **options: Any) -> RepairReport:
        __tracebackhide__ = True
        report: RepairReport = await _done(self.store.repair(into, **options))
        return report

    async def compact(self, **options: Any) -> CompactReport:
        __tracebackhide__ = True
        report: CompactReport = await _done(self.store.compact(**options))
        return report

    def iter_summaries(self, *args: Any, **options: Any) -> AsyncIterator[TraceSummary]:
        return _stream(self.store.iter_summaries(*args, **options))

    def iter_traces(self, *args: Any, **options: Any) -> AsyncIterator[AgentTrace]:
        return _stream(self.store.iter_traces(*args, **options))

    async def ids(self, filters: TraceFilter | None = None) -> RunIds:
        """The run ids that a query gives, or all of them, newest first."""
        __tracebackhide__ = True
        found = await self.query(TraceFilter() if filters is None else filters)
        return [summary.run_id for summary in found]

    @abstractmethod
    async def close(self) -> None:
        """Close the store."""

    @abstractmethod
    async def used_as_context(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do work inside the store's own ``with``."""

    @abstractmethod
    async def together(self, calls: Sequence[Call]) -> Outcomes:
        """Make all calls at once; each one's result or exception, in their order."""


class AsyncStoreCaller(StoreCaller):
    """The methods of an async store."""

    async def close(self) -> None:
        __tracebackhide__ = True
        await self.store.aclose()

    async def used_as_context(self, work: Callable[[], Awaitable[object]]) -> None:
        async with self.store:
            await work()

    async def together(self, calls: Sequence[Call]) -> Outcomes:
        return await asyncio.gather(*[call() for call in calls], return_exceptions=True)


class BlockingStoreCaller(StoreCaller):
    """The methods of a blocking store; many at once are many threads."""

    async def close(self) -> None:
        __tracebackhide__ = True
        self.store.close()

    async def used_as_context(self, work: Callable[[], Awaitable[object]]) -> None:
        with self.store:
            await work()

    async def together(self, calls: Sequence[Call]) -> Outcomes:
        with ThreadPoolExecutor(_THREADS) as threads:
            begun = [threads.submit(run_sync, call()) for call in calls]
        return [one.exception() or one.result() for one in begun]


async def _done(result: Any) -> Any:
    __tracebackhide__ = True
    return await result if inspect.isawaitable(result) else result


async def _stream(items: Any) -> AsyncIterator[Any]:
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
