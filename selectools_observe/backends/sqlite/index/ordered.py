"""The first runs in another order than that of saving, by the bounds of blocks.

A block is read only if its bound says that it may hold one of them: of a million runs in four
thousand blocks, the fifty dearest are in fifty blocks at most.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Generator, Iterator
from dataclasses import replace
from heapq import nlargest, nsmallest
from typing import TypeAlias

from ....model.filters import TraceFilter
from ....model.ordering import Order, SortKey
from ....runtime.gil import GilYielder
from ...queries.paging import PageRequest
from ...sql.ranges import is_decided_by_index
from .candidates import CandidateQuery
from .index_upkeep import BLOCK, first_open_id

_COLUMNS = {
    "created_at": "created_us",
    "started_at": "started_us",
    "total_ms": "total_ms",
    "wall_ms": "wall_ms",
    "cost_usd": "cost_usd",
    "steps": "steps",
    "tokens": "prompt_tokens + completion_tokens",
}
_NEVER_NULL = {"created_at", "total_ms", "cost_usd", "steps", "tokens"}
_BLOCKS_FIRST = 64
_BLOCKS_AT_ONCE = 16
_MORE_AT_ONCE = 8  # when enough rows are known: each may tell that the next is not needed

Keyed: TypeAlias = tuple[SortKey, int]


def can_order(filters: TraceFilter, order: Order) -> bool:
    """Whether the index alone finds the first in this order."""
    return order.field in _COLUMNS and filters.run_ids is None and is_decided_by_index(filters)


def first_ids(
    connection: sqlite3.Connection, ask: PageRequest, order: Order, most: int | None
) -> list[int]:
    """The ids of the first so many indexed rows after the page's beginning, in this order."""
    query = OrderedQuery(connection, ask, order, most)
    best = nlargest if order.descending else nsmallest
    found: list[Keyed] = []
    parts = query.parts()
    rows = next(parts)
    with contextlib.suppress(StopIteration):
        while True:
            found += rows
            if most is not None:
                found = best(most, found)
            is_enough = most is not None and len(found) >= most
            rows = parts.send(found[-1][0] if is_enough and found else None)
    found.sort(reverse=order.descending)
    return [row_id for _, row_id in found[:most]]


class OrderedQuery:
    """The rows of one page, from the most promising block on."""

    def __init__(
        self, connection: sqlite3.Connection, ask: PageRequest, order: Order, most: int | None
    ) -> None:
        self._connection = connection
        self._order = order
        self._most = most
        unordered = replace(ask.filters, order_by=None)
        self._narrowing = CandidateQuery(connection, PageRequest(unordered))
        self._newest = 2**63 - 1 if ask.newest is None else ask.newest.key
        self._after: SortKey | None = None
        if ask.after is not None:
            self._after = order.key(ask.after.value, (ask.after.key,))

    def parts(self) -> Generator[list[Keyed], SortKey | None, None]:
        """Rows, until no block can hold one that is better than the worst of enough.

        Takes the key of that worst one, or None while there are not enough.
        """
        first_open = first_open_id(self._connection)
        least = yield self._rows([(first_open, 2**63 - 1)])
        yielder = GilYielder()
        waiting: list[tuple[int, int]] = []
        for key, block in self._blocks(first_open):
            if least is not None and not self._order.is_after(least, key):
                break
            waiting.append((block * BLOCK, block * BLOCK + BLOCK - 1))
            if len(waiting) == (_BLOCKS_AT_ONCE if least is None else _MORE_AT_ONCE):
                least = yield self._rows(waiting, least)
                waiting = []
                yielder.maybe_yield()
        yield self._rows(waiting, least)

    def _blocks(self, first_open: int) -> Iterator[tuple[SortKey, int]]:
        """Blocks and the best key that a row of each can have, the best first."""
        column = "tokens" if self._order.field == "tokens" else _COLUMNS[self._order.field]
        descending = self._order.descending
        best, other = ("max", "min") if descending else ("min", "max")
        condition, values = self._narrowing.of_blocks()
        direction = "DESC" if descending else "ASC"
        question = (
            f"SELECT block, {best}_{column} AS best, {other}_{column} FROM trace_blocks "
            f"WHERE block < ? AND {condition} "
            f"ORDER BY best IS NULL, best {direction}, block {direction} LIMIT ? OFFSET ?"
        )
        # Few are enough mostly, and to sort out a few costs a third of sorting all.
        for limit, offset in ((_BLOCKS_FIRST, 0), (-1, _BLOCKS_FIRST)):
            rows = self._connection.execute(
                question, [first_open // BLOCK, *values, limit, offset]
            ).fetchall()
            for block, bound, far in rows:
                if not self._is_passed(block, far):
                    yield self._order.key(bound, (self._edge(block, descending),)), block

    def _edge(self, block: int, last: bool) -> int:  # noqa: FBT001
        return block * BLOCK + (BLOCK - 1 if last else 0)

    def _is_passed(self, block: int, far: float | None) -> bool:
        """Whether all rows of a block come before the page."""
        if self._after is None or self._order.field not in _NEVER_NULL:
            return False
        key = self._order.key(far, (self._edge(block, not self._order.descending),))
        return not self._order.is_after(key, self._after)

    def _rows(self, spans: list[tuple[int, int]], least: SortKey | None = None) -> list[Keyed]:
        """The rows of these spans that the page may hold; those after ``least`` may be left out."""
        condition, values = self._narrowing.of_facets()
        column = _COLUMNS[self._order.field]
        better, worse = (">", "<") if self._order.descending else ("<", ">")
        is_known = least is not None and least[0] == self._order.descending
        for key, sign in ((least if is_known else None, better), (self._sure_after, worse)):
            if key is not None:
                condition += f" AND ({column}, id) {sign} (?, ?)"
                values = [*values, key[1], key[2][0]]
        limit = ""
        if self._most is not None and (self._after is None or self._sure_after is not None):
            direction = "DESC" if self._order.descending else "ASC"
            limit = f"ORDER BY {column} IS NULL, {column} {direction}, id {direction} LIMIT ?"
            values = [*values, min(self._most, sys.maxsize)]
        if not spans:
            return []
        marks = ",".join(["(?, ?)"] * len(spans))
        ends = [end for first, last in spans for end in (first, min(last, self._newest))]
        rows = self._connection.execute(
            f"WITH spans (first, last) AS (VALUES {marks}) SELECT id, {column} "
            "FROM spans CROSS JOIN trace_facets ON id BETWEEN first AND last "
            f"WHERE {condition} {limit}",
            [*ends, *values],
        ).fetchall()
        keyed = ((self._order.key(value, (row_id,)), row_id) for row_id, value in rows)
        return [
            pair
            for pair in keyed
            if self._after is None or self._order.is_after(pair[0], self._after)
        ]

    @property
    def _sure_after(self) -> SortKey | None:
        """Where the page begins, if SQL can tell what comes after: no value is NULL."""
        return self._after if self._order.field in _NEVER_NULL else None
