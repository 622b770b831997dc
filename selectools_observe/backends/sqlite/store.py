"""The SQLite store's coroutines."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from ...errors import StorageError
from ...model.annotations import Annotation
from ...model.clock import Clock
from ...model.codec import TraceType, encode
from ...model.filters import TraceFilter
from ...model.groups import FacetCollector, GroupCollector, GroupPage, stored_key
from ...model.histogram import TraceHistogram
from ...model.ordering import Order
from ...model.pagination import Position
from ...model.reports import BackupReport, CompactReport, RepairReport, VerifyReport
from ...model.retention import Retention
from ...model.statistics import Collector
from ...protocols import Durability
from ...runtime.batching import AwaitedBatcher, Batcher
from ...runtime.interface import Runtime
from ...runtime.loop_local import LoopLocal
from ...runtime.worker import Worker
from ..base import checked_path
from ..file_base import FileCore
from ..files.progress import Done, Steps, take
from ..queries.latest_keys import ORDER, has_latest
from ..queries.paging import PageRequest, PageRow
from ..queries.row_queries import Loaded
from ..sql.row import Row
from . import reader, wal
from .annotation_rows import annotations_of_runs
from .connection import Connection
from .database import FAULTS, Database, Purpose
from .index.ordered import can_order
from .index.text_search import TextSearch
from .index.word_keeper import WordKeeper
from .rollups import counts, latest_groups
from .rollups.aggregation import can_aggregate
from .rollups.rollup_upkeep import make_rollups
from .rollups.totals import add_facets, add_up, can_add_up, group_page
from .rows import WrittenTrace, to_write
from .writer import Unit, Writer

_IDLE_PIECE = 0.02  # seconds of making rollups at a time
_SHORT = 10_000  # runs whose facets are told about as soon as a page

T = TypeVar("T")
Args = ParamSpec("Args")
HeldT = TypeVar("HeldT")
Ask: TypeAlias = Callable[..., Coroutine[Any, Any, bool]]


class SQLiteStore(FileCore[WrittenTrace]):
    """Traces in the page's table, found by an index of ours next to it."""

    _kind = "sqlite"

    def __init__(
        self,
        runtime: Runtime,
        db_path: str | os.PathLike[str],
        durability: Durability,
        trace_type: TraceType,
    ) -> None:
        path = checked_path(db_path)
        self._database = Database(path, durability)
        super().__init__(runtime, path, trace_type)
        self._loop_local = LoopLocal(runtime, self._new_state, _LoopState.abandon)
        self._words = WordKeeper(
            self._database.connect, partial(make_rollups, where=path, seconds=_IDLE_PIECE)
        )

    @property
    def path(self) -> str | None:
        """The file; None in memory."""
        return None if self._where == ":memory:" else self._where

    def _new_state(self) -> _LoopState:
        self._check_open()
        return _LoopState(self._runtime, self._database, self._words)

    async def _open(self) -> None:
        self._check_open()
        await self._loop_local.current().write(lambda _: None)

    def _prepare(self, trace: object) -> WrittenTrace:
        return to_write(encode(trace))

    def _save(self, traces: Sequence[WrittenTrace]) -> Coroutine[Any, Any, None]:
        return self._loop_local.current().save(traces)

    async def _update(
        self, run_id: str, change: Callable[[bytes | None], WrittenTrace | None]
    ) -> bool:
        return await self._loop_local.current().write(Writer.update, run_id, change)

    async def _load(self, run_id: str) -> bytes | None:
        return await self._loop_local.current().load(run_id)

    async def _load_many(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        return await self._loop_local.current().load_many(run_ids)

    async def _can_order(self, filters: TraceFilter, order: Order) -> bool:
        return can_order(filters, order)

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        return await self._loop_local.current().scan(reader.page, self._where, ask)

    async def _read(self, ask: PageRequest) -> Sequence[PageRow]:
        search = TextSearch(self._where, ask)
        while not await self._loop_local.current().scan(search.step):
            self._check_open()
        if search.is_damaged:
            self._words.rebuild()
        elif search.is_behind and not self._database.is_private:
            self._words.wake()
        return search.page

    async def _count(self, filters: TraceFilter) -> int:
        return await self._loop_local.current().count(counts.count, self._where, filters)

    async def _histogram(self, filters: TraceFilter, buckets: int, time: Clock) -> TraceHistogram:
        work = counts.histogram
        return await self._loop_local.current().count(work, self._where, filters, buckets, time)

    async def _statistics(self, filters: TraceFilter, collector: Collector) -> None:
        if can_add_up(filters, collector):
            await self._make_rollups()
            state = self._loop_local.current()
            if await state.count(add_up, self._where, filters, collector):
                return
        await super()._statistics(filters, collector)

    async def _group_page(
        self,
        filters: TraceFilter,
        collector: GroupCollector,
        order_by: str,
        limit: int,
        cursor: str | None,
    ) -> GroupPage:
        if can_aggregate(filters) and stored_key(collector.by) is not None:
            await self._make_rollups(sums=False)
            if order_by == ORDER and has_latest(filters, collector.by):
                work = latest_groups.latest_page
                told = await self._loop_local.current().count(
                    work, self._where, collector.by, limit, cursor
                )
                if told is not None:
                    return told
            state = self._loop_local.current()
            found = await state.count(
                group_page, self._where, filters, collector, order_by, limit, cursor
            )
            if found is not None:
                return found
        return await super()._group_page(filters, collector, order_by, limit, cursor)

    async def _facets(self, filters: TraceFilter, collector: FacetCollector) -> None:
        if can_aggregate(filters):
            state = self._loop_local.current()
            ask: Ask = state.scan if _is_short(filters) else state.count
            await self._make_rollups(ask, sums=False)
            if await ask(add_facets, self._where, filters, collector):
                return
        await super()._facets(filters, collector)

    async def _make_rollups(self, ask: Ask | None = None, *, sums: bool = True) -> None:
        """Make what is missing, in many steps: whoever asks may be cancelled between them."""
        ask = self._loop_local.current().count if ask is None else ask
        while await ask(make_rollups, self._where, sums=sums):
            self._check_open()

    async def _delete(self, run_id: str) -> bool:
        return await self._loop_local.current().write(Writer.delete, run_id)

    async def _delete_many(self, run_ids: Sequence[str]) -> int:
        return await self._loop_local.current().write(Writer.delete_many, list(run_ids))

    async def _delete_rows(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Sequence[str]:
        ids = [row.key for row in rows]
        state = self._loop_local.current()
        return await state.write(Writer.delete_rows, ids, spare_annotated=spare_annotated)

    async def _delete_oldest(self, number: int) -> int:
        return await self._loop_local.current().write(Writer.delete_oldest, number)

    def _keep_to(self, retention: Retention | None) -> None:
        super()._keep_to(retention)
        if retention is None or retention.keep_bytes is None or self._database.is_private:
            return
        self._database.log_limit = wal.limit_under(retention.keep_bytes)
        super()._keep_to(replace(retention, keep_bytes=wal.room_under(retention.keep_bytes)))

    async def _size(self) -> int:
        return await self._loop_local.current().write(Writer.size)

    async def _give_back(self, *, all_of_it: bool) -> None:
        state = self._loop_local.current()
        if all_of_it and not self._database.is_private and await state.write(Writer.is_wasteful):
            await self.compact()
            return
        while await state.write(Writer.give_back, all_of_it=all_of_it):
            if not all_of_it:
                return

    async def _annotate(self, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        return await self._loop_local.current().write(Writer.annotate, annotations)

    async def _annotations(self, run_ids: Sequence[str]) -> Sequence[list[Annotation] | None]:
        return await self._loop_local.current().scan(annotations_of_runs, self._where, run_ids)

    async def _remove_annotations(
        self, run_id: str, name: str | None, annotation_id: str | None
    ) -> int:
        state = self._loop_local.current()
        return await state.write(Writer.remove_annotations, run_id, name, annotation_id)

    async def _newest(self) -> Position | None:
        newest = await self._loop_local.current().newest()
        return Position(self._kind, newest) if newest else None

    async def _close(self) -> None:
        self._words.abandon()
        mine, others = self._loop_local.take_all()
        for state in others:
            state.abandon()
        try:
            if self._words.is_working:
                await self._runtime.call(self._words.close)
            if mine is not None:
                await mine.close()
        finally:
            self._database.close()

    def _verifying(self) -> Steps[VerifyReport]:
        from .recovery.verify import verifying  # noqa: PLC0415 - seldom needed

        return self._on_connection(lambda held: verifying(held, self._where))

    def _backing_up(self, path: str, *, overwrite: bool) -> Steps[BackupReport]:
        from .recovery.backup import backing_up  # noqa: PLC0415 - seldom needed

        return self._on_connection(
            lambda held: backing_up(held, self._where, path, overwrite=overwrite)
        )

    def _repairing(self, into: str, *, keep_suspect: bool) -> Steps[RepairReport]:
        from .recovery.repair import repairing  # noqa: PLC0415 - seldom needed

        if self._database.is_private:
            raise StorageError(self._where, "the store is in memory", "Write one with backup(path)")
        return repairing(self._database.file, self._where, into, keep_suspect=keep_suspect)

    def _compacting(self) -> Steps[CompactReport]:
        from .recovery.compact import compacting  # noqa: PLC0415 - seldom needed

        return self._on_connection(lambda held: compacting(held, self._where))

    def _on_connection(self, begin: Callable[[Connection], Steps[T]]) -> Steps[T]:
        """Long work on a connection of its own, so that no other method waits for it."""
        connection = self._database.connect()
        try:
            return (yield from begin(connection))
        finally:
            connection.close()

    def _take(self, steps: Steps[T]) -> tuple[int, int] | Done[T]:
        with self._database.explained():
            return self._database.in_turn(take, steps)

    def _place_of(self, run_id: str) -> str:
        return reader.place_of(self._where, run_id)

    def _is_open(self) -> bool:
        return any(state.is_open for state in self._loop_local)

    def _abandon(self) -> None:
        self._words.abandon()
        mine, others = self._loop_local.take_all()
        for state in [*others, *([mine] if mine else [])]:
            state.abandon()


def _is_short(filters: TraceFilter) -> bool:
    """Whether this asks for a few of the newest, which wait for no count of a million."""
    limit = filters.limit
    return limit is not None and limit <= _SHORT and filters == TraceFilter(limit=limit)


class _LoopState:
    """What belongs to one event loop: its connections, and the batches that are forming.

    Four connections, each opened at first use: no load waits for a commit or for a long query, and
    no page waits for a count of a million rows.
    """

    def __init__(self, runtime: Runtime, database: Database, words: WordKeeper) -> None:
        self._database = database
        self._words = words
        self._runtime = runtime
        to_write = Purpose(
            database,
            lambda connection: Writer(
                connection,
                database.where,
                lambda: database.log_limit,
                has_idle_thread=not database.is_private,
            ),
            lambda writer: writer.connection.is_current(),
        )
        to_read = Purpose(database, lambda connection: connection, Connection.seems_current)
        self._writer: Worker[Writer] = runtime.worker(to_write)
        self._loader: Worker[Connection] = runtime.worker(to_read)
        self._scanner: Worker[Connection] = runtime.worker(to_read)
        self._counter: Worker[Connection] = runtime.worker(to_read)
        self._saves: Batcher[Writer, Unit, None] = Batcher(runtime, self._writer, self._save_batch)
        self._loads: AwaitedBatcher[str, bytes | None] = AwaitedBatcher(
            runtime, self.load_many, repeatable=True
        )

    async def save(self, traces: Unit) -> None:
        """Save traces, together with others that are saved at the same time."""
        try:
            await self._saves.submit(traces)
        except FAULTS as error:
            raise self._database.explanation(error) from error
        if not self._database.is_private:
            self._words.used(len(traces))

    def _save_batch(self, writer: Writer, units: Sequence[Unit]) -> Sequence[Exception | None]:
        return self._database.in_turn(writer.save, units)

    async def load(self, run_id: str) -> bytes | None:
        """Load one trace, together with others that are asked for at the same time."""
        if self._runtime.hops:
            return await self._loads.submit(run_id)
        rows = await self._fetch(self._loader, reader.LOAD_ONE, (run_id,))
        return reader.loaded_one(self._database.where, run_id, rows)

    async def load_many(self, run_ids: Sequence[str]) -> list[Loaded]:
        """Load traces, a statement for each 256 of them."""
        loaded: list[Loaded] = []
        for some in reader.chunks(run_ids, reader.ROWS_AT_ONCE):
            rows = await self._fetch(self._loader, *reader.select(some))
            check = partial(reader.loaded, self._database.where, some, rows)
            in_thread = self._runtime.hops and reader.is_large(rows)
            loaded += await self._runtime.call(check) if in_thread else check()
        return loaded

    async def newest(self) -> int:
        """The place of the newest trace in the order of saving."""
        ((newest,),) = await self._fetch(self._scanner, reader.NEWEST_ID)
        return newest or 0

    async def _fetch(
        self, worker: Worker[Any], sql: str, parameters: Sequence[Any] = ()
    ) -> Sequence[Row]:
        """The rows of one statement that reads."""
        if self._database.is_private:  # others may be within a transaction, on the same connection
            return await self._do(worker, reader.fetch_all, sql, parameters)
        try:
            return await worker.fetch_all(sql, parameters)
        except FAULTS as error:
            raise self._database.explanation(error) from error

    def write(
        self,
        work: Callable[Concatenate[Writer, Args], T],
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> Coroutine[Any, Any, T]:
        """Do work that changes the database."""
        return self._do(self._writer, work, *args, **kwargs)

    def scan(
        self,
        work: Callable[Concatenate[Connection, Args], T],
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> Coroutine[Any, Any, T]:
        """Do work that reads much of it."""
        return self._do(self._scanner, work, *args, **kwargs)

    def count(
        self,
        work: Callable[Concatenate[Connection, Args], T],
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> Coroutine[Any, Any, T]:
        """Do work that may read all of it."""
        return self._do(self._counter, work, *args, **kwargs)

    async def _do(
        self,
        worker: Worker[HeldT],
        work: Callable[Concatenate[HeldT, Args], T],
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> T:
        try:
            return await worker.run(
                lambda held: self._database.in_turn(work, held, *args, **kwargs)
            )
        except FAULTS as error:
            raise self._database.explanation(error) from error

    @property
    def is_open(self) -> bool:
        """Whether a connection is open."""
        return any(worker.is_holding for worker in self._workers)

    async def close(self) -> None:
        """Finish what was begun, and close the connections."""
        try:
            for worker in self._workers:
                await worker.close()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without waiting."""
        for worker in self._workers:
            worker.abandon()

    @property
    def _workers(self) -> tuple[Worker[Any], ...]:
        return (self._writer, self._loader, self._scanner, self._counter)
