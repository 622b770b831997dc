"""The groups whose last run began last, without looking at all runs: a page of sessions.

Blocks are looked at from the latest on, until enough groups have a run that is later than all runs
of the blocks that are left. Then the runs of these groups alone are added up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from operator import itemgetter

from ....model.clock import moment_of
from ....model.filters import TraceFilter
from ....model.groups import GroupCollector, GroupPage, group_values, stored_key
from ....runtime.gil import GilYielder
from ...queries.latest_keys import MOST_RUNS, ORDER, filter_of, first_keys
from ...queries.paging import PageRequest
from ..index.candidates import CandidateQuery
from ..index.index_upkeep import BLOCK, first_open_id
from ..reader import catch_up, matching
from ..transaction import reading
from .columns import Selection, chosen_runs, values_of
from .stored_blocks import block_of_rows, ids_of, kept_block

# Runs that do not tell when they began count with their save.
_UNSTARTED = f"""
    SELECT id / {BLOCK} AS block, max(created_us) FROM trace_facets
    WHERE started_us IS NULL GROUP BY block
"""
_LONG_AGO = -(2**63)
_MOST_BLOCKS = 64
_LAST_ID = 2**63 - 1


def latest_page(
    connection: sqlite3.Connection, where: str, by: str, limit: int, cursor: str | None
) -> GroupPage | None:
    """A page of groups; None if they are not found by few blocks and few runs."""
    catch_up(connection, where)
    with reading(connection):
        if CandidateQuery(connection, PageRequest(TraceFilter())).foreign_rows():
            return None
        search = _Search(connection, where, by)
        keys = search.keys(GroupCollector.is_after_cursor(by, ORDER, cursor), limit + 1)
        collector = None if keys is None else search.added_up(keys)
    return None if collector is None else collector.page(ORDER, limit, cursor)


class _Search:
    def __init__(self, connection: sqlite3.Connection, where: str, by: str) -> None:
        self._connection = connection
        self._where = where
        self._by = by
        self._key = stored_key(by) or ""
        self._last: dict[str, int] = {}

    def keys(self, is_after: Callable[[float | str, str], bool], most: int) -> list[str] | None:
        """The first so many groups after the page before; None if they are not soon found."""
        for looked_at, bound in enumerate(self._blocks()):
            found = first_keys(self._last, bound, is_after, most)
            if found is not None:
                return found
            if looked_at >= _MOST_BLOCKS:
                return None
        return None

    def _blocks(self) -> Iterator[int | None]:
        """Look at blocks; after each the latest time that runs of the rest can have, if any."""
        query = CandidateQuery(self._connection, PageRequest(TraceFilter()))
        first_open = first_open_id(self._connection)
        newer = query.ids_between(first_open, _LAST_ID)
        for block in sorted({row_id // BLOCK for row_id in newer}):
            self._look_at(block)
        unstarted = dict(self._connection.execute(_UNSTARTED).fetchall())
        blocks = self._connection.execute(
            "SELECT block, max_started_us FROM trace_blocks WHERE block < ?",
            (first_open // BLOCK,),
        ).fetchall()
        rows = [
            (block, max(latest or _LONG_AGO, unstarted.get(block, _LONG_AGO)))
            for block, latest in blocks
        ]
        rows.sort(key=itemgetter(1), reverse=True)
        yielder = GilYielder()
        for block, latest in rows:
            yield latest
            self._look_at(block)
            yielder.maybe_yield()
        yield None

    def _look_at(self, block: int) -> None:
        ids = ids_of(self._connection, block)
        told = kept_block(self._connection, block)
        if told is None:
            told = block_of_rows(self._connection, self._where, ids)
        if not told.runs.is_told:  # too long to be kept
            for row in matching(self._connection, self._where, ids, TraceFilter()):
                for key in group_values(row.summary, self._key):
                    self._note(key, moment_of(row.summary, "started_at"))
            return
        chosen = chosen_runs(told.runs, Selection(bytes([row_id % BLOCK for row_id in ids])))
        for key, places in values_of(told.runs, chosen, self._key).items():
            self._note(key, max([chosen.began_us[place] for place in places]))

    def _note(self, key: str, moment: int) -> None:
        self._last[key] = max(self._last.get(key, moment), moment)

    def added_up(self, keys: list[str]) -> GroupCollector | None:
        """What the runs of these groups add up to; None if they are many."""
        collector = GroupCollector(self._by)
        left = MOST_RUNS
        for key in keys:
            filters = filter_of(self._by, key)
            query = CandidateQuery(self._connection, PageRequest(filters))
            ids: list[int] = []
            for row_id, _ in query.candidates():
                ids.append(row_id)
                left -= 1
                if left < 0:
                    return None
            for row in matching(self._connection, self._where, ids, filters):
                collector.add(row.summary, row.key)
        # A group all of whose runs are damaged is none.
        return collector if len(collector) == len(keys) else None
