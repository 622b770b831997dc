"""The verbs for code that blocks, over coroutines that never suspend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..model.filters import TraceFilter
from ..model.histogram import TraceHistogram
from ..model.pagination import TracePage
from ..model.trace import TraceSummary
from ..protocols import AsyncTraceArchive, RunIds
from ..runtime.interface import drive, drive_iterator

CoreT = TypeVar("CoreT", bound=AsyncTraceArchive)


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


class BlockingVerbs(ClosedAtEnd, Generic[CoreT]):
    """Each verb drives the core's coroutine of that name, where it is called."""

    def __init__(self, core: CoreT) -> None:
        self._core = core

    def save(self, trace: Any) -> str:
        """See `TraceStore.save`."""
        return drive(self._core.save(trace))

    def save_many(self, traces: Iterable[Any]) -> RunIds:
        """See `TraceArchive.save_many`."""
        return drive(self._core.save_many(traces))

    def load(self, run_id: str) -> Any:
        """See `TraceStore.load`."""
        return drive(self._core.load(run_id))

    def load_many(self, run_ids: Iterable[str]) -> dict[str, Any]:
        """See `TraceArchive.load_many`."""
        return drive(self._core.load_many(run_ids))

    def list(self, limit: int = 50, offset: int = 0, *, cursor: str | None = None) -> TracePage:
        """See `TraceArchive.list`."""
        return drive(self._core.list(limit, offset, cursor=cursor))

    def query(self, filters: TraceFilter, *, cursor: str | None = None) -> TracePage:
        """See `TraceArchive.query`."""
        return drive(self._core.query(filters, cursor=cursor))

    def count(self, filters: TraceFilter | None = None) -> int:
        """See `TraceArchive.count`."""
        return drive(self._core.count(filters))

    def histogram(self, filters: TraceFilter | None = None, *, buckets: int = 60) -> TraceHistogram:
        """See `TraceArchive.histogram`."""
        return drive(self._core.histogram(filters, buckets=buckets))

    def iter_summaries(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> Iterator[TraceSummary]:
        """See `TraceArchive.iter_summaries`."""
        return drive_iterator(self._core.iter_summaries(filters, oldest_first=oldest_first))

    def iter_traces(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> Iterator[Any]:
        """See `TraceArchive.iter_traces`."""
        return drive_iterator(self._core.iter_traces(filters, oldest_first=oldest_first))

    def delete(self, run_id: str) -> bool:
        """See `TraceStore.delete`."""
        return drive(self._core.delete(run_id))

    def close(self) -> None:
        """See `TraceArchive.close`."""
        drive(self._core.aclose())
