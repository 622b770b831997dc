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

from ....model.filters import TraceFilter
from ....model.rollups import CallRollup, Rollup
from ....model.statistics import Collector, RunSums
from ....model.trace import TraceFacts, TraceSummary
from ....runtime.gil import GilYielder
from ...paging import PageRequest, PageRow
from ...ranges import is_decided_by_index
from ...text_scan import facts_of_stored, rollups_of
from .. import annotation_rows
from ..index.candidates import CandidateQuery
from ..index.index_upkeep import BLOCK, first_open_id
from ..reader import matching
from ..rows import stored_bytes
from .columns import NamedCalls, Selection, chosen_calls, chosen_runs, values_of
from .rollup_upkeep import LEVELS, parts_of
from .stored_blocks import Block, block_of_rows, kept_block, kept_sums

_EVERYTHING = TraceFilter()
_FEW_ROWS = 16  # of a block, that are read as quickly as its columns are
_FEW_BLOCKS = 8  # whose columns are read: so percentiles of few runs are exact
_LAST_ID = 2**63 - 1


def can_aggregate(filters: TraceFilter) -> bool:
    """Whether the index alone tells which runs match."""
    is_newest_first = filters.order_by is None or filters.limit is None
    return is_decided_by_index(filters) and filters.run_ids is None and is_newest_first


class Part(NamedTuple):
    """Runs of one block.

    Attributes:
        told: What is told of the block's runs.
        selection: Which of them are meant.
        ids: The ids of those, the newest first.
    """

    told: Block
    selection: Selection
    ids: Sequence[int]


class Aggregation:
    """The runs that match a filter which the index alone decides; read at one moment."""

    def __init__(self, connection: sqlite3.Connection, where: str, filters: TraceFilter) -> None:
        self._connection = connection
        self._where = where
        self._limit = filters.limit
        self._filters = replace(filters, limit=None, order_by=None)
        self._query = CandidateQuery(connection, PageRequest(self._filters))
        self._first_open = first_open_id(connection)
        self._blocks = self._query.blocks_and_whole(self._first_open)
        self._levels = parts_of(connection)
        self._whole_blocks: set[int] = set()
        self._ids: set[int] = set()

    @property
    def can_be_told(self) -> bool:
        """Whether which runs are meant is told without an order between two kinds of rows."""
        return self._limit is None or not self._query.foreign_rows()

    def read_rows(self) -> Iterator[PageRow]:
        """The runs that only reading can tell about: other programs', not indexed yet."""
        foreign = self._query.foreign_rows()
        return matching(self._connection, self._where, foreign, self._filters)

    def parts(self) -> Iterator[Part]:
        """All other runs, the newest first."""
        left = _LAST_ID if self._limit is None else self._limit
        for block, ids in self._cut_blocks():
            if left <= 0:
                return
            some = ids[:left]
            left -= len(some)
            self._ids.update(some)
            yield self._part(block, some)

    def _cut_blocks(self) -> Iterator[tuple[int, list[int]]]:
        yielder = GilYielder()
        newer = self._query.ids_between(self._first_open, _LAST_ID)
        for block, ids in groupby(newer, key=lambda row_id: row_id // BLOCK):
            yield block, list(ids)
        for block, _ in self._blocks:
            ids_of_block = self._query.ids_between(block * BLOCK, block * BLOCK + BLOCK - 1)
            if ids_of_block:
                yield block, ids_of_block
            yielder.maybe_yield()

    def _part(self, block: int, ids: Sequence[int]) -> Part:
        told = kept_block(self._connection, block) if len(ids) >= _FEW_ROWS else None
        if told is None:
            told = block_of_rows(self._connection, self._where, ids)
        return Part(told, Selection([row_id % BLOCK for row_id in ids]), ids)

    def parts_and_sums(self, collector: Collector) -> Iterator[Part | RunSums]:
        """All other runs, as sums where the collector can take them."""
        whole = {block for block, is_whole in self._blocks if is_whole}
        if self._limit is not None or len(whole) <= _FEW_BLOCKS:
            yield from self.parts()
            return
        within = self._parts_within(whole)
        newer = self._query.ids_between(self._first_open, _LAST_ID)
        for block, ids in groupby(newer, key=lambda row_id: row_id // BLOCK):
            newer_ids = list(ids)
            self._ids.update(newer_ids)
            yield self._part(block, newer_ids)
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
                ids_of_block = self._query.ids_between(block * BLOCK, block * BLOCK + BLOCK - 1)
                if ids_of_block:
                    self._ids.update(ids_of_block)
                    yield self._part(block, ids_of_block)

    def _parts_within(self, whole: set[int]) -> list[set[int]]:
        """For each level, the parts all of whose blocks match whole."""
        within: list[set[int]] = []
        below = whole
        for level, parts in enumerate(self._levels):
            below = {
                part
                for part, children in parts.items()
                if (level == 0 and part in below) or (level and below.issuperset(children))
            }
            within.append(below)
        return within

    def annotated(self) -> Iterator[tuple[TraceSummary, Rollup]]:
        """Those runs of what was given that are annotated, and the names of what they called.

        To be asked for when all parts were taken.
        """
        if not annotation_rows.has_some(self._connection):
            return
        rows = self._connection.execute(
            "SELECT rowid FROM traces WHERE run_id IN (SELECT run_id FROM trace_annotations) "
            "ORDER BY rowid DESC"
        ).fetchall()
        ids = [row_id for (row_id,) in rows if self._was_given(row_id)]
        for block, some in groupby(ids, key=lambda row_id: row_id // BLOCK):
            part = self._part(block, list(some))
            models = _names_by_place(part.told.calls.models)
            tools = _names_by_place(part.told.calls.tools)
            for row in matching(self._connection, self._where, part.ids, _EVERYTHING):
                place = row.key % BLOCK
                yield row.summary, Rollup(models.get(place, []), tools.get(place, []))

    def _was_given(self, row_id: int) -> bool:
        return row_id in self._ids or row_id // BLOCK in self._whole_blocks

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
    if keys and runs.fields is None:
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
