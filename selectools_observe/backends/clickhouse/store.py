"""The ClickHouse store's coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC

import msgspec

from ...errors import CorruptTraceError
from ...model.annotations import Annotation, Latest, in_order, latest_of
from ...model.clock import Clock
from ...model.codec import TraceType
from ...model.filters import TraceFilter, order_of
from ...model.groups import FacetCollector, GroupCollector, GroupPage, read_cursor, stored_key
from ...model.histogram import Tally
from ...model.ordering import Order
from ...model.pagination import Position
from ...model.rollups import Rollup
from ...model.statistics import Collector
from ...runtime.interface import Runtime
from ..queries.paging import PageRequest, PageRow
from ..queries.row_queries import EVERYTHING, unordered
from ..sql.row import Row
from ..sql.server_base import LARGEST, ServerStore, SummaryRow
from ..sql.zone_offsets import Offset, offsets_of
from . import queries, run_fields, run_sums
from .address import parse_address
from .connections import Connections
from .kept_cells import KeptCells, can_keep
from .rows import TraceRow, packed_key, rows_of
from .step_columns import STEP_COLUMNS, rollup_of_columns

_FEW_RUNS = 1000  # whose percentiles are exact, and that are looked up by their keys
_MANY_RUNS = 100_000  # of which it is kept what they add up to


class ClickHouseStore(ServerStore[TraceRow, Connections]):
    """Traces in tables of ClickHouse, one row a run, ordered by the time of the save.

    The order of saving is that of a clock: each save takes the present, or the microsecond after
    the newest run that it sees.
    """

    _key_of = staticmethod(packed_key)
    _kind = "clickhouse"
    _columns = queries.COLUMNS
    _largest_key = 2**127

    def __init__(self, runtime: Runtime, url: str, trace_type: TraceType) -> None:
        self._address = parse_address(url)
        self._database = self._address.database
        super().__init__(runtime, self._address.shown, trace_type)

    def _new_connections(self) -> Connections:
        return Connections(self._runtime, self._address)

    def _prepare(self, trace: object) -> TraceRow:
        return rows_of([trace])[0]

    def _prepare_many(self, traces: Iterable[object]) -> Sequence[TraceRow]:
        return rows_of(traces)

    async def _update(self, run_id: str, change: Callable[[bytes | None], TraceRow | None]) -> bool:
        def changed(row: Row | None) -> TraceRow | None:
            trace = None if row is None else self._checked(run_id, (row[2], row[3]))
            if isinstance(trace, CorruptTraceError):
                raise trace
            return change(trace)

        return await self._connections.current().update(packed_key(run_id), changed)

    async def _delete(self, run_id: str) -> bool:
        return bool(await self._delete_many([run_id]))

    async def _delete_many(self, run_ids: Sequence[str]) -> int:
        keys = [packed_key(run_id) for run_id in dict.fromkeys(run_ids)]
        return await self._connections.current().delete(keys)

    async def _delete_rows(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Sequence[str]:
        # By place: a run that was saved again meanwhile has another one, and stays.
        wanted = [(packed_key(row.summary.run_id), row.key) for row in rows]
        connections = self._connections.current()
        if spare_annotated:
            spared = await connections.annotations([key for key, _ in wanted])
            wanted = [
                pair
                for pair, row in zip(wanted, rows, strict=True)
                if row.summary.run_id not in spared
            ]
        gone = await connections.delete_at(wanted)
        return [row.summary.run_id for row in rows if row.key in gone]

    async def _annotate(self, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        return await self._connections.current().annotate(annotations)

    async def _annotations(self, run_ids: Sequence[str]) -> Sequence[list[Annotation] | None]:
        connections = self._connections.current()
        keys = [packed_key(run_id) for run_id in run_ids]
        present = await connections.present(keys)
        found = await connections.annotations(keys)
        return [
            in_order(found.get(run_id, [])) if key in present else None
            for run_id, key in zip(run_ids, keys, strict=True)
        ]

    async def _remove_annotations(
        self, run_id: str, name: str | None, annotation_id: str | None
    ) -> int:
        key = packed_key(run_id)
        return await self._connections.current().remove_annotations(key, name, annotation_id)

    async def _latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:
        found = await self._connections.current().annotations(list(map(packed_key, run_ids)))
        return {run_id: latest_of(those) for run_id, those in found.items()}

    async def _rows_of(self, ask: PageRequest, size: int | None) -> Sequence[SummaryRow]:
        rows = await self._connections.current().scan(queries.page(self._database, ask, size))
        return [(row[0], row[1], row[2]) for row in rows]

    async def _can_order(self, filters: TraceFilter, order: Order) -> bool:
        return order.field in queries.ORDERED and await self._is_exact(filters)

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        order = order_of(ask.filters)
        if order is None:
            return await self._page_as_saved(ask)
        ask = msgspec.structs.replace(ask, filters=unordered(ask.filters))

        def rows_after(offset: int) -> Awaitable[Sequence[Row]]:
            sql = queries.ordered_page(self._database, ask, order, offset)
            return self._connections.current().scan(sql)

        return await self._sorted_page(ask, rows_after)

    async def _page_as_saved(self, ask: PageRequest) -> Sequence[PageRow]:
        if 0 < ask.offset < LARGEST and await self._is_exact(ask.filters):
            # What the offset leaves out is counted by the server, and not sent.
            sql = queries.place_before(self._database, ask)
            before = await self._connections.current().count(sql)
            if not before:
                return []
            after = Position(self._kind, before[0][0])
            ask = msgspec.structs.replace(ask, after=after, offset=0)
        return await super()._page(ask)

    async def _has_one_of(self, terms: list[int]) -> bool:
        sql = queries.has_one_of(self._database, terms)
        return bool(await self._connections.current().count(sql))

    async def _count_rows(self, filters: TraceFilter) -> int:
        return await self._counted(" AND ".join(queries.told(filters)), filters.limit)

    async def _counted(self, where: str, limit: int | None = None) -> int:
        """How many rows a condition holds of, up to a limit."""
        sql = queries.count(self._database, where, limit)
        ((found,),) = await self._connections.current().count(sql)
        return int(found)

    async def _told(self, filters: TraceFilter) -> str | None:
        """SQL that holds of the rows that match and no others, if there is such SQL."""
        is_sorted = filters.order_by is not None and filters.limit is not None
        if is_sorted or not await self._is_exact(filters):
            return None
        where = " AND ".join(queries.told(filters))
        if filters.limit is None:
            return where
        sql = queries.ends_of_newest(self._database, where, filters.limit)
        ((first, last),) = await self._connections.current().count(sql)
        return f"{where} AND {queries.between(first, last)}"

    async def _size(self) -> int:
        # What rows hold: the disk has them compressed, and deleted ones until parts are merged.
        sql = f"SELECT sum(length(trace) + length(summary)) FROM {self._database}.traces"
        ((found,),) = await self._connections.current().count(sql)
        return int(found)

    async def _tally_rows(self, filters: TraceFilter, tally: Tally) -> None:
        sql = queries.over_time(self._database, filters, tally)
        for bucket, runs, errors in await self._connections.current().count(sql):
            tally.add(bucket, runs, errors)

    async def _statistics(self, filters: TraceFilter, collector: Collector) -> None:
        if not await self._add_up(filters, collector):
            await super()._statistics(filters, collector)

    async def _add_up(self, filters: TraceFilter, collector: Collector) -> bool:
        """Count in SQL, if that counts the same; whether it did. Few runs are counted exactly."""
        where = None if collector.other_keys else await self._told(filters)
        runs = 0 if where is None else await self._counted(where)
        if where is None or runs <= _FEW_RUNS:
            return False
        ask = self._connections.current().count
        offsets: Sequence[Offset] | None = [Offset(0, 0)]
        if collector.counts_times and collector.zone is not UTC:
            ((first, last),) = await ask(run_sums.span(self._database, where, collector.time))
            offsets = offsets_of(collector.zone, first, last)
        if offsets is None:
            return False
        models, tools = "model" in collector.by, "tool" in collector.by
        is_by_start = collector.time == "started_at" or not collector.counts_times
        if runs > _MANY_RUNS and is_by_start and can_keep(filters):
            kept = KeptCells(self._database, ask, self._connections.current().keep)
            cells = await kept.cells(filters, models=models, tools=tools)
        else:
            times = collector.counts_times
            cells = run_sums.cells(
                self._database, where, collector.time, times=times, models=models, tools=tools
            )
        rows = await ask(run_sums.sums(cells, offsets, by_hour="hour" in collector.by))
        sums = run_sums.run_sums(rows)
        if not collector.can_add(sums, collector.time):
            return False
        collector.add_sums(sums)
        await self._add_annotations(collector, await self._annotated(where))
        return True

    async def _group_page(
        self,
        filters: TraceFilter,
        collector: GroupCollector,
        order_by: str,
        limit: int,
        cursor: str | None,
    ) -> GroupPage:
        key = stored_key(collector.by)
        where = None if key is None else await self._told(filters)
        if key is None or where is None:
            return await super()._group_page(filters, collector, order_by, limit, cursor)
        ask = self._connections.current().count
        keys: list[str] | None = None
        if run_fields.can_order(order_by):
            last = read_cursor(cursor, collector.by, order_by) if cursor is not None else None
            rows = run_fields.rows_of(self._database, where, key)
            found = await ask(run_fields.group_keys(rows, order_by, last, most=limit + 1))
            keys = [run_fields.text_of(row[0]) for row in found]
        sums = await ask(run_fields.sums(run_fields.rows_of(self._database, where, key, keys)))
        many = run_fields.many_of(sums)
        rows = run_fields.rows_of(self._database, where, key, many)
        run_fields.add_sums(collector, sums, await ask(run_fields.spreads(rows)) if many else [])
        for row in await self._annotated(where):
            collector.add_annotations(row.summary)
        return await self._page_of_groups(collector, order_by, limit, cursor)

    async def _facets(self, filters: TraceFilter, collector: FacetCollector) -> None:
        where = await self._told(filters)
        if where is None:
            await super()._facets(filters, collector)
            return
        ask = self._connections.current().count
        values: dict[bytes, dict[str, int]] = {}
        for key, value, runs in await ask(run_fields.values(self._database, where)):
            values.setdefault(key, {})[run_fields.text_of(value)] = runs
        having = await ask(run_fields.having(self._database, where))
        counts = [(run_fields.text_of(key), runs, values.get(key, {})) for key, runs in having]
        collector.add_counts(await self._counted(where), counts)
        for row in await self._annotated(where):
            collector.add_labels(row.summary)

    async def _summaries_at(self, places: Sequence[int]) -> Sequence[SummaryRow]:
        rows = await self._at("place, created_us, summary", places)
        return [(row[0], row[1], row[2]) for row in rows]

    async def _rollups(self, rows: Sequence[PageRow]) -> Sequence[Rollup | None]:
        found = await self._at(f"place, {STEP_COLUMNS}", [row.key for row in rows]) if rows else []
        rollups = {row[0]: rollup_of_columns(*row[1:]) for row in found}
        return [rollups.get(row.key) for row in rows]

    async def _at(self, columns: str, places: Sequence[int]) -> Sequence[Row]:
        """Columns of the rows at these places."""
        return await self._connections.current().scan(
            queries.rows_at(self._database, columns, places)
        )

    async def _annotated(self, where: str) -> Sequence[PageRow]:
        """The runs that a condition holds of and that have annotations."""
        ask = self._connections.current().count
        ((annotations,),) = await ask(queries.how_many_annotations(self._database))
        if not annotations:
            return []
        are_few = annotations <= _FEW_RUNS
        rows = await ask(queries.annotated(self._database, where, are_few=are_few))
        return await self._chosen(EVERYTHING, [(row[0], row[1], row[2]) for row in rows])

    async def _first_and_last(
        self, filters: TraceFilter, time: Clock
    ) -> tuple[int | None, int | None]:
        sql = queries.first_and_last(self._database, filters, time)
        ((runs, first, last),) = await self._connections.current().count(sql)
        return (first, last) if runs else (None, None)

    async def _newest(self) -> Position | None:
        rows = await self._connections.current().scan(queries.newest(self._database))
        return Position(self._kind, rows[0][0]) if rows else None

    def _place_of(self, run_id: str) -> str:
        return f"{self._where}, table {self._database}.traces, run_id {run_id!r}"
