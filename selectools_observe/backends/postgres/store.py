"""The PostgreSQL store's coroutines."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import TypeVar

from msgspec.structs import replace

from ...errors import CorruptTraceError, StorageError
from ...model.annotations import Annotation, Latest, in_order, latest_of
from ...model.clock import Clock
from ...model.codec import TraceType, encode
from ...model.filters import TraceFilter
from ...model.histogram import Tally
from ...model.pagination import Position
from ...model.rollups import Rollup
from ...model.statistics import Collector
from ...runtime.interface import Runtime
from ..paging import PageRequest, PageRow
from ..ranges import is_exact
from ..server_base import LARGEST, ServerStore, SummaryRow
from ..server_rows import annotations_of, key_of
from . import annotation_rows, kept_calls, queries
from .address import Address, parse_address
from .connections import Connections
from .rows import TraceRow, row_of
from .session import Row, psycopg

T = TypeVar("T")

_EVERYTHING = TraceFilter()
_RUNS_AT_ONCE = 4096  # of which statistics are made


class PostgresStore(ServerStore[TraceRow, Connections]):
    """Traces in a table of a PostgreSQL database, one row a run.

    The order of saving is that of the commits: each transaction that saves takes an advisory lock
    before its rows are numbered.
    """

    _key_of = staticmethod(key_of)
    _kind = "postgresql"

    def __init__(self, runtime: Runtime, url: str, trace_type: TraceType) -> None:
        self._address: Address = parse_address(url)
        self._traces = f"{self._address.schema}.traces"
        self._notes = f"{self._address.schema}.annotations"
        super().__init__(runtime, self._address.shown, trace_type)
        self._numbering = ""

    def _new_connections(self) -> Connections:
        return Connections(self._runtime, self._address, self._note_epoch)

    def _note_epoch(self, epoch: str) -> None:
        self._numbering = epoch

    def _epoch(self) -> str:
        return self._numbering

    async def _is_read_only(self) -> bool:
        return await self._connections.current().is_read_only()

    def _prepare(self, trace: object) -> TraceRow:
        return row_of(encode(trace))

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

    async def _delete_many(self, run_ids: Sequence[str]) -> int:
        sql = f"DELETE FROM {self._traces} WHERE key = ANY(%s) RETURNING 1"
        keys = [key_of(run_id) for run_id in run_ids]
        return len(await self._connections.current().write(lambda held: held.rows(sql, [keys])))

    async def _delete_rows(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Sequence[str]:
        spared = (
            f"AND NOT EXISTS (SELECT FROM {self._notes} n WHERE n.key = t.key)"
            if spare_annotated
            else ""
        )
        sql = f"DELETE FROM {self._traces} t WHERE seq = ANY(%s) {spared} RETURNING seq"
        ids = {row.key: row.summary.run_id for row in rows}
        gone = await self._connections.current().write(lambda held: held.rows(sql, [list(ids)]))
        return [ids[row[0]] for row in gone]

    async def _size(self) -> int:
        # What rows hold: the server gives the space of deleted ones back when it vacuums.
        sql = f"SELECT coalesce(sum(pg_column_size(t.*)), 0) FROM {self._traces} t"
        ((found,),) = await self._connections.current().count(sql)
        return int(found)

    async def _annotate(self, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        made = [one if one.id else replace(one, id=uuid.uuid4().hex) for one in annotations]
        missing = await self._missing([one.run_id for one in made])
        if missing is not None:
            return missing
        try:
            await self._connections.current().change_annotations(
                [(annotation_rows.upsert(self._notes), [annotation_rows.row_of(o) for o in made])]
            )
        except StorageError as error:
            missing = await self._missing([one.run_id for one in made])  # deleted meanwhile
            if missing is None or not isinstance(error.__cause__, psycopg.IntegrityError):
                raise
            return missing
        found = await self._read_annotations([one.run_id for one in made])
        kept = {(one.run_id, one.id): one for those in found.values() for one in those}
        return [kept.get((one.run_id, one.id), one) for one in made]

    async def _missing(self, run_ids: Sequence[str]) -> str | None:
        """The first of the runs that is not there."""
        asked = {key_of(run_id): run_id for run_id in run_ids}
        sql = f"SELECT key FROM {self._traces} WHERE key = ANY(%s)"
        rows = await self._connections.current().scan(sql, [list(asked)])
        present = {row[0] for row in rows}
        return next((run_id for key, run_id in asked.items() if key not in present), None)

    async def _read_annotations(self, run_ids: Sequence[str]) -> dict[str, list[Annotation]]:
        keys = list(dict.fromkeys(key_of(run_id) for run_id in run_ids))
        sql = annotation_rows.select(self._notes)
        rows = await self._connections.current().scan(sql, [keys])
        return annotations_of(self._where, rows)

    async def _annotations(self, run_ids: Sequence[str]) -> Sequence[list[Annotation] | None]:
        asked = {key_of(run_id): run_id for run_id in run_ids}
        sql = f"SELECT key FROM {self._traces} WHERE key = ANY(%s)"
        rows = await self._connections.current().scan(sql, [list(asked)])
        present = {asked[row[0]] for row in rows}
        found = await self._read_annotations(run_ids)
        return [in_order(found.get(r, [])) if r in present else None for r in run_ids]

    async def _remove_annotations(
        self, run_id: str, name: str | None, annotation_id: str | None
    ) -> int:
        sql, values = annotation_rows.removal(self._notes, run_id, name, annotation_id)
        gone = await self._connections.current().write(lambda held: held.rows(sql, values))
        return len(gone)

    async def _latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:
        found = await self._read_annotations(run_ids)
        return {run_id: latest_of(those) for run_id, those in found.items()}

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        if 0 < ask.offset < LARGEST and is_exact(ask.filters) and not self._narrowing(ask.filters):
            # What the offset leaves out is counted by the server, and not sent.
            sql, values = queries.place_before(self._traces, ask)
            before = await self._connections.current().count(sql, values)
            if not before:
                return []
            ask = replace(ask, after=Position(self._kind, before[0][0]), offset=0)
        return await super()._page(ask)

    def _narrowing(self, filters: TraceFilter) -> queries.Condition | None:
        return queries.narrowing(self._notes, filters)

    async def _rows_of(self, ask: PageRequest, size: int | None) -> Sequence[SummaryRow]:
        read = self._connections.current().scan_summaries
        terms = self._narrowing(ask.filters)
        if terms is None:
            return await read(*queries.nearest(self._traces, ask, size))
        if size is not None:
            near = await read(*queries.nearest_with_terms(self._traces, ask, terms, size))
            if len(near) == size:
                return near
        return await read(*queries.by_terms(self._traces, ask, terms, size))

    async def _statistics(self, filters: TraceFilter, collector: Collector) -> None:
        if collector.other_keys or not is_exact(filters):
            return await super()._statistics(filters, collector)
        places = await self._places(filters)
        for some in _in_parts(places):
            rows = await self._kept(some)
            await self._compute(partial(kept_calls.add_runs, collector, rows))
        for some in _in_parts(await self._annotated(places)):
            annotated = await self._chosen(_EVERYTHING, await self._summaries_at(some))
            await self._add_annotations(collector, annotated)
        return None

    async def _places(self, filters: TraceFilter) -> Sequence[int]:
        """The places of all runs that match, newest first."""
        found = await self._connections.current().count(*queries.places(self._traces, filters))
        places = sorted((place for (place,) in found), reverse=True)
        return places if filters.limit is None else places[: filters.limit]

    async def _annotated(self, places: Sequence[int]) -> Sequence[int]:
        """Those of these places whose runs have annotations."""
        sql = f"SELECT seq FROM {self._traces} WHERE key IN (SELECT key FROM {self._notes})"
        found = {row[0] for row in await self._connections.current().count(sql)}
        return [place for place in places if place in found] if found else []

    async def _kept(self, places: Sequence[int]) -> list[Row]:
        """What `kept_calls` takes of the runs at these places, newest first."""
        sql = f"SELECT {kept_calls.COLUMNS} FROM {self._traces} WHERE seq = ANY(%s)"
        rows = await self._connections.current().count(sql, [list(places)])
        return sorted(rows, key=itemgetter(0), reverse=True)

    async def _summaries_at(self, places: Sequence[int]) -> list[SummaryRow]:
        sql = f"SELECT seq, created_us, summary FROM {self._traces} WHERE seq = ANY(%s)"
        return await self._connections.current().scan_summaries(sql, [list(places)])

    async def _rollups(self, rows: Sequence[PageRow]) -> Sequence[Rollup | None]:
        kept = {row[0]: row for row in await self._kept([row.key for row in rows])}
        return await self._compute(
            lambda: [kept_calls.rollup_of_row(kept.get(row.key)) for row in rows]
        )

    async def _compute(self, work: Callable[[], T]) -> T:
        return await self._runtime.call(work) if self._runtime.hops else work()

    async def _count_rows(self, filters: TraceFilter) -> int:
        sql, values = queries.count(self._traces, filters)
        ((found,),) = await self._connections.current().count(sql, values)
        return int(found)

    async def _tally_rows(self, filters: TraceFilter, tally: Tally) -> None:
        sql, values = queries.over_time(self._traces, filters, tally)
        for bucket, runs, errors in await self._connections.current().count(sql, values):
            tally.add(bucket, runs, errors)

    async def _first_and_last(
        self, filters: TraceFilter, time: Clock
    ) -> tuple[int | None, int | None]:
        sql, values = queries.first_and_last(self._traces, filters, time)
        ((first, last),) = await self._connections.current().count(sql, values)
        return first, last

    async def _newest(self) -> Position | None:
        sql = f"SELECT max(seq) FROM {self._traces}"
        ((newest,),) = await self._connections.current().scan(sql)
        return None if newest is None else Position(self._kind, newest)

    def _place_of(self, run_id: str) -> str:
        return f"{self._where}, table {self._traces}, run_id {run_id!r}"


def _in_parts(places: Sequence[int]) -> Iterator[Sequence[int]]:
    return (places[start : start + _RUNS_AT_ONCE] for start in range(0, len(places), _RUNS_AT_ONCE))
