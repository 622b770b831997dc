"""What parts of the table add up to, kept beside it: statistics and facets read little else.

A part is the rows whose places lie in one span of numbers. Places are given out in the order of the
commits, and never again; a row that is saved anew has another one. So a part before the newest row
only ever loses rows, and as long as it has as many rows as it had, it has the same.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from ...errors import StorageError
from ...model import timestamps
from ...model.checksum import checksum
from ...model.filters import TraceFilter
from ..sql.row import Row
from .session import Values

log = logging.getLogger(__name__)

T = TypeVar("T")

BLOCK_BITS = 12
"""A block, which is a part of level 0, is the rows of so many bits of places."""
_CHILD_BITS = 4  # of the parts of one level in one of the next
_LEVELS = 2
_MOMENT = 0.5  # seconds of one piece of work in idle time
_FEW_BLOCKS = 4  # whose rows are read: so percentiles of few runs are exact

_EVERYTHING = TraceFilter()
_LAST = 2**63 - 1
_TIMES = {"since": None, "until": None, "started_since": None, "started_until": None}

_COLUMNS = (
    "row_count", "created_first", "created_last", "started_first", "started_last", "unstarted",
    "crc", "data",
)  # fmt: skip


class Span(msgspec.Struct, frozen=True):
    """The times of a part's runs, in microseconds; as its row has them.

    Attributes:
        created_first: When the first was saved.
        created_last: When the last was.
        started_first: When the first began; None if nothing tells of any.
        started_last: When the last began.
        unstarted: Of how many nothing tells.
    """

    created_first: int
    created_last: int
    started_first: int | None
    started_last: int | None
    unstarted: int

    @property
    def latest(self) -> int:
        """When the last began, or was saved if nothing tells when it began."""
        times = [self.created_last] if self.unstarted else []
        return max([*times, *([] if self.started_last is None else [self.started_last])])

    def is_within(self, filters: TraceFilter) -> bool | None:
        """Whether all these runs match a filter of times only, or none; None: some may."""
        created = _within(self.created_first, self.created_last, filters.since, filters.until)
        started: bool | None = True
        if filters.started_since is not None or filters.started_until is not None:
            if self.started_first is None or self.started_last is None:
                return False
            bounds = filters.started_since, filters.started_until
            started = _within(self.started_first, self.started_last, *bounds)
            if started and self.unstarted:
                started = None
        if created is False or started is False:
            return False
        return True if created and started else None


class KeptPart(msgspec.Struct, frozen=True):
    """What is kept of a part."""

    rows: int
    span: Span
    data: bytes


class Kind(Protocol):
    """Something that is kept of parts, as MessagePack."""

    name: str
    columns: str
    """Of rows: the place, when each was saved, another one, when it began, and whatever else."""
    first_byte: bytes
    """Of what is kept: what begins with another one is made again."""

    def of_rows(self, rows: Sequence[Row]) -> bytes:
        """What is kept of rows, at least one, newest first.

        Raises:
            UnicodeEncodeError: It cannot be packed.
            OverflowError: Likewise.
        """

    def of_parts(self, parts: Sequence[bytes]) -> bytes | None:
        """What is kept of parts together, newest first; None if some is damaged."""


class Part(msgspec.Struct, frozen=True):
    """Rows that lie next to each other.

    Attributes:
        first: Where they begin, in the order of saving.
        end: The place after the last.
        data: What is kept of them; None where they are to be read.
    """

    first: int
    end: int
    data: bytes | None = None

    @property
    def blocks(self) -> range:
        """The numbers of the blocks that it is made of."""
        return range(self.first >> BLOCK_BITS, self.end >> BLOCK_BITS)


class Block(msgspec.Struct, frozen=True):
    """A part of the lowest level, or the rows after all of them.

    Attributes:
        first: Where it begins, in the order of saving.
        end: The place after the last.
        latest: When the last of its runs began, or else was saved, in microseconds.
    """

    first: int
    end: int
    latest: int


def can_use(filters: TraceFilter) -> bool:
    """Whether a filter asks for all runs, or for those of some time."""
    return replace(filters, **_TIMES) == _EVERYTHING


class KeptParts:
    """Finds what is kept of a store's parts for one question, and makes what is missing.

    Args:
        kind: What is kept.
        schema: The schema of the tables.
        ask: Gives the rows of a question.
        read: Gives rows from one place to before another, with the kind's columns.
        compute: Does work that takes a while.
    """

    def __init__(
        self,
        kind: Kind,
        schema: str,
        ask: Callable[[str, Values], Awaitable[list[Row]]],
        read: Callable[[int, int], Awaitable[list[Row]]],
        compute: Callable[[Callable[[], KeptPart | None]], Awaitable[KeptPart | None]],
    ) -> None:
        self._kind = kind
        self._schema = schema
        self._table = f"{schema}.kept_parts"
        self._ask = ask
        self._read = read
        self._compute = compute
        self._can_write = True
        self._counts = _counted({})
        self._open_from = 0
        self._kept: dict[tuple[int, int], KeptPart] = {}

    async def parts(self, filters: TraceFilter) -> list[Part]:
        """All rows that may match, the newest first; none of them in two parts."""
        newest = await self._look()
        if len(self._counts[0]) <= _FEW_BLOCKS:
            return [Part(0, newest + 1)]
        found = [Part(self._open_from, newest + 1)]
        for number in sorted(self._counts[-1], reverse=True):
            found += await self._parts_of(filters, _LEVELS - 1, number)
        return found

    async def whole(self, places: Collection[int]) -> list[Part]:
        """What is kept of those parts all of whose rows are at these places, the newest first."""
        if len(places) >> BLOCK_BITS < _FEW_BLOCKS:
            return []
        meant = _counted(Counter([place >> BLOCK_BITS for place in places]))
        await self._look()
        found: list[Part] = []
        for number in sorted(self._counts[-1], reverse=True):
            found += await self._whole_of(meant, _LEVELS - 1, number)
        return found

    async def _whole_of(self, meant: list[Counter[int]], level: int, number: int) -> list[Part]:
        first, end = (each << _bits(level) for each in (number, number + 1))
        count = meant[level][number]
        if count and count == self._counts[level][number] and end <= self._open_from:
            one = await self._part(level, number)
            if one is not None:
                return [Part(first, end, one.data)]
        found: list[Part] = []
        for child in _children(number) if count and level else ():
            found += await self._whole_of(meant, level - 1, child)
        return found

    async def _look(self) -> int:
        """Look how many rows there are, and what is kept of them; the newest place."""
        newest = await self._count()
        if len(self._counts[0]) > _FEW_BLOCKS:
            await self._find()
            self._open_from = newest >> BLOCK_BITS << BLOCK_BITS
        return newest

    async def make_some(self) -> bool:
        """Make what is missing, for a moment; whether there is more of it."""
        deadline = time.monotonic() + _MOMENT
        newest = await self._count()
        self._open_from = newest >> BLOCK_BITS << BLOCK_BITS
        await self._find()
        for level, counts in enumerate(self._counts):
            for number, count in sorted(counts.items()):
                kept = self._kept.get((level, number))
                is_open = (number + 1) << _bits(level) > self._open_from
                if is_open or (kept is not None and kept.rows == count):
                    continue
                if await self._part(level, number) is not None and time.monotonic() > deadline:
                    return True
        return False

    async def blocks(self) -> list[Block] | None:
        """All rows, in blocks; None if not all that is needed can be kept."""
        await self.parts(_EVERYTHING)
        found = [Block(self._open_from, _LAST, _LAST)]
        for number in self._counts[0]:
            one = self._kept.get((0, number))
            first, end = (each << BLOCK_BITS for each in (number, number + 1))
            if first >= self._open_from:
                continue
            if one is None or one.rows != self._counts[0][number]:
                return None
            found.append(Block(first, end, one.span.latest))
        return found

    async def _parts_of(self, filters: TraceFilter, level: int, number: int) -> list[Part]:
        first, end = (each << _bits(level) for each in (number, number + 1))
        if not self._counts[level][number] or first >= self._open_from:
            return []
        one = await self._part(level, number) if end <= self._open_from else None
        is_within = None if one is None else one.span.is_within(filters)
        if is_within is False:
            return []
        if is_within and one is not None:
            return [Part(first, end, one.data)]
        if level == 0:
            return [Part(first, end)]
        found: list[Part] = []
        for child in _children(number):
            found += await self._parts_of(filters, level - 1, child)
        return found

    async def _part(self, level: int, number: int) -> KeptPart | None:
        """What is kept of a part, made if it is not; None if it cannot be kept."""
        one = self._kept.get((level, number))
        if one is not None and one.rows == self._counts[level][number]:
            return one
        if not self._can_write:
            return None
        made = await (self._of_children(level, number) if level else self._of_rows(number))
        if made is not None:
            await self._keep(level, number, made)
            self._kept[level, number] = made
        return made

    async def _of_rows(self, number: int) -> KeptPart | None:
        rows = await self._read(number << BLOCK_BITS, (number + 1) << BLOCK_BITS)
        return await self._compute(partial(self._made_of_rows, rows))

    async def _of_children(self, level: int, number: int) -> KeptPart | None:
        found: list[KeptPart] = []
        for child in _children(number):
            if self._counts[level - 1][child]:
                one = await self._part(level - 1, child)
                if one is None:
                    return None
                found.append(one)
        return await self._compute(partial(self._made_of_parts, found))

    async def _count(self) -> int:
        """Count the rows of all parts; the newest place."""
        traces, end = f"{self._schema}.traces", f"block + 1 << {BLOCK_BITS}"
        # From block to block by the index: the server hashes no row, and looks at no gap.
        rows = await self._ask(
            "WITH RECURSIVE blocks (block) AS ("
            f"SELECT min(seq) >> {BLOCK_BITS} FROM {traces} UNION ALL "
            f"SELECT (SELECT min(seq) >> {BLOCK_BITS} FROM {traces} WHERE seq >= {end}) "
            "FROM blocks WHERE block IS NOT NULL) "
            f"SELECT block, (SELECT count(*) FROM {traces} "
            f"WHERE seq >= block << {BLOCK_BITS} AND seq < {end}), "
            f"(SELECT max(seq) FROM {traces}) FROM blocks WHERE block IS NOT NULL",
            (),
        )
        self._counts = _counted({block: count for block, count, _ in rows})
        return rows[0][2] if rows else 0

    async def _find(self) -> None:
        """Read what is kept, as far as it is not damaged."""
        sql = f"SELECT level, part, {', '.join(_COLUMNS)} FROM {self._table} WHERE kind = %s"
        try:
            rows = await self._ask(sql, [self._kind.name])
        except StorageError as error:  # a user who may not read them
            self._cannot(error)
            return
        self._kept = {
            (level, part): KeptPart(count, Span(*span), data)
            for level, part, count, *span, crc, data in rows
            if checksum(data) == crc and data.startswith(self._kind.first_byte)
        }

    async def _keep(self, level: int, number: int, made: KeptPart) -> None:
        again = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
        places = ", ".join(["%s"] * (3 + len(_COLUMNS)))
        span = msgspec.structs.astuple(made.span)
        try:
            await self._ask(
                f"INSERT INTO {self._table} (kind, level, part, {', '.join(_COLUMNS)}) "
                f"VALUES ({places}) ON CONFLICT (kind, level, part) DO UPDATE SET {again}",
                (self._kind.name, level, number, made.rows, *span, checksum(made.data), made.data),
            )
        except StorageError as error:  # a user who may only read, or a standby
            self._cannot(error)

    def _cannot(self, error: StorageError) -> None:
        log.warning("runs are added up each time: %s", error)
        self._can_write = False

    def _made_of_rows(self, rows: Sequence[Row]) -> KeptPart | None:
        data = _packed(self._kind.of_rows, rows) if rows else None
        return None if data is None else KeptPart(len(rows), _span_of(rows), data)

    def _made_of_parts(self, found: Sequence[KeptPart]) -> KeptPart | None:
        data = _packed(self._kind.of_parts, [one.data for one in found])
        rows = sum(one.rows for one in found)
        return (
            None if data is None else KeptPart(rows, _together([one.span for one in found]), data)
        )


def _counted(blocks: Mapping[int, int]) -> list[Counter[int]]:
    """How many rows the parts of each level have, by those of the blocks."""
    levels: list[Counter[int]] = [Counter() for _ in range(_LEVELS)]
    for block, count in blocks.items():
        for level, of_level in enumerate(levels):
            of_level[block >> level * _CHILD_BITS] += count
    return levels


def _bits(level: int) -> int:
    return BLOCK_BITS + level * _CHILD_BITS


def _children(number: int) -> Sequence[int]:
    """The parts in a part, the newest first."""
    return range(number << _CHILD_BITS, (number + 1) << _CHILD_BITS)[::-1]


def _span_of(rows: Sequence[Row]) -> Span:
    created = [row[1] for row in rows]
    started = [row[3] for row in rows if row[3] is not None]
    return Span(
        min(created),
        max(created),
        min(started, default=None),
        max(started, default=None),
        len(rows) - len(started),
    )


def _together(spans: Sequence[Span]) -> Span:
    firsts = [span.started_first for span in spans if span.started_first is not None]
    lasts = [span.started_last for span in spans if span.started_last is not None]
    return Span(
        min(span.created_first for span in spans),
        max(span.created_last for span in spans),
        min(firsts, default=None),
        max(lasts, default=None),
        sum(span.unstarted for span in spans),
    )


def _packed(pack: Callable[[T], bytes | None], told: T) -> bytes | None:
    try:
        return pack(told)
    except (UnicodeEncodeError, OverflowError):  # a lone surrogate, or a sum of more than 64 bits
        return None


def _within(first: int, last: int, since: datetime | None, until: datetime | None) -> bool | None:
    """Whether a span of time lies within bounds, or outside; None: it is cut."""
    low = first if since is None else timestamps.to_microseconds(since)
    high = last if until is None else timestamps.to_microseconds(until)
    if last < low or first > high:
        return False
    return True if low <= first and last <= high else None
