"""The groups whose last run began last, without looking at all runs: a page of sessions.

Rows are looked at from the latest on, block by block as far as is known when their runs began,
until enough groups have a run that is later than all that were not looked at. Then the runs of
these groups alone are added up.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from ...model.clock import moment_of
from ...model.groups import GroupCollector, GroupPage, group_values
from ..queries.latest_keys import MOST_RUNS, ORDER, filter_of, first_keys
from ..queries.paging import PageRow
from ..sql.terms import wanted_terms
from .kept_parts import Block
from .session import Values

_ROWS_AT_ONCE = 512
_MOST_LOOKS = 64

Read: TypeAlias = Callable[[str, Values], Awaitable[Sequence[PageRow]]]
"""Gives the rows of a question for places, times of saving and summaries."""


class _Rest(msgspec.Struct, order=True):
    """The rows of a block that were not looked at; those that may have begun last come first."""

    latest: int  # negative: the least is first
    first: int
    end: int
    offset: int = 0


class LatestGroups:
    """Finds a page of groups.

    Args:
        traces: The table.
        by: What runs are grouped by.
        read: Gives rows, but those that are damaged.
    """

    def __init__(self, traces: str, by: str, read: Read) -> None:
        self._select = f"SELECT seq, created_us, summary FROM {traces}"
        self._by = by
        self._read = read
        self._last: dict[str, int] = {}

    async def page(
        self, blocks: Sequence[Block], limit: int, cursor: str | None
    ) -> GroupPage | None:
        """A page of groups; None if they are not found by few looks and few runs."""
        is_after = GroupCollector.is_after_cursor(self._by, ORDER, cursor)
        rest = [_Rest(-block.latest, block.first, block.end) for block in blocks]
        heapq.heapify(rest)
        for _ in range(_MOST_LOOKS):
            bound = -rest[0].latest if rest else None
            keys = first_keys(self._last, bound, is_after, limit + 1)
            if keys is not None:
                collector = await self._added_up(keys)
                return None if collector is None else collector.page(ORDER, limit, cursor)
            await self._look(rest)
        return None

    async def _look(self, rest: list[_Rest]) -> None:
        one = heapq.heappop(rest)
        rows = await self._read(
            f"{self._select} WHERE seq >= %s AND seq < %s "
            "ORDER BY coalesce(started_us, created_us) DESC, seq LIMIT %s OFFSET %s",
            [one.first, one.end, _ROWS_AT_ONCE, one.offset],
        )
        for row in rows:
            moment = moment_of(row.summary, "started_at")
            for key in group_values(row.summary, self._by):
                self._last[key] = max(self._last.get(key, moment), moment)
        if rows:
            latest = min(moment_of(row.summary, "started_at") for row in rows)
            heapq.heappush(rest, _Rest(-latest, one.first, one.end, one.offset + _ROWS_AT_ONCE))

    async def _added_up(self, keys: Sequence[str]) -> GroupCollector | None:
        """What the runs of these groups add up to; None if they are many."""
        wanted = set(keys)
        terms = [term for key in keys for term in wanted_terms(filter_of(self._by, key))]
        # One by one: asked for any of many terms, the planner reads the whole table.
        of_term = f"{self._select} WHERE terms @> ARRAY[asked.term] LIMIT {MOST_RUNS + 1}"
        rows = await self._read(
            "SELECT r.* FROM unnest(%s::bigint[]) AS asked (term) "
            f"CROSS JOIN LATERAL ({of_term}) r ORDER BY r.seq + 0 DESC LIMIT %s",
            [terms, MOST_RUNS + 1],
        )
        collector = GroupCollector(self._by)
        for row in rows:
            if not wanted.isdisjoint(group_values(row.summary, self._by)):
                collector.add(row.summary, row.key)
        is_whole = len(rows) <= MOST_RUNS and len(collector) == len(keys)
        return collector if is_whole else None
