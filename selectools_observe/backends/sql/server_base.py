"""What stores on a server have in common: rows are narrowed by SQL, and decided about here."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from ...errors import CorruptTraceError
from ...model.annotations import Latest
from ...model.clock import Clock
from ...model.codec import TraceType
from ...model.filters import TraceFilter, condition_of, fields_set, verdict
from ...model.groups import GroupCollector, GroupPage
from ...model.histogram import Tally, TraceHistogram, bounds_of, only_times
from ...model.pagination import Position
from ...model.rollups import Rollup
from ...model.statistics import Collector
from ...model.trace import TraceFacts, TraceSummary
from ...runtime.interface import Runtime
from ...runtime.loop_local import LoopLocal
from ..base import PreparedT, StoreCore
from ..queries.paging import PageRequest, PageRow
from ..queries.row_queries import Loaded, unordered
from .exact_conditions import Columns, exactly, terms_in_doubt
from .ranges import are_fields_exact
from .row import Row
from .server_rows import checked_trace, read_summary

SummaryRow: TypeAlias = tuple[int, int, bytes]
"""A row's place in the order of saving, when it was saved in microseconds, and its summary."""
Stored: TypeAlias = tuple[bytes, int]
"""The JSON of a trace and its checksum."""
"""A row as the driver gives it."""

_ROWS_AT_ONCE = 512
LARGEST = 2**62  # what LIMIT takes


class ServerConnections(Protocol):
    """The connections of one event loop, or of all threads."""

    @property
    def is_open(self) -> bool:
        """Whether a connection is open."""

    async def save(self, rows: Sequence[Any], /) -> None:
        """Save rows, all or none, in their order."""

    async def load_one(self, key: Any, /) -> Row | None:
        """The key, the JSON and the checksum of a trace, read together with others."""

    async def load(self, keys: Sequence[Any], /) -> Sequence[Row | None]:
        """The same of each trace, in this order; None where it is not."""

    async def scan(self, sql: str, /) -> Sequence[Any]:
        """Read a page."""

    async def close(self) -> None:
        """Finish what was begun, and close."""

    def abandon(self) -> None:
        """Close without waiting."""


ConnectionsT = TypeVar("ConnectionsT", bound=ServerConnections)


