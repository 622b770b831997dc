"""The JSONL store's coroutines."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ...model.codec import EncodedTrace, TraceType, encode
from ...model.filters import TraceFilter
from ...model.histogram import TraceHistogram
from ...model.pagination import Position
from ...model.reports import BackupReport, CompactReport, Progress, RepairReport, VerifyReport
from ...protocols import Durability
from ...runtime.batching import Batcher, Work
from ...runtime.interface import Runtime
from ...runtime.loop_local import LoopLocal
from .. import error_mapping
from ..base import Loaded, checked_path
from ..file_base import FileCore
from ..ordered_index import (
    ScanRequest,
    ScanResult,
    count_in_slices,
    histogram_in_slices,
    page_in_slices,
)
from ..paging import PageRequest, PageRow
from ..progress import Done, Steps, take
from .backup import backing_up
from .log_file import Archive, Unit
from .repair import repairing
from .verify import verifying

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
        self._archive = Archive(self._where, sync=durability == "full", progress=progress)
        self._lanes = LoopLocal(runtime, self._new_lane, lambda _: None)

    @property
    def path(self) -> str:
        """The file."""
        return self._where

    def _new_lane(self) -> _LoopState:
        self._check_open()
        return _LoopState(
            self._runtime,
            lambda units: self._explained(self._archive.append, units),
            lambda run_ids: self._explained(self._archive.load, run_ids),
        )

    async def _open(self) -> None:
        self._check_open()
        await self._do(self._archive.open)

    def _prepare(self, trace: object) -> EncodedTrace:
        return encode(trace)

    async def _save(self, traces: Sequence[EncodedTrace]) -> None:
        with self._in_words():
            await self._lanes.current().saves.ask(traces)

    async def _update(
        self, run_id: str, change: Callable[[bytes | None], EncodedTrace | None]
    ) -> bool:
        return await self._do(self._archive.update, run_id, change)

    async def _load(self, run_id: str) -> bytes | None:
        with self._in_words():
            return await self._lanes.current().loads.ask(run_id)

    async def _load_many(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        return await self._do(self._archive.load, run_ids)

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        return await page_in_slices(self._look, ask)

    async def _count(self, filters: TraceFilter) -> int:
        return await count_in_slices(self._look, filters)

    async def _histogram(self, filters: TraceFilter, buckets: int) -> TraceHistogram:
        return await histogram_in_slices(self._look, filters, buckets)

    async def _look(self, look: ScanRequest) -> ScanResult:
        return await self._do(self._archive.look, look)

    async def _delete(self, run_id: str) -> bool:
        return await self._do(self._archive.delete, run_id)

    async def _newest(self) -> Position | None:
        return await self._do(self._archive.newest, self._kind)

    async def _close(self) -> None:
        self._lanes.take_all()
        try:
            await self._do(self._archive.close)
        except BaseException:
            self._archive.close()  # a loop that ends may take away the call before it began
            raise

    def _verifying(self) -> Steps[VerifyReport]:
        self._archive.open()  # at first use
        return (yield from verifying(self._archive.file, self._where))

    def _backing_up(self, path: str, *, overwrite: bool) -> Steps[BackupReport]:
        fd, size = self._archive.snapshot()
        try:
            return (yield from backing_up(fd, size, self._where, path, overwrite=overwrite))
        finally:
            os.close(fd)

    def _repairing(self, into: str, *, keep_suspect: bool) -> Steps[RepairReport]:
        return repairing(self._archive.file, self._where, into, keep_suspect=keep_suspect)

    def _compacting(self) -> Steps[CompactReport]:
        before, after, dropped = self._archive.compact()
        yield after, after
        return CompactReport(self._where, before, after, dropped)

    def _take(self, steps: Steps[T]) -> tuple[int, int] | Done[T]:
        return self._explained(take, steps)

    async def _do(self, work: Callable[Args, T], *args: Args.args, **kwargs: Args.kwargs) -> T:
        """Do file work in a thread or where we stand."""
        with self._in_words():
            return await self._runtime.call(partial(work, *args, **kwargs))

    def _explained(self, work: Callable[Args, T], *args: Args.args, **kwargs: Args.kwargs) -> T:
        with self._in_words():
            return work(*args, **kwargs)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Put what the operating system says in words."""
        try:
            yield
        except OSError as error:
            raise error_mapping.from_os(self._where, error) from error

    def _place_of(self, run_id: str) -> str:
        return self._archive.place_of(run_id)

    def _epoch(self) -> str:
        return self._archive.epoch()

    def _is_open(self) -> bool:
        return self._archive.is_open

    def _abandon(self) -> None:
        self._archive.close()


class _LoopState:
    """The batches that are forming in one event loop."""

    def __init__(self, runtime: Runtime, save: Work[Unit, None], load: Work[str, Any]) -> None:
        self._runtime = runtime
        self._save_now = save
        self._load_now = load
        self.saves: Batcher[Unit, None] = Batcher(runtime, self._save)
        self.loads: Batcher[str, bytes | None] = Batcher(runtime, self._load)

    async def _save(self, answer: Callable[[Work[Unit, None]], None]) -> None:
        await self._runtime.call(partial(answer, self._save_now))

    async def _load(self, answer: Callable[[Work[str, Any]], None]) -> None:
        await self._runtime.call(partial(answer, self._load_now))
