"""The runs that match a filter, block by block, as what is kept of them; no trace is read.

Blocks that a filter cuts are told by their columns, those that match whole by what they add up to.
What is not kept yet (newer runs, another program's) is read and takes the same form.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from ....model.filters import TraceFilter, asks_for_annotations
from ....model.rollups import CallRollup, Rollup
from ....model.statistics import Collector, RunSums
from ....model.trace import TraceFacts, TraceSummary
from ....runtime.gil import GilYielder
from ...queries.paging import PageRequest, PageRow
from ...queries.text_scan import facts_of_stored, rollups_of
from .. import annotation_rows
from ..index.candidates import CandidateQuery
from ..index.index_upkeep import BLOCK, first_open_id
from ..reader import matching
from ..rows import stored_bytes
from .block_filter import BlockFilter, is_told_by_columns
from .columns import (
    BlockCalls,
    BlockRuns,
    NamedCalls,
    Selection,
    chosen_calls,
    chosen_runs,
    values_of,
)
from .rollup_upkeep import LEVELS, parts_of
from .stored_blocks import (
    Block,
    block_of_rows,
    ids_of,
    kept_block,
    kept_runs,
    kept_sums,
    runs_summed,
)

_EVERYTHING = TraceFilter()
_FEW_ROWS = 16  # of a block, that are read as quickly as its columns are
_FEW_BLOCKS = 8  # whose columns are read: so percentiles of few runs are exact
_BLOCKS_BY_INDEX = 64  # that hold the terms of a filter: the index tells which of their rows do
_MANY_NEWER = 4 * BLOCK  # rows that are in no full block yet
_LAST_ID = 2**63 - 1


def can_aggregate(filters: TraceFilter) -> bool:
    """Whether the index, or what is kept of runs, tells which of them match."""
    is_newest_first = filters.order_by is None or filters.limit is None
    return is_newest_first and is_told_by_columns(filters)


class Part(NamedTuple):
    """Runs of one block.

    Attributes:
        told: What is told of the block's runs.
        selection: Which of them are meant.
        block: The number of the block.
    """

    told: Block
    selection: Selection
    block: int

    @property
    def ids(self) -> list[int]:
        """The ids of those, the newest first."""
        return [self.block * BLOCK + place for place in self.selection.places]


class Aggregation:
    """The runs that match a filter, as far as `can_aggregate`; read at one moment.

    Args:
        connection: The database, within a transaction.
        where: Its name.
        filters: The filter.
        calls: Whether what the runs called is asked for too.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        where: str,
        filters: TraceFilter,
        *,
        calls: bool = False,
    ) -> None:
        self._connection = connection
        self._where = where
        self._needs_calls = calls
        self._limit = filters.limit
        self._filters = replace(filters, limit=None, order_by=None)
        self._block_filter = BlockFilter(self._filters)
        self._query = CandidateQuery(connection, PageRequest(self._filters))
        self._first_open = first_open_id(connection)
        self._blocks = self._query.blocks_and_whole(self._first_open)
        self._is_by_index = self._query.is_exact and len(self._blocks) <= _BLOCKS_BY_INDEX
        self._runs_summed = runs_summed(connection)
        self._annotated = _annotated_ids(connection)
        self._apart = frozenset(self._annotated if asks_for_annotations(filters) else ())
        self._whole_blocks: set[int] = set()
        self._given: dict[int, Selection] = {}

    @property
    def is_sooner_counted(self) -> bool:
        """Whether the index counts them sooner: in few blocks, or in rows that are in none."""
        if not self._query.is_exact or self._is_by_index:
            return self._is_by_index
        (newest,) = self._connection.execute("SELECT max(id) FROM trace_facets").fetchone()
        return newest is not None and newest - self._first_open >= _MANY_NEWER

    @property
    def can_be_told(self) -> bool:
        """Whether which runs are meant is told without an order between two kinds of rows."""
        return self._limit is None or not self._ids_to_read()

    def _ids_to_read(self) -> list[int]:
        return [*self._query.foreign_rows(), *self._apart]

    def read_rows(self) -> Iterator[PageRow]:
        """The runs that only reading can tell about: other programs', not indexed yet.

        And those with annotations, if the filter asks for these.
        """
        return matching(self._connection, self._where, self._ids_to_read(), self._filters)

    def parts(self) -> Iterator[Part]:
        """All other runs, the newest first."""
        left = _LAST_ID if self._limit is None else self._limit
        for part in self._all_parts():
            if left <= 0:
                return
            if len(part.selection.places) > left:
                part = part._replace(selection=Selection(part.selection.places[:left]))  # noqa: PLW2901
            left -= len(part.selection.places)
            yield self._noted(part)

    def _all_parts(self) -> Iterator[Part]:
        yielder = GilYielder()
        yield from self._newer_parts()
        for block, _ in self._blocks:
            part = self._part(block)
            if part.selection.places:
                yield part
            yielder.maybe_yield()

    def _noted(self, part: Part) -> Part:
        if self._annotated:
            self._given[part.block] = part.selection
        return part

    def _newer_parts(self) -> Iterator[Part]:
        newer = self._query.ids_between(self._first_open, _LAST_ID)
        for block, ids in groupby(newer, key=lambda row_id: row_id // BLOCK):
            part = self._read_part(block, list(ids))
            if part.selection.places:
                yield part

    def _part(self, block: int) -> Part:
        if self._is_by_index:
            ids = self._indexed_ids(block)
            told = self._kept(block) if len(ids) >= _FEW_ROWS else None
            if told is not None:
                return Part(told, Selection(_places(ids)), block)
            return self._read_part(block, ids)
        told = self._kept(block)
        if told is None:
            return self._read_part(block, self._indexed_ids(block))
        return Part(told, Selection(self._places_in(block, told.runs)), block)

    def _indexed_ids(self, block: int) -> list[int]:
        return self._query.ids_between(block * BLOCK, block * BLOCK + BLOCK - 1)

    def _kept(self, block: int) -> Block | None:
        if self._needs_calls:
            return kept_block(self._connection, block)
        runs = kept_runs(self._connection, block)
        return None if runs is None else Block(runs, BlockCalls([], []))

    def _read_part(self, block: int, ids: Sequence[int]) -> Part:
        """The part of a block by reading the rows that may match."""
        told = block_of_rows(self._connection, self._where, ids)
        return Part(told, Selection(self._places_in(block, told.runs, ids)), block)

    def _places_in(self, block: int, runs: BlockRuns, ids: Sequence[int] | None = None) -> bytes:
        """Which runs of a block match; of these ids, or of all that are there."""
        if not runs.is_told:
            rows = self._matching(self._indexed_ids(block) if ids is None else ids)
            places = _places([row.key for row in rows])
        else:
            places = self._block_filter.places(runs)
            if ids is None and self._runs_summed.get(block) != len(runs.places):
                here = _places(ids_of(self._connection, block))
                places = Selection(here).among(places)
        if self._apart:
            return bytes([place for place in places if block * BLOCK + place not in self._apart])
        return places

    def parts_and_sums(self, collector: Collector) -> Iterator[Part | RunSums]:
        """All other runs, as sums where the collector can take them."""
        whole = {block for block, is_whole in self._blocks if is_whole}
        if self._limit is not None or len(whole) <= _FEW_BLOCKS:
            yield from self.parts()
            return
        within = self._parts_within(whole)
        yield from map(self._noted, self._newer_parts())
        done = _LAST_ID
        yielder = GilYielder()
        for block, _ in self._blocks:
            if block >= done:
                continue  # it was in the sums of a larger part
            yielder.maybe_yield()
            for level in reversed(range(LEVELS)):
                part = block >> 4 * level
                sums = None
                if part in within[level]:
                    sums = kept_sums(self._connection, level, part)
                if sums is not None and collector.can_add(sums):
                    done = part << 4 * level
                    self._whole_blocks.update(range(done, (part + 1) << 4 * level))
                    yield sums
                    break
            else:
                found = self._part(block)
                if found.selection.places:
                    yield self._noted(found)

    def _parts_within(self, whole: set[int]) -> list[set[int]]:
        """For each level, the parts all of whose blocks match whole."""
        within: list[set[int]] = []
        below = whole
        for level, parts in enumerate(parts_of(self._connection)):
            below = {
                part
                for part, children in parts.items()
                if (level == 0 and part in below) or (level and below.issuperset(children))
            }
            within.append(below)
        return within

    def kept_or_read(
        self, *, count_only: bool = False
    ) -> Iterator[tuple[BlockRuns, bytes] | int | list[PageRow]]:
        """The same runs, without what they called: columns of a block and which of it are meant.

        Or rows, where no columns are kept; or, if that is enough, how many they are.
        """
        yield self._matching(self._query.ids_between(self._first_open, _LAST_ID))
        yielder = GilYielder()
        for block, is_whole in self._blocks:
            yielder.maybe_yield()
            if count_only and is_whole and block in self._runs_summed:
                yield self._runs_summed[block]
                continue
            runs = kept_runs(self._connection, block)
            if runs is None:
                yield self._matching(self._indexed_ids(block))
            else:
                yield runs, self._places_in(block, runs)

    def _matching(self, ids: Sequence[int]) -> list[PageRow]:
        rows = matching(self._connection, self._where, ids, self._filters)
        return [row for row in rows if row.key not in self._apart]

    def annotated(self) -> Iterator[tuple[TraceSummary, Rollup]]:
        """Those runs of what was given that are annotated, and the names of what they called.

        To be asked for when all parts were taken.
        """
        ids = [row_id for row_id in self._annotated if self._was_given(row_id)]
        for block, some in groupby(ids, key=lambda row_id: row_id // BLOCK):
            ids_of_block = list(some)
            told = self._kept(block) or block_of_rows(self._connection, self._where, ids_of_block)
            models = _names_by_place(told.calls.models)
            tools = _names_by_place(told.calls.tools)
            for row in self.rows_of(ids_of_block):
                place = row.key % BLOCK
                yield row.summary, Rollup(models.get(place, []), tools.get(place, []))

    def _was_given(self, row_id: int) -> bool:
        block, place = divmod(row_id, BLOCK)
        if block in self._whole_blocks:
            return True
        return block in self._given and place in self._given[block].places

    def rollup_of_row(self, row: PageRow) -> Rollup | None:
        """What the calls of a run add up to, by reading its trace."""
        stored = self._stored(row)
        return None if stored is None else rollups_of([stored])[0]

    def facts_of_row(self, row: PageRow) -> TraceFacts | None:
        """What filters ask of a run's steps, by reading its trace."""
        stored = self._stored(row)
        return None if stored is None else facts_of_stored([stored])[0]

    def _stored(self, row: PageRow) -> bytes | None:
        found = self._connection.execute(
            "SELECT trace_json FROM traces WHERE rowid = ?", (row.key,)
        ).fetchone()
        return None if found is None else stored_bytes(found[0])

    def rows_of(self, ids: Sequence[int]) -> Iterator[PageRow]:
        """The summaries of runs, where columns do not tell all that is asked."""
        return matching(self._connection, self._where, ids, _EVERYTHING)


def _annotated_ids(connection: sqlite3.Connection) -> list[int]:
    """The ids of all runs that are annotated, the newest first."""
    if not annotation_rows.has_some(connection):
        return []
    rows = connection.execute(
        "SELECT rowid FROM traces WHERE run_id IN (SELECT run_id FROM trace_annotations) "
        "ORDER BY rowid DESC"
    ).fetchall()
    return [row_id for (row_id,) in rows]


def _places(ids: Sequence[int]) -> bytes:
    return bytes([row_id % BLOCK for row_id in ids])


def _names_by_place(calls: Sequence[NamedCalls]) -> dict[int, list[CallRollup]]:
    found: dict[int, list[CallRollup]] = {}
    for one in calls:
        for place in set(one.places):
            found.setdefault(place, []).append(CallRollup(one.name))
    return found


def add_part(
    collector: Collector, aggregation: Aggregation, part: Part, keys: Sequence[str]
) -> None:
    """Hand the runs of a part to the collector of statistics.

    Args:
        collector: What takes them.
        aggregation: What gave the part.
        part: The runs.
        keys: How `BlockRuns.fields` names the collector's other keys.
    """
    runs = part.told.runs
    chosen = chosen_runs(runs, part.selection)
    moments = chosen.began_us if collector.time == "started_at" else chosen.created_us
    if keys and not runs.is_told:
        for row in aggregation.rows_of(part.ids):
            collector.add_summary(row.summary)
    else:
        named = zip(collector.other_keys, keys, strict=True)
        values = {name: values_of(runs, chosen, key) for name, key in named}
        if chosen.places:
            collector.add_runs(chosen.columns, moments, values)
    if collector.needs_traces:
        calls = part.told.calls
        at = dict(zip(chosen.places, moments, strict=True))
        if "model" in collector.by:
            collector.add_calls("model", chosen_calls(calls.models, part.selection), at)
        if "tool" in collector.by:
            collector.add_calls("tool", chosen_calls(calls.tools, part.selection), at)
