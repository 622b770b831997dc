"""The JSONL store, as coroutines."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

from ...model.annotations import Annotation
from ...model.clock import Clock
from ...model.codec import EncodedTrace, TraceType, encode
from ...model.filters import TraceFilter
from ...model.histogram import TraceHistogram
from ...model.pagination import Position
from ...model.reports import BackupReport, CompactReport, Progress, RepairReport, VerifyReport
from ...model.trace import TraceFacts
from ...protocols import Durability
from ...runtime.batching import Batcher
from ...runtime.interface import Runtime
from ...runtime.loop_local import LoopLocal
from ...runtime.worker import CallWorker
from ..base import checked_path
from ..file_base import FileCore
from ..files import error_mapping
from ..files.progress import Done, Steps, take
from ..queries.ordered_index import (
    ScanRequest,
    ScanResult,
    count_in_slices,
    histogram_in_slices,
    page_in_slices,
)
from ..queries.paging import PageRequest, PageRow
from ..queries.rollup_memory import RollupMemory
from ..queries.row_queries import Loaded
from .log_file import JSONLFile, Unit

T = TypeVar("T")
Args = ParamSpec("Args")


class JSONLStore(FileCore[EncodedTrace]):
    """Traces as lines of a file that grows, with an index of it in memory."""

    _kind = "jsonl"

    def __init__(
        self,
        runtime: Runtime,
        path: str | os.PathLike[str],
        durability: Durability,
        trace_type: TraceType,
        progress: Progress | None,
    ) -> None:
        if durability not in ("full", "normal"):
            raise ValueError(f"durability must be 'full' or 'normal', not {durability!r}")
        super().__init__(runtime, checked_path(path), trace_type)
        self._rollup_memory = RollupMemory()
        self._file = JSONLFile(self._where, sync=durability == "full", progress=progress)
        self._loop_local = LoopLocal(runtime, self._new_state, lambda _: None)

    @property
    def path(self) -> str:
        """The file."""
        return self._where

    def _new_state(self) -> _LoopState:
        self._check_open()
        return _LoopState(self._runtime, self._file)

    async def _open(self) -> None:
        self._check_open()
        await self._do(self._file.open)

    def _prepare(self, trace: object) -> EncodedTrace:
        return encode(trace)

    async def _save(self, traces: Sequence[EncodedTrace]) -> None:
        with self._explained():
            await self._loop_local.current().saves.submit(traces)

    async def _update(
        self, run_id: str, change: Callable[[bytes | None], EncodedTrace | None]
    ) -> bool:
        return await self._do(self._file.update, run_id, change)

    async def _load(self, run_id: str) -> bytes | None:
        with self._explained():
            return await self._loop_local.current().loads.submit(run_id)

    async def _load_many(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        return await self._do(self._file.load, run_ids)

    async def _facts(self, rows: Sequence[PageRow]) -> Sequence[TraceFacts | None]:
        return await self._do(self._file.facts, [row.summary.run_id for row in rows])

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        return await page_in_slices(self._look, ask)

    async def _count(self, filters: TraceFilter) -> int:
        return await count_in_slices(self._look, filters)

    async def _histogram(self, filters: TraceFilter, buckets: int, time: Clock) -> TraceHistogram:
        return await histogram_in_slices(self._look, filters, buckets, time)

    async def _look(self, look: ScanRequest) -> ScanResult:
        return await self._do(self._file.look, look)

    async def _delete(self, run_id: str) -> bool:
        return await self._do(self._file.delete, run_id)

    # Each deletion rewrites the file, however much goes.
    _deletes_at_once = 1 << 62
    _prune_slack = 0.15

    async def _delete_many(self, run_ids: Sequence[str]) -> int:
        return await self._do(self._file.delete_many, run_ids)

    async def _delete_rows(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Sequence[str]:
        work = self._file.delete_rows
        return await self._do(work, rows, self._epoch(), spare_annotated=spare_annotated)

    async def _size(self) -> int:
        return await self._do(self._file.size)

    async def _sizes_of(self, rows: Sequence[PageRow]) -> Sequence[int]:
        return await self._do(self._file.sizes_of, [row.summary.run_id for row in rows])

    async def _annotate(self, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        return await self._do(self._file.annotate, annotations)

    async def _annotations(self, run_ids: Sequence[str]) -> Sequence[list[Annotation] | None]:
        return await self._do(self._file.annotations, run_ids)

    async def _remove_annotations(
        self, run_id: str, name: str | None, annotation_id: str | None
    ) -> int:
        return await self._do(self._file.remove_annotations, run_id, name, annotation_id)

    async def _newest(self) -> Position | None:
        return await self._do(self._file.newest, self._kind)

    async def _close(self) -> None:
        self._loop_local.take_all()
        try:
            await self._do(self._file.close)
        except BaseException:
            self._file.close()  # a loop that ends may take away the call before it began
            raise

    def _verifying(self) -> Steps[VerifyReport]:
        from .verify import verifying  # noqa: PLC0415 - seldom needed

        self._file.open()  # at first use
        return (yield from verifying(self._file.file, self._where))

    def _backing_up(self, path: str, *, overwrite: bool) -> Steps[BackupReport]:
        from .backup import Source, backing_up  # noqa: PLC0415 - seldom needed

        fd, size, notes = self._file.snapshot()
        try:
            source = Source(fd, size, notes, self._where)
            return (yield from backing_up(source, path, overwrite=overwrite))
        finally:
            os.close(fd)
            if notes is not None:
                os.close(notes)

    def _repairing(self, into: str, *, keep_suspect: bool) -> Steps[RepairReport]:
        from .repair import repairing  # noqa: PLC0415 - seldom needed

        return repairing(self._file.file, self._where, into, keep_suspect=keep_suspect)

    def _compacting(self) -> Steps[CompactReport]:
        before, after, dropped = self._file.compact()
        yield after, after
        return CompactReport(self._where, before, after, dropped)

    def _take(self, steps: Steps[T]) -> tuple[int, int] | Done[T]:
        with self._explained():
            return take(steps)

    async def _do(self, work: Callable[Args, T], *args: Args.args, **kwargs: Args.kwargs) -> T:
        """Do file work in a thread or where we stand."""
        with self._explained():
            return await self._runtime.call(partial(work, *args, **kwargs))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the operating system says into `StorageError`."""
        try:
            yield
        except OSError as error:
            raise error_mapping.from_os(self._where, error) from error

    def _place_of(self, run_id: str) -> str:
        return self._file.place_of(run_id)

    def _epoch(self) -> str:
        return self._file.epoch()

    def _is_open(self) -> bool:
        return self._file.is_open

    def _abandon(self) -> None:
        self._file.close()


class _LoopState:
    """The batches that are forming in one event loop."""

    def __init__(self, runtime: Runtime, file: JSONLFile) -> None:
        worker = CallWorker(runtime, file)
        self.saves: Batcher[JSONLFile, Unit, None] = Batcher(runtime, worker, JSONLFile.append)
        self.loads: Batcher[JSONLFile, str, bytes | None] = Batcher(runtime, worker, JSONLFile.load)
