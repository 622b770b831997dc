"""Cells that are kept: what blocks of runs add up to, so that statistics do not add it up again.

A block is the runs whose places lie in one span of time. It is known by how many runs it has and by
a sum over the hashes of their places, and a run that is saved again has another place: cells count
only as long as both are what they were, whoever saved, deleted or expired runs meanwhile.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import msgspec

from ...errors import StorageError
from ...model import timestamps
from ...model.filters import TraceFilter
from ..sql.row import Row
from . import queries, run_sums
from .cell_columns import CELL_NAMES
from .rows import place_of

log = logging.getLogger(__name__)

# Spans are powers of two of microseconds: 51 days, 6 days, 19 hours, 2 hours, 18 and 2 minutes.
_SPANS = (42, 39, 36, 33, 30, 27)
_COARSE, _FINE = _SPANS[2], _SPANS[-1]
_MOST_RUNS = 500_000  # of a block
_FEW_RUNS = 30_000  # that are added up as quickly as kept cells are
_OPEN_FOR_US = 120 * 1_000_000  # microseconds in which a block may still get runs
_FORMAT = 1  # of cells: those of another one are made again
_VALID_DAYS = 60  # less than `KEPT_DAYS`: whoever finds a block finds its cells

_EVERYTHING = TraceFilter()


class Block(msgspec.Struct, frozen=True):
    """Runs that were saved in one span of time.

    Attributes:
        span: The binary logarithm of its microseconds.
        number: How many such spans are before it, since 1970.
        runs: How many runs.
        fingerprint: The sum of the hashes of their places, modulo 2**64.
        first_us: When the first of them was saved, as its date says.
        last_us: When the last was.
    """

    span: int
    number: int
    runs: int
    fingerprint: int
    first_us: int
    last_us: int

    @property
    def name(self) -> int:
        """A number of its own, and of what its cells tell."""
        return (self.number << 2 | _FORMAT) << 6 | self.span

    @property
    def end_us(self) -> int:
        """The microsecond after it."""
        return (self.number + 1) << self.span

    @property
    def places(self) -> str:
        """A condition for its rows."""
        first, end = (place_of(us, 0) for us in (self.number << self.span, self.end_us))
        return f"(place >= {queries.literal_place(first)} AND place < {queries.literal_place(end)})"


def can_keep(filters: TraceFilter) -> bool:
    """Whether cells are kept for what a filter asks: all runs, or those saved in some time."""
    return replace(filters, since=None, until=None) == _EVERYTHING


class KeptCells:
    """Makes and finds the cells of a store.

    Args:
        database: The store's.
        ask: Gives the rows of a question.
        execute: Executes a statement.
    """

    def __init__(
        self,
        database: str,
        ask: Callable[[str], Awaitable[Sequence[Row]]],
        execute: Callable[[str], Awaitable[None]],
    ) -> None:
        self._database = database
        self._ask = ask
        self._execute = execute

    async def cells(self, filters: TraceFilter, *, models: bool, tools: bool) -> str:
        """SQL for the cells of the runs that match, by the quarter in which they began."""
        blocks = await self._blocks()
        low, high = (
            default if moment is None else timestamps.to_microseconds(moment)
            for moment, default in ((filters.since, -(2**63)), (filters.until, 2**63))
        )
        blocks = [block for block in blocks if block.last_us >= low and block.first_us <= high]
        whole = [block for block in blocks if low <= block.first_us and block.last_us <= high]
        kept = await self._kept(whole)
        added_up = [block.places for block in whole if block.name not in kept]
        matching = " AND ".join(queries.matching(self._database, filters))
        added_up += [f"({block.places} AND {matching})" for block in blocks if block not in whole]
        parts: list[str] = []
        if kept:
            parts.append(self._kept_cells(kept.values(), models=models, tools=tools))
        if added_up or not kept:
            parts.append(self._cells(" OR ".join(added_up) or "0", models=models, tools=tools))
        return " UNION ALL ".join(parts)

    def _cells(self, where: str, *, models: bool, tools: bool) -> str:
        return run_sums.cells(
            self._database, f"({where})", "started_at", times=True, models=models, tools=tools
        )

    def _kept_cells(self, made: Iterable[int], *, models: bool, tools: bool) -> str:
        kinds = [run_sums.TIMES, *[run_sums.MODELS] * models, *[run_sums.TOOLS] * tools]
        kinds += [run_sums.MODELS_AT] * models
        return (
            f"SELECT {CELL_NAMES} FROM {self._database}.cells "
            f"WHERE made IN ({', '.join(map(str, made))}) AND kind IN ({str(kinds)[1:-1]})"
        )

    async def _blocks(self) -> list[Block]:
        """All runs, in blocks that are not too large, and that are closed as far as can be."""
        until_us = timestamps.to_microseconds(timestamps.now()) - _OPEN_FOR_US
        blocks = _divided(await self._fingerprints(_COARSE), _SPANS[:3], until_us)
        large = [
            block for block in blocks if block.span == _COARSE and not _is_good(block, until_us)
        ]
        if large:
            where = " OR ".join(block.places for block in large)
            fine = await self._fingerprints(_FINE, where)
            blocks = [block for block in blocks if block not in large]
            blocks += _divided(fine, _SPANS[2:], until_us)
        return blocks

    async def _fingerprints(self, span: int, where: str = "1") -> list[Block]:
        rows = await self._ask(
            f"SELECT bitShiftRight(toUInt64(bitShiftRight(place, 64)), {span}) AS number, count(), "
            "sum(cityHash64(place)), min(created_us), max(created_us) "
            f"FROM {self._database}.traces WHERE {where} GROUP BY number ORDER BY number"
        )
        return [Block(span, *row) for row in rows]

    async def _kept(self, blocks: Sequence[Block]) -> dict[int, int]:
        """Under which number the cells of blocks are kept, by their names; made if they are not."""
        rows = await self._ask(
            f"SELECT block, runs, fingerprint, made FROM {self._database}.blocks "
            f"WHERE noted > now() - INTERVAL {_VALID_DAYS} DAY"
        )
        known = {row[:3]: row[3] for row in map(tuple, rows)}
        until_us = timestamps.to_microseconds(timestamps.now()) - _OPEN_FOR_US
        kept: dict[int, int] = {}
        may_keep = True
        for block in blocks:
            made = known.get((block.name, block.runs, block.fingerprint))
            if made is None and may_keep and block.end_us < until_us:
                try:
                    made = await self._make(block)
                except StorageError as error:  # a user who may only read
                    log.warning("statistics are added up each time: %s", error)
                    may_keep = False
            if made is not None:
                kept[block.name] = made
        return kept

    async def _make(self, block: Block) -> int | None:
        """Keep the cells of a block; None if it changed meanwhile."""
        made = secrets.randbits(63)
        cells = self._cells(block.places, models=True, tools=True)
        await self._execute(
            f"INSERT INTO {self._database}.cells (made, {CELL_NAMES}) "
            f"SELECT {made}, {CELL_NAMES} FROM ({cells})"
        )
        if await self._fingerprints(block.span, block.places) != [block]:
            return None
        await self._execute(
            f"INSERT INTO {self._database}.blocks (block, runs, fingerprint, made) "
            f"VALUES ({block.name}, {block.runs}, {block.fingerprint}, {made})"
        )
        return made


def _is_good(block: Block, until_us: int) -> bool:
    """Whether a block need not be divided."""
    is_closed = block.end_us < until_us
    return block.runs <= (_MOST_RUNS if is_closed else _FEW_RUNS)


def _divided(found: Sequence[Block], spans: Sequence[int], until_us: int) -> list[Block]:
    """The largest good blocks, of these spans, that the blocks found make up."""
    blocks: list[Block] = []
    for number, members in groupby(found, lambda block: block.number >> spans[0] - block.span):
        those = list(members)
        whole = Block(
            spans[0],
            number,
            sum(block.runs for block in those),
            sum(block.fingerprint for block in those) % 2**64,
            min(block.first_us for block in those),
            max(block.last_us for block in those),
        )
        if len(spans) == 1 or _is_good(whole, until_us):
            blocks.append(whole)
        else:
            blocks += _divided(those, spans[1:], until_us)
    return blocks
