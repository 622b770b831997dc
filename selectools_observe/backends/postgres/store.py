"""The PostgreSQL store's coroutines."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import TypeVar

from msgspec.structs import replace

from ...errors import CorruptTraceError, StorageError
from ...model.annotations import Annotation, Latest, in_order, latest_of
from ...model.clock import Clock
from ...model.codec import TraceType, encode
from ...model.filters import TraceFilter, needed_text, order_of
from ...model.groups import FIELD_KEYS, FacetCollector, GroupCollector, GroupPage, stored_key
from ...model.histogram import Tally
from ...model.ordering import Order
from ...model.pagination import Position
from ...model.rollups import Rollup
from ...model.statistics import Collector
from ...model.text_query import TextQuery
from ...runtime.interface import Runtime, run_sync
from ..files.journal_file import RecoveryTarget
from ..queries.latest_keys import ORDER, has_latest
from ..queries.paging import PageRequest, PageRow
from ..queries.rollup_sums import unpack_sums
from ..queries.text_scan import MOST_AT_ONCE
from ..sql.row import Row
from ..sql.server_base import LARGEST, ServerStore, SummaryRow
from ..sql.server_rows import annotations_of, key_of
from . import annotation_rows, kept_calls, kept_parts, queries
from .address import Address, parse_address
from .binary_rows import packed_row
from .connections import Connections
from .direct import DirectConnection
from .journal_table import JournalTable, recover
from .kept_kinds import Adding, CollectorT, FacetsOfParts, GroupsOfParts, SumsOfParts
from .latest_groups import LatestGroups
from .rows import TraceRow, array_of, keys_of, numbers
from .session import Values, psycopg
from .where_sql import COLUMNS, ORDERED
from .word_index import MANY_WAITING, MOST_NAMED, WordKeeper, WordLookup, WordTable

log = logging.getLogger(__name__)

T = TypeVar("T")

_EVERYTHING = TraceFilter()
_RUNS_AT_ONCE = 4096  # of which statistics are made
_NEWEST = 512  # runs that are read, whatever the index of words knows
_LARGEST_ROW = 1_065_000_000  # bytes: of 2**30, what the server needs besides to compress it


class PostgresStore(ServerStore[TraceRow, Connections]):
    """Traces in a table of a PostgreSQL database, one row a run.

    The order of saving is that of the commits: each transaction that saves takes an advisory lock
    before its rows are numbered.
    """

    _key_of = staticmethod(key_of)
    _kind = "postgresql"
    _columns = COLUMNS

    def __init__(self, runtime: Runtime, url: str, trace_type: TraceType) -> None:
        self._address: Address = parse_address(url)
        self._traces = f"{self._address.schema}.traces"
        self._notes = f"{self._address.schema}.annotations"
        self._word_table = WordTable(self._address.schema)
        super().__init__(runtime, self._address.shown, trace_type)
        self._numbering = ""
        self._journals = JournalTable(self._address)
        self._words = WordKeeper(self._address, self._make_parts)

    def _new_connections(self) -> Connections:
        return Connections(self._runtime, self._address, self._note_epoch)

    @property
    def journals(self) -> JournalTable:
        return self._journals

    async def _recover_into(self, keeper: RecoveryTarget) -> list[str]:
        connections = self._connections.current()
        try:
            return await recover(self._address.schema, connections.write, keeper)
        except StorageError as error:  # a user who may not see them
            log.warning("the journals of runs are left as they are: %s", error)
            return []

    async def _close(self) -> None:
        self._journals.close()
        if self._words.is_working:
            await self._compute(self._words.close)
        await super()._close()

    def _abandon(self) -> None:
        self._words.abandon()
        super()._abandon()

    async def _save(self, traces: Sequence[TraceRow]) -> None:
        await super()._save(traces)
        self._words.used(len(traces))

    def _note_epoch(self, epoch: str) -> None:
        self._numbering = epoch

    def _epoch(self) -> str:
        return self._numbering

    async def _is_read_only(self) -> bool:
        return await self._connections.current().is_read_only()

    def _prepare(self, trace: object) -> TraceRow:
        encoded = encode(trace)
        packed = packed_row(encoded, trace)
        if len(packed) > _LARGEST_ROW:
            raise StorageError(
                self._where,
                f"the run {encoded.run_id!r:.80} is larger than PostgreSQL can take",
                "Save less of it: PostgreSQL takes at most 1 GB at once",
            )
        return TraceRow(encoded.run_id, packed)

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
        sql = f"DELETE FROM {self._traces} WHERE key = ANY(%s::bytea[]) RETURNING 1"
        keys = keys_of(run_ids)
        return len(await self._connections.current().write(lambda held: held.rows(sql, [keys])))

    async def _delete_rows(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Sequence[str]:
        spared = (
            f"AND NOT EXISTS (SELECT FROM {self._notes} n WHERE n.key = t.key)"
            if spare_annotated
            else ""
        )
        sql = f"DELETE FROM {self._traces} t WHERE seq = ANY(%s::bigint[]) {spared} RETURNING seq"
        ids = {row.key: row.summary.run_id for row in rows}
        gone = await self._connections.current().write(lambda held: held.rows(sql, [numbers(ids)]))
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
        sql = f"SELECT key FROM {self._traces} WHERE key = ANY(%s::bytea[])"
        rows = await self._connections.current().scan(sql, [array_of(asked)])
        present = {row[0] for row in rows}
        return next((run_id for key, run_id in asked.items() if key not in present), None)

    async def _read_annotations(self, run_ids: Sequence[str]) -> dict[str, list[Annotation]]:
        sql = annotation_rows.select(self._notes)
        rows = await self._connections.current().scan(sql, [keys_of(dict.fromkeys(run_ids))])
        return annotations_of(self._where, rows)

    async def _annotations(self, run_ids: Sequence[str]) -> Sequence[list[Annotation] | None]:
        asked = {key_of(run_id): run_id for run_id in run_ids}
        sql = f"SELECT key FROM {self._traces} WHERE key = ANY(%s::bytea[])"
        rows = await self._connections.current().scan(sql, [array_of(asked)])
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

    async def _can_order(self, filters: TraceFilter, order: Order) -> bool:
        return order.field in ORDERED and await self._is_exact(filters)

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        order = order_of(ask.filters)
        if order is None:
            return await self._page_as_saved(ask)
        if ask.after is not None and ask.after.epoch != self._epoch():
            return await self._ordered(ask, order)  # a cursor of another database

        def rows_after(offset: int) -> Awaitable[Sequence[Row]]:
            sql, values = queries.ordered(self._traces, ask, order, offset)
            return self._connections.current().sort(sql, values)

        return await self._sorted_page(ask, rows_after)

    async def _page_as_saved(self, ask: PageRequest) -> Sequence[PageRow]:
        filters = ask.filters
        if (
            0 < ask.offset < LARGEST
            and not self._narrowing(filters)
            and await self._is_exact(filters)
        ):  # What the offset leaves out is counted by the server, and not sent.
            sql, values = queries.place_before(self._traces, ask)
            before = await self._connections.current().sort(sql, values)
            if not before:
                return []
            ask = replace(ask, after=Position(self._kind, before[0][0]), offset=0)
        return await super()._page(ask)

    async def _likely_rows(self, ask: PageRequest) -> AsyncIterator[Sequence[PageRow]]:
        query = needed_text(ask.filters)
        words = None if query is None or not query.terms else await self._lookup(query)
        if words is None or not words.done:
            async for rows in super()._likely_rows(ask):
                yield rows
            return
        if ask.oldest_first:
            async for rows in self._named(words, ask):
                yield rows
            after = max(words.done, ask.after.key if ask.after is not None else 0)
            async for rows in super()._likely_rows(_from(ask, Position(self._kind, after))):
                yield rows
            return
        # What is common is found at once; what is newer than the index is read anyway.
        seen = 0
        async for rows in super()._likely_rows(ask):
            yield rows
            seen += len(rows)
            if rows and seen >= _NEWEST and rows[-1].key <= words.done + 1:
                async for named in self._named(words, _from(ask, self._position(rows[-1]))):
                    yield named
                return

    async def _lookup(self, query: TextQuery) -> WordLookup | None:
        try:
            ((done, newest),) = await self._connections.current().scan(self._word_table.marks)
        except StorageError as error:  # a user who may not read it
            log.warning("the index of words is not used: %s", error)
            return None
        if newest - done > MANY_WAITING:
            self._words.wake()
        return WordLookup(query, done)

    async def _named(self, words: WordLookup, ask: PageRequest) -> AsyncIterator[Sequence[PageRow]]:
        """The rows that match the rest, of those that the index of words names."""
        while True:
            sql, values = self._word_table.named(words, ask)
            places = [row[0] for row in await self._connections.current().sort(sql, values)]
            for start in range(0, len(places), MOST_AT_ONCE):
                some = places[start : start + MOST_AT_ONCE]
                found = queries.at(self._traces, ask, some)
                rows = await self._connections.current().scan_summaries(*found)
                yield await self._chosen(ask.filters, rows)
            if len(places) < MOST_NAMED:
                return
            ask = _from(ask, Position(self._kind, places[-1]))

    def _narrowing(self, filters: TraceFilter) -> queries.Condition | None:
        return queries.narrowing(self._notes, filters)

    async def _rows_of(self, ask: PageRequest, size: int | None) -> Sequence[SummaryRow]:
        read = self._connections.current().scan_summaries
        terms = self._narrowing(ask.filters)
        indexed = queries.by_index(self._traces, ask, terms, size)
        if indexed is None:
            return await read(*queries.nearest(self._traces, ask, size))
        if size is not None:
            near = await read(*queries.among_nearest(self._traces, ask, terms, size))
            if len(near) == size:
                return near
        return await read(*indexed)

    async def _statistics(self, filters: TraceFilter, collector: Collector) -> None:
        if collector.other_keys or _is_cut(filters) or not await self._is_exact(filters):
            return await super()._statistics(filters, collector)
        places: Sequence[int] | None = None
        is_by_start = collector.time == "started_at" or not collector.counts_times
        if is_by_start and kept_parts.can_use(filters):
            await self._add_sums(filters, collector)
        else:
            places = await self._places(filters)
            left = places
            if is_by_start:
                added = partial(self._has_added, collector=collector)
                left = await self._without_parts(SumsOfParts(), places, added)
            for some in _in_parts(left):
                rows = await self._kept(some)
                await self._compute(partial(kept_calls.add_runs, collector, rows))
        for some in _in_parts(await self._annotated(filters, places)):
            annotated = await self._chosen(_EVERYTHING, await self._summaries_at(some))
            await self._add_annotations(collector, annotated)
        return None

    async def _without_parts(
        self,
        kind: kept_parts.Kind,
        places: Sequence[int],
        has_added: Callable[[kept_parts.Part], Awaitable[bool]],
    ) -> Sequence[int]:
        """Count the runs of whole parts by what is kept of them; the places of the others."""
        counted: set[int] = set()
        for part in await self._kept_parts(kind).whole(places):
            if await has_added(part):
                counted.update(part.blocks)
        return [place for place in places if place >> kept_parts.BLOCK_BITS not in counted]

    async def _add_sums(self, filters: TraceFilter, collector: Collector) -> None:
        """Count the runs of some time by what parts of the table add up to."""
        kind = SumsOfParts()
        for part in await self._parts(kind, filters):
            if await self._has_added(part, collector):
                continue
            async for rows in self._rows_within(kind, filters, part):
                await self._compute(partial(kept_calls.add_runs, collector, rows))

    async def _has_added(self, part: kept_parts.Part, collector: Collector) -> bool:
        """Count the runs of a part by what it adds up to; False if that is not kept or enough."""
        sums = None if part.data is None else unpack_sums(part.data)
        if sums is None or not collector.can_add(sums):
            return False
        await self._compute(partial(collector.add_sums, sums))
        return True

    async def _facets(self, filters: TraceFilter, collector: FacetCollector) -> None:
        kind = FacetsOfParts(self._where)
        places: Sequence[int] | None = None
        if kept_parts.can_use(filters):
            await self._add_kept(kind, filters, collector)
        elif _is_cut(filters) or not await self._is_exact(filters):
            return await super()._facets(filters, collector)
        else:
            places = await self._places(filters)
            await self._add_at(kind, places, collector)
        for some in _in_parts(await self._annotated(filters, places)):
            for row in await self._chosen(_EVERYTHING, await self._summaries_at(some)):
                collector.add_labels(row.summary)
        return None

    async def _group_page(
        self,
        filters: TraceFilter,
        collector: GroupCollector,
        order_by: str,
        limit: int,
        cursor: str | None,
    ) -> GroupPage:
        if order_by == ORDER and has_latest(filters, collector.by):
            blocks = await self._kept_parts(SumsOfParts()).blocks()
            groups = LatestGroups(self._traces, collector.by, self._read_rows)
            page = None if blocks is None else await groups.page(blocks, limit, cursor)
            if page is not None:
                return page
        key = stored_key(collector.by)
        if key is None or _is_cut(filters) or not await self._is_exact(filters):
            return await super()._group_page(filters, collector, order_by, limit, cursor)
        kind = GroupsOfParts(key, self._where)
        places: Sequence[int] | None = None
        if key in FIELD_KEYS and kept_parts.can_use(filters):
            await self._add_kept(kind, filters, collector)
        else:
            places = await self._places(filters)
            await self._add_at(kind, places, collector)
        for some in _in_parts(await self._annotated(filters, places)):
            for row in await self._chosen(_EVERYTHING, await self._summaries_at(some)):
                collector.add_annotations(row.summary)
        return await self._page_of_groups(collector, order_by, limit, cursor)

    async def _add_kept(
        self, kind: Adding[CollectorT], filters: TraceFilter, collector: CollectorT
    ) -> None:
        """Count the runs of some time by what is kept of parts."""
        for part in await self._parts(kind, filters):
            if await self._has_added_kept(kind, collector, part):
                continue
            async for rows in self._rows_within(kind, filters, part):
                await self._compute(partial(kind.add_rows, collector, rows))

    async def _add_at(
        self, kind: Adding[CollectorT], places: Sequence[int], collector: CollectorT
    ) -> None:
        """Count the runs at these places, by what is kept of parts that lie there whole."""
        added = partial(self._has_added_kept, kind, collector)
        for some in _in_parts(await self._without_parts(kind, places, added)):
            rows = await self._kept(some, kind.columns)
            await self._compute(partial(kind.add_rows, collector, rows))

    async def _has_added_kept(
        self, kind: Adding[CollectorT], collector: CollectorT, part: kept_parts.Part
    ) -> bool:
        """Count the runs of a part by what is kept of it; False if nothing is, or it is damaged."""
        if part.data is None:
            return False
        return await self._compute(partial(kind.has_added, collector, part.data))

    async def _read_rows(self, sql: str, values: Values) -> Sequence[PageRow]:
        rows = await self._connections.current().scan_summaries(sql, values)
        return await self._chosen(_EVERYTHING, rows)

    async def _parts(self, kind: kept_parts.Kind, filters: TraceFilter) -> list[kept_parts.Part]:
        """All rows that may match a filter of times, with what is kept of them."""
        return await self._kept_parts(kind).parts(filters)

    def _make_parts(self, connection: DirectConnection) -> bool:
        """Make some of what is kept of parts, in idle time; whether there is more."""

        async def ask(sql: str, values: Values) -> list[Row]:
            return connection.rows(sql, *values)

        async def compute(work: Callable[[], T]) -> T:
            return work()

        for kind in (SumsOfParts(), FacetsOfParts(self._where)):

            async def read(first: int, end: int, columns: str = kind.columns) -> list[Row]:
                return await ask(*queries.between(self._traces, columns, _EVERYTHING, first, end))

            kept = kept_parts.KeptParts(kind, self._address.schema, ask, read, compute)
            if run_sync(kept.make_some()):
                return True
        return False

    def _kept_parts(self, kind: kept_parts.Kind) -> kept_parts.KeptParts:
        read = partial(self._rows_between, kind, _EVERYTHING)
        ask = self._connections.current().count
        return kept_parts.KeptParts(kind, self._address.schema, ask, read, self._compute)

    async def _rows_within(
        self, kind: kept_parts.Kind, filters: TraceFilter, part: kept_parts.Part
    ) -> AsyncIterator[list[Row]]:
        """The rows of a part that match, some at a time, newest first."""
        for end in range(part.end, part.first, -_RUNS_AT_ONCE):
            first = max(part.first, end - _RUNS_AT_ONCE)
            yield await self._rows_between(kind, filters, first, end)

    async def _rows_between(
        self, kind: kept_parts.Kind, filters: TraceFilter, first: int, end: int
    ) -> list[Row]:
        """The rows that match, of places from one to before another, newest first."""
        sql, values = queries.between(self._traces, kind.columns, filters, first, end)
        return await self._connections.current().count(sql, values)

    async def _places(self, filters: TraceFilter) -> Sequence[int]:
        """The places of all runs that match, newest first."""
        found = await self._connections.current().count(*queries.places(self._traces, filters))
        return sorted((place for (place,) in found), reverse=True)

    async def _annotated(self, filters: TraceFilter, places: Sequence[int] | None) -> Sequence[int]:
        """The places of runs that match and have annotations, among these if given."""
        only = f"key IN (SELECT key FROM {self._notes})"
        sql, values = queries.places(self._traces, filters, only)
        found = {row[0] for row in await self._connections.current().count(sql, values)}
        if places is None or not found:
            return sorted(found, reverse=True)
        return [place for place in places if place in found]

    async def _kept(self, places: Sequence[int], columns: str = kept_calls.COLUMNS) -> list[Row]:
        """These columns of the rows at these places, newest first."""
        sql = f"SELECT {columns} FROM {self._traces} WHERE seq = ANY(%s::bigint[])"
        rows = await self._connections.current().count(sql, [numbers(places)])
        return sorted(rows, key=itemgetter(0), reverse=True)

    async def _summaries_at(self, places: Sequence[int]) -> list[SummaryRow]:
        sql = f"SELECT seq, created_us, summary FROM {self._traces} WHERE seq = ANY(%s::bigint[])"
        return await self._connections.current().scan_summaries(sql, [numbers(places)])

    async def _rollups(self, rows: Sequence[PageRow]) -> Sequence[Rollup | None]:
        kept = {row[0]: row for row in await self._kept([row.key for row in rows])}
        return await self._compute(
            lambda: [kept_calls.rollup_of_row(kept.get(row.key)) for row in rows]
        )

    async def _compute(self, work: Callable[[], T]) -> T:
        return await self._runtime.call(work) if self._runtime.hops else work()

    async def _has_one_of(self, terms: list[int]) -> bool:
        sql, values = queries.has_one_of(self._traces, terms)
        return bool(await self._connections.current().scan(sql, values))

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


def _from(ask: PageRequest, after: Position) -> PageRequest:
    """The page that begins after a place."""
    return replace(ask, after=after, limit=None, offset=0)


def _in_parts(places: Sequence[int]) -> Iterator[Sequence[int]]:
    return (places[start : start + _RUNS_AT_ONCE] for start in range(0, len(places), _RUNS_AT_ONCE))


def _is_cut(filters: TraceFilter) -> bool:
    """Whether the first in some order are asked for, not all."""
    return filters.order_by is not None and filters.limit is not None