class ServerStore(StoreCore[PreparedT], Generic[PreparedT, ConnectionsT]):
    """A store whose rows are on a server, one row a run."""

    _saves_between_steps = 4096  # a step counts the runs, which reads all of an index there

    def __init__(self, runtime: Runtime, where: str, trace_type: TraceType) -> None:
        super().__init__(runtime, where, trace_type)
        self._connections: LoopLocal[ConnectionsT] = LoopLocal(
            runtime, self._opened_connections, _abandon
        )

    def _opened_connections(self) -> ConnectionsT:
        self._check_open()
        return self._new_connections()

    # What a server's store supplies.

    _key_of: Callable[[str], Any]
    """The key of a run's row, by the run's id."""

    _columns: Columns
    """What its columns can be asked."""

    @abstractmethod
    def _new_connections(self) -> ConnectionsT:
        """Connections for an event loop, or for all threads."""

    @abstractmethod
    async def _rows_of(self, ask: PageRequest, size: int | None) -> Sequence[SummaryRow]:
        """The first rows of a page as far as SQL tells what matches."""

    @abstractmethod
    async def _has_one_of(self, terms: list[int]) -> bool:
        """Whether a run has one of these terms."""

    @abstractmethod
    async def _count_rows(self, filters: TraceFilter) -> int:
        """How many match a filter that SQL tells exactly."""

    @abstractmethod
    async def _tally_rows(self, filters: TraceFilter, tally: Tally) -> None:
        """Count those that match a filter that SQL tells exactly, over time."""

    @abstractmethod
    async def _first_and_last(
        self, filters: TraceFilter, time: Clock
    ) -> tuple[int | None, int | None]:
        """The first and the last time of the runs that match, in microseconds.

        The filter has bounds of time only.
        """

    async def _latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:  # noqa: ARG002
        """What the summaries of those runs tell that have annotations."""
        return {}

    @abstractmethod
    async def _summaries_at(self, places: Sequence[int]) -> Sequence[SummaryRow]:
        """The rows at these places, in any order."""

    # What is made of it.

    async def _open(self) -> None:
        self._check_open()
        await self._connections.current().scan("SELECT 1")

    async def _save(self, traces: Sequence[PreparedT]) -> None:
        await self._connections.current().save(traces)

    async def _add_annotations(self, collector: Collector, annotated: Sequence[PageRow]) -> None:
        """Hand the annotations of runs to statistics, with what their calls add up to if asked."""
        rollups: Sequence[Rollup | None] = [None] * len(annotated)
        if collector.needs_traces:
            rollups = await self._rollups(annotated)
        for row, rollup in zip(annotated, rollups, strict=True):
            collector.add_annotations(row.summary, rollup)

    async def _page_of_groups(
        self, collector: GroupCollector, order_by: str, limit: int, cursor: str | None
    ) -> GroupPage:
        """A page of groups whose runs were counted by columns: summaries are read of their ends."""
        edges: list[int] = []

        def note(ids: list[int]) -> dict[int, TraceSummary]:
            edges.extend(ids)
            return {}

        collector.page(order_by, limit, cursor, note)
        found = await self._summaries_at(edges) if edges else []
        read = {row[0]: read_summary(self._where, *row) for row in found}
        summaries = {place: one[0] for place, one in read.items() if one is not None}
        return collector.page(order_by, limit, cursor, lambda _: summaries)

    async def _stored(self, run_ids: Sequence[str]) -> Sequence[Stored | None]:
        """What is stored of each run, in this order."""
        connections = self._connections.current()
        keys = list(map(self._key_of, run_ids))
        if len(keys) == 1:  # read together with others
            rows: Sequence[Row | None] = [await connections.load_one(keys[0])]
        else:
            rows = await connections.load(keys)
        return [None if row is None else (row[1], row[2]) for row in rows]

    async def _facts(self, rows: Sequence[PageRow]) -> Sequence[TraceFacts | None]:
        unknown = [row.key for row in rows if row.facts is None]
        found = await self._summaries_at(unknown) if unknown else []
        read = ((row[0], read_summary(self._where, *row)) for row in found)
        told = {place: one[1] for place, one in read if one is not None}
        return [told.get(row.key, row.facts) for row in rows]

    async def _load(self, run_id: str) -> bytes | None:
        (found,) = await self._load_many([run_id])
        if isinstance(found, CorruptTraceError):
            raise found
        return found

    async def _load_many(self, run_ids: Sequence[str]) -> Sequence[Loaded]:
        if not run_ids:
            return []
        return [
            self._checked(run_id, stored)
            for run_id, stored in zip(run_ids, await self._stored(run_ids), strict=True)
        ]

    def _checked(self, run_id: str, stored: Stored | None) -> Loaded:
        return checked_trace(run_id, self._place_of(run_id), stored)

    async def _page(self, ask: PageRequest) -> Sequence[PageRow]:
        size = None if ask.limit is None else min(ask.limit + ask.offset, LARGEST)
        found: list[PageRow] = []
        async for row in self._matching(ask, size):
            found.append(row)
            if size is not None and len(found) >= size:
                break
        return found[ask.offset :]

    async def _sorted_page(
        self, ask: PageRequest, rows_after: Callable[[int], Awaitable[Sequence[Row]]]
    ) -> Sequence[PageRow]:
        """A page in an order that the server puts rows in: those that it gives after an offset."""
        found: list[PageRow] = []
        offset = ask.offset
        while True:  # once more only if rows were damaged
            rows = await rows_after(offset)
            summaries = [(row[0], row[1], row[2]) for row in rows]
            found += await self._chosen(unordered(ask.filters), summaries)
            if ask.limit is None or len(found) >= ask.limit or len(rows) < ask.limit:
                return found[: ask.limit]
            offset += len(rows)

    async def _matching(self, ask: PageRequest, size: int | None) -> AsyncIterator[PageRow]:
        """The rows that match, from the page's beginning; the first ``size`` of one moment."""
        while True:
            rows = await self._rows_of(ask, size)
            for row in await self._chosen(ask.filters, rows):
                yield row
            if size is None or len(rows) < size:
                return
            size = max(size, _ROWS_AT_ONCE)
            ask = msgspec.structs.replace(ask, after=Position(self._kind, rows[-1][0]))

    async def _chosen(self, filters: TraceFilter, rows: Sequence[SummaryRow]) -> Sequence[PageRow]:
        """Those of the rows that match, with what the summaries tell of annotations."""
        every = [(row[0], read_summary(self._where, *row)) for row in rows]
        run_ids = [read[0].run_id for _, read in every if read is not None]
        latest = await self._latest(run_ids) if run_ids else {}
        asked = fields_set(filters)
        found: list[PageRow] = []
        for place, read in every:
            if read is not None and read[0].run_id in latest:
                read[0].annotations = latest[read[0].run_id]
            if read is not None and (not asked or verdict(filters, *read) is not False):
                found.append(PageRow(place, read[0], facts=read[1]))
        return found

    async def _is_exact(self, filters: TraceFilter) -> bool:
        """Whether SQL tells what matches, but for the order."""
        if filters.where is None or not are_fields_exact(filters):
            return are_fields_exact(filters)
        condition = condition_of(filters)
        if exactly(condition, self._columns) is None:
            return False
        doubted = terms_in_doubt(condition)
        return not doubted or not await self._has_one_of(doubted)

    async def _count(self, filters: TraceFilter) -> int:
        most = sys.maxsize if filters.limit is None else filters.limit
        if await self._is_exact(filters):
            return min(await self._count_rows(filters), most)
        found = 0
        if most == 0:
            return 0
        async for _ in self._matching(PageRequest(filters), min(most, _ROWS_AT_ONCE)):
            found += 1
            if found >= most:
                break
        return found

    async def _histogram(self, filters: TraceFilter, buckets: int, time: Clock) -> TraceHistogram:
        bounds = await self._bounds(filters, time)
        if bounds is None:
            return TraceHistogram()
        tally = Tally(*bounds, buckets, time)
        if await self._is_exact(filters):
            await self._tally_rows(filters, tally)
        else:
            async for row in self._matching(PageRequest(filters), _ROWS_AT_ONCE):
                tally.add_summary(row.summary)
        return tally.result()

    async def _bounds(self, filters: TraceFilter, time: Clock) -> tuple[int, int] | None:
        since, until = bounds_of(filters, time)
        if since is None or until is None:
            first, last = await self._first_and_last(only_times(filters), time)
            since = first if since is None else since
            until = last if until is None else until
        return None if since is None or until is None else (since, until)

    async def _close(self) -> None:
        mine, others = self._connections.take_all()
        for connections in others:
            connections.abandon()
        if mine is not None:
            await mine.close()

    def _is_open(self) -> bool:
        return any(connections.is_open for connections in self._connections)

    def _abandon(self) -> None:
        mine, others = self._connections.take_all()
        for connections in [*others, *([mine] if mine else [])]:
            connections.abandon()


def _abandon(connections: ServerConnections) -> None:
    connections.abandon()
