"""The in-memory backend: the newest or most used traces, gone with the process."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime

from ..model import timestamps
from ..model.annotations import Annotation
from ..model.clock import Clock
from ..model.codec import LARGE, TraceType
from ..model.filters import TraceFilter
from ..model.histogram import TraceHistogram
from ..model.pagination import Position
from ..model.snapshot import Snapshot, snapshot
from ..model.trace import TraceFacts, TraceSummary
from ..runtime.fork import ForkSafeLock
from ..runtime.interface import Runtime
from .base import StoreCore
from .queries.ordered_index import (
    Entry,
    OrderedIndex,
    ScanRequest,
    ScanResult,
    count_in_slices,
    histogram_in_slices,
    page_in_slices,
)
from .queries.paging import PageRequest, PageRow
from .queries.rollup_memory import RollupMemory
from .queries.row_queries import Loaded


class _Kept(Entry):
    """A snapshot; its summary and facts are made when somebody asks."""

    __slots__ = ("_created_at", "_facts", "_summary", "kept")

    def __init__(self, kept: Snapshot, created_at: datetime) -> None:
        self.run_id = kept.run_id
        self.kept = kept
        self._created_at = created_at
        self._summary: TraceSummary | None = None
        self._facts: TraceFacts | None = None

    @property
    def summary(self) -> TraceSummary:
        if self._summary is None:
            self._summary = self.kept.summary(self._created_at)
        return self._summary

    @property
    def facts(self) -> TraceFacts:
        if self._facts is None:
            self._facts = self.kept.facts()
        return self._facts


class MemoryStore(StoreCore[Snapshot]):
    """Keeps snapshots in a dictionary, evicting the least recently used.

    Saving and loading count as use. A thread lock guards it, held for microseconds, so that all
    event loops and threads may share one store.
    """

    _kind = "memory"

    def __init__(self, runtime: Runtime, max_size: int, trace_type: TraceType) -> None:
        if isinstance(max_size, bool) or not isinstance(max_size, int):
            raise TypeError(f"max_size must be an integer, not {max_size!r}")
        if max_size < 1:
            raise ValueError(f"max_size must be at least 1: {max_size}")
        super().__init__(runtime, "memory", trace_type)
        self._rollup_memory = RollupMemory()
        self._max_size = max_size
        self._lock = ForkSafeLock()
        self._order: OrderedIndex[_Kept] = OrderedIndex(uuid.uuid4().hex)
        self._by_use: OrderedDict[str, Snapshot] = OrderedDict()
        # What is under way. A signal handler may raise in the midst of it: the next method does it
        # again, from the beginning.
        self._arriving: Sequence[_Kept] = ()
        self._leaving: str | None = None
        self._judging: Sequence[Annotation] = ()

    def _prepare(self, trace: object) -> Snapshot:
        return snapshot(trace, compact=True)

    async def _save(self, traces: Sequence[Snapshot]) -> None:
        now = timestamps.now()
        arriving = [_Kept(trace, trace.created_at or now) for trace in traces]
        with self._lock.held:
            self._settle()
            self._arriving = arriving
            self._settle()

    async def _update(self, run_id: str, change: Callable[[bytes | None], Snapshot | None]) -> bool:
        with self._lock.held:
            self._settle()
            kept = self._by_use.get(run_id)
            changed = change(None if kept is None else kept.trace())
            if changed is None:
                return False
            self._arriving = [_Kept(changed, changed.created_at or timestamps.now())]
            self._settle()
            return True

    def _settle(self) -> None:
        """Bring what is under way to its end."""
        by_use, order = self._by_use, self._order
        if self._arriving:
            for entry in self._arriving:
                by_use[entry.run_id] = entry.kept
                if order.add(entry):
                    by_use.move_to_end(entry.run_id)
            while len(by_use) > self._max_size:
                evicted = next(iter(by_use))
                order.annotations.forget(evicted)
                order.remove(evicted)
                del by_use[evicted]
            self._arriving = ()
        if self._leaving is not None:
            order.annotations.forget(self._leaving)
            order.remove(self._leaving)
            by_use.pop(self._leaving, None)
            self._leaving = None
        if self._judging:
            order.annotations.put(self._judging)
            for one in self._judging:
                order.annotated(one.run_id)
            self._judging = ()

    async def _load(self, run_id: str) -> bytes | None:
        with self._lock.held:
            self._settle()
            if run_id not in self._by_use:
                return None
            self._by_use.move_to_end(run_id)
            kept = self._by_use[run_id]
        if self._runtime.hops and kept.size > LARGE:
            return await self._runtime.call(kept.trace)
        return kept.trace()

    async def _load_many(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        return [await self._load(run_id) for run_id in run_ids]

    async def _peek(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        with self._lock.held:
            self._settle()
            kept = [self._by_use.get(run_id) for run_id in run_ids]
        return [None if one is None else one.trace() for one in kept]

    async def _facts(self, rows: Sequence[PageRow]) -> Sequence[TraceFacts | None]:
        with self._lock.held:
            self._settle()
            entries = [self._order.get(row.summary.run_id) for row in rows]
            return [None if entry is None else entry.facts for entry in entries]

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        return await page_in_slices(self._look, ask)

    async def _count(self, filters: TraceFilter) -> int:
        return await count_in_slices(self._look, filters)

    async def _histogram(self, filters: TraceFilter, buckets: int, time: Clock) -> TraceHistogram:
        return await histogram_in_slices(self._look, filters, buckets, time)

    async def _look(self, look: ScanRequest) -> ScanResult:
        with self._lock.held:
            self._settle()
            found = self._order.look(look)
        if not found.is_last and found.count != look.enough:
            await self._runtime.checkpoint()
        return found

    async def _delete(self, run_id: str) -> bool:
        with self._lock.held:
            self._settle()
            if run_id not in self._by_use:
                return False
            self._leaving = run_id
            self._settle()
            return True

    async def _size(self) -> int:
        with self._lock.held:
            self._settle()
            return sum(kept.size for kept in self._by_use.values())

    async def _sizes_of(self, rows: Sequence[PageRow]) -> Sequence[int]:
        with self._lock.held:
            self._settle()
            kept = [self._by_use.get(row.summary.run_id) for row in rows]
            return [0 if one is None else one.size for one in kept]

    async def _delete_rows(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Sequence[str]:
        gone: list[str] = []
        with self._lock.held:
            for row in rows:
                self._settle()
                run_id = row.summary.run_id
                entry = self._order.get(run_id)
                is_spared = spare_annotated and run_id in self._order.annotations
                if entry is not None and entry.number == row.key and not is_spared:
                    self._leaving = run_id
                    self._settle()
                    gone.append(run_id)
        return gone

    async def _annotate(self, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        with self._lock.held:
            self._settle()
            for one in annotations:
                if one.run_id not in self._by_use:
                    return one.run_id
            self._judging = made = self._order.annotations.stamped(annotations, timestamps.now())
            self._settle()
            return made

    async def _annotations(self, run_ids: Sequence[str]) -> Sequence[list[Annotation] | None]:
        with self._lock.held:
            self._settle()
            return [
                self._order.annotations.of(run_id) if run_id in self._by_use else None
                for run_id in run_ids
            ]

    async def _remove_annotations(
        self, run_id: str, name: str | None, annotation_id: str | None
    ) -> int:
        with self._lock.held:
            self._settle()
            gone = self._order.annotations.ids(run_id, name, annotation_id)
            self._order.annotations.remove(run_id, gone)
            self._order.annotated(run_id)
            return len(gone)

    async def _newest(self) -> Position | None:
        with self._lock.held:
            self._settle()
            return self._order.newest(self._kind)

    async def _close(self) -> None:
        with self._lock.held:
            self._order = OrderedIndex(uuid.uuid4().hex)
            self._by_use.clear()

    def _epoch(self) -> str:
        return self._order.epoch
