"""The PostgreSQL store's coroutines."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from ...errors import CorruptTraceError
from ...model.codec import TraceType, encode
from ...model.filters import TraceFilter, verdict
from ...model.histogram import Tally, TraceHistogram, bounds_of
from ...model.pagination import Position
from ...runtime.interface import Runtime
from ...runtime.loop_local import LoopLocal
from .. import timestamps
from ..base import Loaded, StoreCore
from ..paging import PageRequest, PageRow
from . import queries
from .address import Address, parse_address
from .connections import Connections
from .rows import TraceRow, is_whole, key_of, read_summary, row_of
from .session import Row

_ROWS_AT_ONCE = 512
_LARGEST = 2**62  # what LIMIT takes
_DAMAGED = "its checksum does not match: it was damaged after it was saved"


class PostgresStore(StoreCore[TraceRow]):
    """Traces in a table of a PostgreSQL database, one row a run.

    The order of saving is that of the commits: each transaction that saves takes an advisory lock
    before its rows are numbered.
    """

    _kind = "postgresql"

    def __init__(self, runtime: Runtime, url: str, trace_type: TraceType) -> None:
        self._address: Address = parse_address(url)
        self._traces = f"{self._address.schema}.traces"
        super().__init__(runtime, self._address.shown, trace_type)
        self._connections = LoopLocal(runtime, self._new_connections, Connections.abandon)
        self._numbering = ""

    def _new_connections(self) -> Connections:
        self._check_open()
        return Connections(self._runtime, self._address, self._note_epoch)

    def _note_epoch(self, epoch: str) -> None:
        self._numbering = epoch

    def _epoch(self) -> str:
        return self._numbering

    async def _open(self) -> None:
        self._check_open()
        await self._connections.current().scan("SELECT 1")

    def _prepare(self, trace: object) -> TraceRow:
        return row_of(encode(trace))

    async def _save(self, traces: Sequence[TraceRow]) -> None:
        await self._connections.current().save(traces)

    async def _update(self, run_id: str, change: Callable[[bytes | None], TraceRow | None]) -> bool:
        while True:
            stored = await self._connections.current().load_version(key_of(run_id))
            version = None if stored is None else stored[0]
            trace = None if stored is None else self._checked(run_id, stored[1:])
            if isinstance(trace, CorruptTraceError):
                raise trace
            changed = change(trace)
            if changed is None:
                return False
            if await self._connections.current().replace(changed, version):
                return True
            # Somebody saved it meanwhile: once more, with what is there now.

    async def _delete(self, run_id: str) -> bool:
        sql = f"DELETE FROM {self._traces} WHERE key = %s RETURNING 1"
        key = key_of(run_id)
        gone = await self._connections.current().write(lambda held: held.rows(sql, [key]))
        return bool(gone)

    async def _load(self, run_id: str) -> bytes | None:
        row = await self._connections.current().load_one(key_of(run_id))
        found = self._checked(run_id, None if row is None else (row[1], row[2]))
        if isinstance(found, CorruptTraceError):
            raise found
        return found

    async def _load_many(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        if not run_ids:
            return []
        rows = await self._connections.current().load([key_of(run_id) for run_id in run_ids])
        return [
            self._checked(run_id, None if row is None else (row[1], row[2]))
            for run_id, row in zip(run_ids, rows, strict=True)
        ]

    def _checked(self, run_id: str, stored: tuple[bytes, int] | None) -> Loaded:
        if stored is None:
            return None
        trace, crc = stored
        if not is_whole(trace, crc):
            return CorruptTraceError(run_id, self._place_of(run_id), _DAMAGED)
        return trace

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        size = None if ask.limit is None else min(ask.limit + ask.offset, _LARGEST)
        found: list[PageRow] = []
        async for row in self._matching(ask, size):
            found.append(row)
            if size is not None and len(found) >= size:
                break
        return found[ask.offset :]

    async def _matching(self, ask: PageRequest, size: int | None) -> AsyncIterator[PageRow]:
        """The rows that match, from the page's beginning; the first ``size`` of one moment."""
        while True:
            rows = await self._rows_of(ask, size)
            for seq, created_us, summary in rows:
                read = read_summary(self._where, seq, created_us, summary)
                if read is not None and verdict(ask.filters, *read) is not False:
                    yield PageRow(seq, read[0])
            if size is None or len(rows) < size:
                return
            size = max(size, _ROWS_AT_ONCE)
            ask = msgspec.structs.replace(ask, after=Position(self._kind, rows[-1][0]))

    async def _rows_of(self, ask: PageRequest, size: int | None) -> list[Row]:
        read = self._connections.current().scan
        terms = queries.terms_wanted(ask.filters)
        if terms is None:
            return await read(*queries.nearest(self._traces, ask, size))
        if size is not None:
            near = await read(*queries.nearest_with_terms(self._traces, ask, terms, size))
            if len(near) == size:
                return near
        return await read(*queries.by_terms(self._traces, ask, terms, size))

    async def _count(self, filters: TraceFilter) -> int:
        most = sys.maxsize if filters.limit is None else filters.limit
        if not queries.is_exact(filters):
            found = 0
            async for _ in self._matching(PageRequest(filters), None):
                found += 1
            return min(found, most)
        rows = await self._connections.current().count(*queries.count(self._traces, filters))
        return min(int(rows[0][0]), most)

    async def _histogram(self, filters: TraceFilter, buckets: int) -> TraceHistogram:
        bounds = await self._bounds(filters)
        if bounds is None:
            return TraceHistogram()
        tally = Tally(*bounds, buckets)
        if queries.is_exact(filters):
            sql, values = queries.over_time(self._traces, filters, tally)
            for bucket, runs, errors in await self._connections.current().count(sql, values):
                tally.add(bucket, runs, errors)
        else:
            async for row in self._matching(PageRequest(filters), None):
                moment = timestamps.to_microseconds(row.summary.created_at)
                tally.add_run(moment, has_error=row.summary.has_error)
        return tally.result()

    async def _bounds(self, filters: TraceFilter) -> tuple[int, int] | None:
        since, until = bounds_of(filters)
        if since is None or until is None:
            sql = f"SELECT min(created_us), max(created_us) FROM {self._traces}"
            ((first, last),) = await self._connections.current().count(sql)
            since = first if since is None else since
            until = last if until is None else until
        return None if since is None or until is None else (since, until)

    async def _newest(self) -> Position | None:
        sql = f"SELECT max(seq) FROM {self._traces}"
        ((newest,),) = await self._connections.current().scan(sql)
        return None if newest is None else Position(self._kind, newest)

    async def _close(self) -> None:
        mine, others = self._connections.take_all()
        for connections in others:
            connections.abandon()
        if mine is not None:
            await mine.close()

    def _place_of(self, run_id: str) -> str:
        return f"{self._where}, table {self._traces}, run_id {run_id!r}"

    def _is_open(self) -> bool:
        return any(connections.is_open for connections in self._connections)

    def _abandon(self) -> None:
        mine, others = self._connections.take_all()
        for connections in [*others, *([mine] if mine else [])]:
            connections.abandon()
